"""The command line: each verb parses, calls one library function and prints.

Written with argparse, since reading one image takes a fifth of a second, which an argument parser
must not double. Modules here do not import large packages at the top, so that ``--help`` and
reading start immediately.

Exit codes: 0 success, 1 an error with a message or errors in inspected data, 2 incorrect usage, 3
some images could not be read, 4 a conclusion named by ``--fail-on`` occurred, 130 ended by Ctrl-C,
143 ended by SIGTERM.
"""

from __future__ import annotations

import gc
import io
import os
import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from pneumoscope.cli.arguments import Parser, Version
from pneumoscope.cli.ending import (
    INTERRUPTED,
    TERMINATED,
    Signals,
    StandardOutput,
    error_text,
    forget_output,
    how_to_go_on,
)
from pneumoscope.cli.flags import in_flags, speak_of
from pneumoscope.errors import MissingArgumentError, PneumoscopeError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

FAULT, USAGE = 1, 2

VERBS = (
    "download",
    "inspect",
    "train",
    "study",
    "runs",
    "export",
    "evaluate",
    "compare",
    "recalibrate",
    "adapt",
    "checklist",
    "predict",
    "model",
    "selftest",
    "models",
    "weights",
    "demo",
    "serve",
    "node",
    "pull",
)
"""The verbs, each a module of this package, in the order of the help."""

_ON_NETWORK = ("serve", "node", "pull")
"""The verbs that receive images over a network; they collect garbage as often as usual, since
objects of a connection may form cycles that contain its images."""

_EXTRAS = {
    "onnx": "adapt",
    "pyarrow": "parquet",
    "ray": "ray",
    "fsspec": "ray",
    **dict.fromkeys(("mlflow", "optuna", "psycopg", "sqlalchemy", "tensorboardX"), "study"),
    **dict.fromkeys(("dicomweb_client", "highdicom", "pynetdicom"), "hospital"),
    **dict.fromkeys(
        ("httptools", "prometheus_client", "python_multipart", "starlette", "uvicorn"), "serve"
    ),
}
"""The extra of a missing package, if it is not ``train``."""


def command() -> NoReturn:
    """Run the command line of this process and exit."""
    predicting = sys.argv[1:2] == ["predict"]
    if predicting:
        # NumPy's OpenBLAS starts a thread per core, which would spin while the rest of the program
        # loads.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if sys.argv[1:2] not in ([name] for name in _ON_NETWORK):
        # Searching for cycles among imported objects finds none; with PyTorch and its exporter it
        # takes 1.5 s.
        gc.set_threshold(50_000)
    instead = "write to --out FILE, which can be continued with --resume" if predicting else ""
    if isinstance(sys.stdout, io.TextIOWrapper):  # it is None if it was closed before the start
        sys.stdout = StandardOutput(sys.stdout, instead=instead)
    signals = Signals()
    signals.take()
    try:
        code = main(signals=signals)
    except Exception:
        if not signals.came:  # some compiled packages turn it into their own exception
            raise
        code = _ended(signals, None)
    if predicting and threading.active_count() == 1:
        # All files are closed; deallocating ONNX Runtime would take as long as an image.
        _flush()
        os._exit(code)
    sys.exit(code)


def main(  # noqa: PLR0911 - one for each way to end
    arguments: Sequence[str] | None = None, *, signals: Signals | None = None
) -> int:
    """Run the command line and return its exit code; errors end in one message.

    Args:
        arguments: The arguments after the name of the program; those of this process if None.
        signals: Records which signal caused a ``KeyboardInterrupt``; Ctrl-C if None.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Characters that the terminal cannot show, such as in file names, must not end the run.
        sys.stdout.reconfigure(errors="backslashreplace")
    args: Namespace | None = None
    try:
        words = sys.argv[1:] if arguments is None else list(arguments)
        try:
            args = parser(words[0] if words else "").parse_args(words)
            speak_of(args.parser)
            code: int = args.run(args)
        finally:
            _flush()  # also of --help, which argparse ends with SystemExit
    except MissingArgumentError as fault:
        return _failed(f"error: {in_flags(fault)}", USAGE)
    except PneumoscopeError as fault:
        return _failed(f"error: {in_flags(fault)}", FAULT)
    except ModuleNotFoundError as fault:
        if (fault.name or "pneumoscope").startswith("pneumoscope"):
            raise
        from pneumoscope.installation import install_command  # noqa: PLC0415 - rare

        extra = _EXTRAS.get(fault.name or "", "train")
        return _failed(
            f"error: this needs the package {fault.name!r}, which is not installed; "
            f"install the extra {extra!r}: {install_command(extra)}",
            FAULT,
        )
    except KeyboardInterrupt:
        return _ended(signals or Signals(), args)
    except BrokenPipeError:
        # The reading end of the pipe was closed, for example by ``head``; Python must not flush
        # into it again.
        forget_output()
        return FAULT
    except OSError as fault:
        return _failed(f"error: {error_text(fault)}", FAULT)
    return code


def parser(verb: str = "") -> Parser:
    """Return the parser of the whole command line.

    Args:
        verb: If valid, only this verb is added, since adding the others takes as long as parsing.
    """
    top = Parser(
        prog="pneumoscope",
        description="Read chest X-rays. Research software, not a medical device.",
    )
    top.add_argument("--version", action=Version, help="print the version and exit")
    verbs = top.add_subparsers(metavar="COMMAND", required=True, prog=top.prog)
    for name in (verb,) if verb in VERBS else VERBS:
        import_module(f"{__name__}.{name}").add_to(verbs)
    return top


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it was closed before the start
            stream.flush()


def _ended(signals: Signals, args: Namespace | None) -> int:
    if not signals.terminated:
        return _failed("interrupted", INTERRUPTED)
    way = how_to_go_on(args)
    return _failed(f"ended by SIGTERM{f': {way}.' if way else ''}", TERMINATED)


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code

"""Early ends of a command: Ctrl-C, SIGTERM, and errors of the system."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from pneumoscope.errors import OutputError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from types import FrameType

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C and after SIGTERM: 128 and the number of the signal, as in shells."""

_STEP_SECONDS = 0.2  # a signal does not interrupt a wait
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Signals:
    """Turns SIGTERM into ``KeyboardInterrupt``, and records which signal came.

    Cleaning up after Ctrl-C therefore also happens when a batch system, a container or a shutdown
    ends the process. A signal that the process was started to ignore is still ignored.

    Attributes:
        came: Whether a signal was received.
        terminated: Whether it was SIGTERM.
    """

    def __init__(self) -> None:
        self.came = False
        self.terminated = False

    def take(self) -> None:
        """Install the signal handlers; only possible in the main thread."""
        for number, usual in (
            (signal.SIGINT, signal.default_int_handler),
            (signal.SIGTERM, signal.SIG_DFL),
        ):
            if signal.getsignal(number) == usual:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> NoReturn:
        self.came = True
        self.terminated = number == signal.SIGTERM
        signal.default_int_handler(number, frame)


class StandardOutput(io.TextIOWrapper):
    """Standard output that reports write errors, such as a full disk, in one message.

    argparse would ignore such an error, and Python would print a traceback, and another one when
    the process ends.

    Args:
        before: The stream to replace.
        instead: The suggested action; by default, to free some space and repeat the command.
    """

    def __init__(self, before: io.TextIOWrapper, *, instead: str = "") -> None:
        super().__init__(
            before.buffer, before.encoding, before.errors, line_buffering=before.line_buffering
        )
        self._instead = instead or "repeat the command"

    def write(self, text: str, /) -> int:
        """Write a text.

        Raises:
            OutputError: The text cannot be written.
            BrokenPipeError: The reading end of the pipe was closed.
        """
        with self._named_faults():
            return super().write(text)

    def flush(self) -> None:
        """Write the buffer; raises the same errors as ``write``."""
        with self._named_faults():
            super().flush()

    @contextlib.contextmanager
    def _named_faults(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as fault:
            forget_output()
            raise OutputError(
                f"standard output cannot be written ({fault.strerror or fault}), so the output "
                f"is incomplete; free some space, then {self._instead}."
            ) from fault


class EndOnSignal:
    """Records whether Ctrl-C or SIGTERM was received since it was created.

    The caller then finishes the current item. A second Ctrl-C interrupts as usual. A signal that
    the process was started to ignore is still ignored.
    """

    def __init__(self) -> None:
        self._came = False
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def __call__(self, seconds: float) -> bool:
        """Wait for a number of seconds or until a signal; return whether one came."""
        end = time.monotonic() + seconds
        while not self._came and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _STEP_SECONDS))
        return self._came

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self._came:
            raise KeyboardInterrupt
        self._came = True


_NOT_BEGUN = "no result was written; repeat the command to start again"
_WAYS = {
    "download": "the downloaded part is kept; repeat the command to continue",
    "demo": "nothing is kept; repeat the command to start again",
    "predict": (
        "the images after the last row were not read; a run with --out FILE can be continued "
        "with --resume"
    ),
}


def how_to_go_on(args: Namespace | None) -> str:
    """Return a hint on continuing an interrupted command.

    Args:
        args: The parsed arguments; None if they were not parsed yet.
    """
    verb = getattr(args, "verb", "")
    out = getattr(args, "out", None)
    if verb == "predict" and getattr(args, "engine", None) and out is not None:
        return "" if (out / "_run.json").exists() else _NOT_BEGUN  # as below, for its parts
    if (
        verb == "predict" and out is not None
    ):  # with a journal, the number of images kept was printed
        return "" if out.with_name(f"{out.name}.journal").exists() else _NOT_BEGUN
    if verb != "train" or out is None:
        return _WAYS.get(verb, _NOT_BEGUN)
    if any(out.glob("**/checkpoints/last.ckpt")):
        return (
            f"{out} is kept up to the last completed epoch; repeat the command with --resume to "
            "continue"
        )
    if any(out.glob("**/config.yaml")):
        return (
            "no epoch was completed; repeat the command with --resume to start with the first epoch"
        )
    return "no epoch was completed, so nothing is kept; repeat the command to start again"


def error_text(fault: OSError) -> str:
    """Return a system error as text."""
    reason = fault.strerror or str(fault) or type(fault).__name__
    names = [
        os.fsdecode(name)
        for name in (fault.filename, fault.filename2)
        if isinstance(name, str | bytes) and name
    ]
    if names:
        return f"{' and '.join(names)}: {reason}."
    if fault.errno in _FULL:
        return f"a file cannot be written ({reason}); free some space, then repeat the command."
    return f"a file operation failed ({reason})."


def forget_output() -> None:
    """Discard the buffered and all further standard output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

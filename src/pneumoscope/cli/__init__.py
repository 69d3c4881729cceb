"""The command line: each verb parses, calls one library function and prints.

Written with argparse, since reading one image takes half a second and an argument parser
must not double that. Modules here import nothing heavy at the top, so that ``--help`` and reading
start at once.

Exit codes: 0 done, 1 a fault that a message names or errors in inspected data, 2 wrong usage,
3 some images could not be read, 4 a conclusion came up that ``--fail-on`` names, 130 ended by
Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pneumoscope.cli import (
    compare,
    demo,
    download,
    evaluate,
    export,
    inspect,
    model,
    models,
    predict,
    recalibrate,
    selftest,
    train,
    weights,
)
from pneumoscope.cli.arguments import Parser, Version
from pneumoscope.errors import PneumoscopeError

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE, FAULT, INTERRUPTED = 0, 1, 130

_EXTRAS = {"pyarrow": "parquet"}
"""The extra that a missing package comes with, where it is not ``train``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; a fault ends in one message."""
    try:
        asked = parser().parse_args(arguments)
        code: int = asked.run(asked)
        sys.stdout.flush()
    except PneumoscopeError as fault:
        return _failed(f"error: {fault}", FAULT)
    except ModuleNotFoundError as fault:
        if (fault.name or "pneumoscope").startswith("pneumoscope"):
            raise
        extra = _EXTRAS.get(fault.name or "", "train")
        return _failed(
            f"error: this needs the package {fault.name!r}, which is not installed; "
            f"install the extra: pip install 'pneumoscope[{extra}]'",
            FAULT,
        )
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away, as ``head`` does; Python must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAULT
    return code


def parser() -> Parser:
    """Return the parser of the whole command line."""
    top = Parser(
        prog="pneumoscope",
        description="Chest X-rays in, a conclusion out. Research software, not a medical device.",
    )
    top.add_argument("--version", action=Version, help="print the version and end")
    verbs = top.add_subparsers(metavar="VERB", required=True)
    for verb in (
        download,
        inspect,
        train,
        evaluate,
        compare,
        export,
        recalibrate,
        predict,
        model,
        selftest,
        models,
        weights,
        demo,
    ):
        verb.add_to(verbs)
    return top


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code

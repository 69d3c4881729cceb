"""``pneumoscope selftest``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_json_option, add_verb

if TYPE_CHECKING:
    from argparse import Namespace

FAILED = 1


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "selftest",
        run,
        about="Check that a reader gives the output recorded in its file for a generated "
        "image, and verify the checksum of the file.",
        example="pneumoscope selftest --model runs/first",
    )
    parser.add_argument(
        "--model",
        type=Path,
        help="a run folder or a model file (default: shipped, the included reader)",
    )
    add_json_option(parser)


def run(args: Namespace) -> int:
    """Run the self-test, and print the expected and the actual result."""
    from pneumoscope.reader.model_file.verify import verify  # noqa: PLC0415 - onnxruntime

    found = verify(args.model)
    if args.json:
        print(json.dumps(found.to_dict()))
    else:
        print("\n".join(found.lines()))
    return 0 if found.passed else FAILED

"""``pneumoscope checklist``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_verb

if TYPE_CHECKING:
    from argparse import Namespace


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "checklist",
        run,
        about="Fill in a reporting checklist from a run, and mark the items to complete by hand.",
        example="pneumoscope checklist runs/first --standard tripod-ai --out tripod.md",
    )
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a finished run folder")
    parser.add_argument(
        "--standard",
        default="tripod-ai",
        metavar="NAME",
        help="tripod-ai or claim (default: tripod-ai)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="output file (default: print it)")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of Markdown"
    )


def run(args: Namespace) -> int:
    """Fill in the checklist, and print or write it."""
    from pneumoscope.report.checklist import fill  # noqa: PLC0415 - numpy, onnxruntime
    from pneumoscope.report.facts import RunFacts  # noqa: PLC0415
    from pneumoscope.runs import write_text  # noqa: PLC0415

    found = fill(RunFacts.read(args.run_folder), args.standard)
    text = json.dumps(found.to_dict(), indent=2) + "\n" if args.json else found.to_markdown()
    if args.out is None:
        print(text, end="")
        return 0
    write_text(args.out, text)
    print(
        f"{found.title}: {found.count('filled')} items filled in, {found.count('partly')} partly, "
        f"{found.count('open')} to be filled in by a person. Written to {args.out}"
    )
    return 0

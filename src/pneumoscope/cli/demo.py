"""``pneumoscope demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_seed_option, add_verb

if TYPE_CHECKING:
    from argparse import Namespace


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "demo",
        run,
        about="Generate radiographs, train a reader on them, evaluate it, and write the report.",
        example="pneumoscope demo --out demo",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo"),
        help="output folder, which must not exist (default: demo)",
    )
    parser.add_argument(
        "--patients",
        type=int,
        default=600,
        metavar="N",
        help="number of generated patients (default: 600)",
    )
    parser.add_argument(
        "--images-only", action="store_true", help="generate the images without training"
    )
    add_seed_option(parser, of="images and training")


def run(args: Namespace) -> int:
    """Run the demonstration; the last line is the path of its report."""
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415 - after parsing

    if args.images_only:
        from pneumoscope.workflow.generate import generate_images  # noqa: PLC0415

        print(
            generate_images(
                args.out, patients=args.patients, seed=args.seed, watcher=TerminalWatcher()
            )
        )
        return 0
    from pneumoscope.workflow.demo import run_demo  # noqa: PLC0415 - torch

    result = run_demo(args.out, patients=args.patients, seed=args.seed, watcher=TerminalWatcher())
    print(f"{result.text}\n{result.report}")
    return 0

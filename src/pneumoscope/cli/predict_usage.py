"""The options of ``predict``, and checks of their combinations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import DataError, MissingArgumentError, OptionError, in_range

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from pneumoscope.cli.arguments import Parser
    from pneumoscope.reader.model_file.metadata import ModelInfo

ENGINES = ("ray", "processes")
"""The engines for many workers."""

FORMATS = ("table", "json", "jsonl", "csv", "parquet")
"""Those of the output."""

STDIN = "-"
"""The name of standard input."""

SOME_UNREADABLE, FAIL_ON = 3, 4
"""Exit codes."""

OUTSIDE = ("note", "uncertain", "refuse")
"""The same as in ``reader.policy``, which is not loaded for parsing."""


def add_output_options(parser: Parser) -> None:
    """Add the options of output and of long runs."""
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="output format (default: table); parquet requires --out",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="output file (.json, .jsonl, .csv or .parquet); with --engine, an output folder",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted command with the same --out, or add new files to its result",
    )
    parser.add_argument(
        "--retry-errors",
        action="store_true",
        help="with --resume, read files with errors again",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="watch the folders and read each complete new file once, until Ctrl-C",
    )
    parser.add_argument(
        "--watch-interval",
        type=float,
        metavar="SECONDS",
        help="seconds between two checks of the folders (default: 2)",
    )
    parser.add_argument(
        "--fail-on",
        action="append",
        default=[],
        metavar="WHAT",
        help="exit with code 4 if this conclusion occurs: a class, uncertain, "
        "not-assessable, error; can be repeated",
    )
    parser.add_argument(
        "--evidence",
        type=Path,
        metavar="DIR",
        help="write an evidence map of each image to this folder",
    )
    parser.add_argument(
        "--evidence-of",
        metavar="CLASS",
        help="the class whose evidence is drawn (default: the conclusion if it is a positive "
        "class, otherwise all positive classes together)",
    )
    _add_engine_options(parser)
    parser.add_argument(
        "--dicom-out",
        type=Path,
        metavar="DIR",
        help="write a structured report and a Secondary Capture for each DICOM image, as the "
        "node does",
    )


def add_conclusion_options(parser: Parser) -> None:
    """Add the options of the decision."""
    parser.add_argument(
        "--no-gate",
        action="store_true",
        help="switch the gate off: also classify images that it would reject",
    )
    parser.add_argument(
        "--outside-intended-use",
        choices=OUTSIDE,
        default=OUTSIDE[0],
        help="what to do with images outside the model's intended use, for example of patients of "
        "another age: add a note (note, the default), or conclude UNCERTAIN (uncertain) or "
        "NOT_ASSESSABLE (refuse)",
    )


def _add_engine_options(parser: Parser) -> None:
    """Add the options for reading with many workers."""
    group = parser.add_argument_group("large numbers of images")
    group.add_argument(
        "--engine",
        choices=ENGINES,
        help="read with a Ray cluster, or with processes on this machine, into a folder of"
        " Parquet parts",
    )
    group.add_argument(
        "--address",
        help="address of a Ray cluster, such as auto (default: start one on this machine)",
    )
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of workers with --engine (default: one per processor)",
    )
    group.add_argument(
        "--shard-size", type=int, metavar="N", help="images per part, an even number (default: 500)"
    )


def refuse_senseless(args: Namespace) -> None:
    """Raise an error for contradictory options before anything is loaded.

    Raises:
        OptionError: Options contradict each other; the message names one of them.
        MissingArgumentError: No images are given.
        DataError: The name of an image is empty.
    """
    if args.resume and not args.out:
        raise OptionError("--resume", must="combined with --out, the file to continue", was=True)
    if args.retry_errors and not args.resume:
        raise OptionError("--retry-errors", must="combined with --resume", was=True)
    _refuse_senseless_watch(args)
    _refuse_senseless_engine(args)
    if args.format == "parquet" and not args.out:
        raise OptionError("--format", must="combined with --out FILE", was="parquet")
    if args.format == "table" and args.out:
        raise OptionError("--format", must="json, jsonl, csv or parquet with --out", was="table")
    if args.paths_from and args.images:
        raise OptionError(
            "--paths-from", must="used without images on the command line", was=args.images[0]
        )
    if not args.images and not args.paths_from:
        raise MissingArgumentError(
            "no images given; give files, folders or patterns, or --paths-from FILE."
        )
    if "" in args.images:
        raise DataError("an image has an empty name; is a shell variable empty?")
    if STDIN in args.images and (len(args.images) > 1 or args.out):
        raise OptionError(
            "-",
            must="the only image, and used without --out, when it stands for standard input",
            was="-",
        )


def _refuse_senseless_engine(args: Namespace) -> None:
    for name in ("address", "workers", "shard_size"):
        value = getattr(args, name)
        if value is not None and not args.engine:
            raise OptionError(
                f"--{name.replace('_', '-')}", must="combined with --engine", was=value
            )
    if not args.engine:
        return
    if args.address is not None and args.engine != "ray":
        raise OptionError("--address", must="combined with --engine ray", was=args.address)
    if args.workers is not None:
        in_range("--workers", args.workers, low=1, high=100_000)
    if not args.out:
        raise OptionError("--engine", must="combined with --out FOLDER", was=args.engine)
    if args.out.suffix.lower() in {".json", ".jsonl", ".csv", ".parquet"}:
        raise OptionError("--out", must="a folder with --engine", was=str(args.out))
    for name in ("watch", "evidence", "dicom_out"):
        if getattr(args, name):
            raise OptionError(
                "--engine", must=f"used without --{name.replace('_', '-')}", was=args.engine
            )
    if args.format not in {None, "parquet"}:
        raise OptionError("--format", must="parquet with --engine", was=args.format)
    if args.paths_from == STDIN:
        raise OptionError("--paths-from", must="a file with --engine", was=STDIN)


def _refuse_senseless_watch(args: Namespace) -> None:
    if args.watch_interval is not None:
        if not args.watch:
            raise OptionError(
                "--watch-interval", must="combined with --watch", was=args.watch_interval
            )
        in_range("--watch-interval", args.watch_interval, low=0.1, high=86_400)
    if not args.watch:
        return
    if args.paths_from:
        raise OptionError("--watch", must="used with folders", was=args.paths_from)
    if args.format == "json" and not args.out:
        raise OptionError("--format", must="table, jsonl or csv with --watch", was="json")
    for item in args.images:
        if not os.path.isdir(item):  # noqa: PTH112 - as below
            raise OptionError("--watch", must="used with existing folders", was=item)
        # Written files would arrive there as new images, for which more files would be written.
        for name, folder in (("--evidence", args.evidence), ("--dicom-out", args.dicom_out)):
            if folder and folder.resolve().is_relative_to(Path(item).resolve()):
                raise OptionError(name, must="outside the watched folders", was=str(folder))


def _conclusions(info: ModelInfo) -> tuple[str, ...]:
    """Return the conclusions of a model besides those common to all models."""
    if info.findings:
        return "POSITIVE", "NEGATIVE"
    return (*info.classes, *info.pair)


def fail_on(given: Sequence[str], info: ModelInfo) -> set[str]:
    """Return the conclusions selected by ``--fail-on``.

    Raises:
        OptionError: A conclusion does not exist in this model.
    """
    from pneumoscope.errors import nearest  # noqa: PLC0415 - rare
    from pneumoscope.reader.prediction import ERROR, NOT_ASSESSABLE, UNCERTAIN  # noqa: PLC0415

    known = {
        name.lower().replace("_", "-"): name
        for name in (UNCERTAIN, NOT_ASSESSABLE, ERROR, *_conclusions(info))
    }
    found = set()
    for word in given:
        key = word.lower().replace("_", "-")
        if key not in known:
            raise OptionError(
                "--fail-on", must="a conclusion of this model", was=word, hint=nearest(key, known)
            )
        found.add(known[key])
    return found

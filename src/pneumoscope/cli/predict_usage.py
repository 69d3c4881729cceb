"""Which options of ``predict`` go together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import DataError, MissingArgumentError, OptionError, in_range

if TYPE_CHECKING:
    from argparse import Namespace

    from pneumoscope.cli.arguments import Parser

ENGINES = ("ray", "processes")
"""What reads with many workers."""

STDIN = "-"
"""The name of standard input."""


def add_engine_options(parser: Parser) -> None:
    """Add what reads an archive that outgrows one machine."""
    group = parser.add_argument_group("an archive that outgrows one machine")
    group.add_argument(
        "--engine",
        choices=ENGINES,
        help="read with the workers of a Ray cluster, or with processes of this machine, into a "
        "folder of Parquet parts",
    )
    group.add_argument(
        "--address", help="of a Ray cluster, such as auto (default: one that is started here)"
    )
    group.add_argument(
        "--workers", type=int, metavar="N", help="with --engine (default: one a processor)"
    )
    group.add_argument(
        "--shard-size", type=int, metavar="N", help="images a part, an even number (default: 500)"
    )


def refuse_senseless(asked: Namespace) -> None:
    """Refuse options of ``predict`` that contradict each other, before anything is loaded.

    Raises:
        OptionError: They do; the message names one of them.
        MissingArgumentError: No images are named.
        DataError: An image is named by an empty text.
    """
    if asked.resume and not asked.out:
        raise OptionError("--resume", must="given with --out, the file that was cut off", was=True)
    if asked.retry_errors and not asked.resume:
        raise OptionError("--retry-errors", must="given with --resume", was=True)
    _refuse_senseless_watch(asked)
    _refuse_senseless_engine(asked)
    if asked.format == "parquet" and not asked.out:
        raise OptionError("--format", must="given with --out FILE", was="parquet")
    if asked.format == "table" and asked.out:
        raise OptionError("--format", must="json, jsonl, csv or parquet with --out", was="table")
    if asked.paths_from and asked.images:
        raise OptionError(
            "--paths-from", must="given without images beside it", was=asked.images[0]
        )
    if not asked.images and not asked.paths_from:
        raise MissingArgumentError(
            "no images are named; give files, folders or patterns, or --paths-from FILE."
        )
    if "" in asked.images:
        raise DataError("an image is named by an empty text; is a variable of the shell empty?")
    if STDIN in asked.images and (len(asked.images) > 1 or asked.out):
        raise OptionError(
            "-", must="the only image, without --out, where it stands for standard input", was="-"
        )


def _refuse_senseless_engine(asked: Namespace) -> None:
    for name in ("address", "workers", "shard_size"):
        value = getattr(asked, name)
        if value is not None and not asked.engine:
            raise OptionError(f"--{name.replace('_', '-')}", must="given with --engine", was=value)
    if not asked.engine:
        return
    if asked.address is not None and asked.engine != "ray":
        raise OptionError("--address", must="given with --engine ray", was=asked.address)
    if asked.workers is not None:
        in_range("--workers", asked.workers, low=1, high=100_000)
    if not asked.out:
        raise OptionError("--engine", must="given with --out FOLDER", was=asked.engine)
    if asked.out.suffix.lower() in {".json", ".jsonl", ".csv", ".parquet"}:
        raise OptionError("--out", must="a folder with --engine", was=str(asked.out))
    for name in ("watch", "evidence"):
        if getattr(asked, name):
            raise OptionError("--engine", must=f"given without --{name}", was=asked.engine)
    if asked.format not in {None, "parquet"}:
        raise OptionError("--format", must="parquet with --engine", was=asked.format)
    if asked.paths_from == STDIN:
        raise OptionError("--paths-from", must="a file with --engine", was=STDIN)


def _refuse_senseless_watch(asked: Namespace) -> None:
    if asked.watch_interval is not None:
        if not asked.watch:
            raise OptionError(
                "--watch-interval", must="given with --watch", was=asked.watch_interval
            )
        in_range("--watch-interval", asked.watch_interval, low=0.1, high=86_400)
    if not asked.watch:
        return
    if asked.paths_from:
        raise OptionError("--watch", must="given with folders", was=asked.paths_from)
    if asked.format == "json" and not asked.out:
        raise OptionError("--format", must="table, jsonl or csv with --watch", was="json")
    for item in asked.images:
        if not os.path.isdir(item):  # noqa: PTH112 - as below
            raise OptionError("--watch", must="given with folders that exist", was=item)
        # Its pictures would arrive there as new images, whose pictures would arrive there.
        if asked.evidence and asked.evidence.resolve().is_relative_to(Path(item).resolve()):
            raise OptionError(
                "--evidence",
                must="outside of the folders that are watched",
                was=str(asked.evidence),
            )

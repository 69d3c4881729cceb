"""The options of trackers, for the verbs that train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import OptionError

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace
    from collections.abc import Callable

    from pneumoscope.tracking import Tracker


def add_tracker_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--tracker`` and ``--tracking-uri``."""
    group = parser.add_argument_group("tracking").add_argument
    group(
        "--tracker", action="append", metavar="NAME",
        help="mlflow or tensorboard; can be repeated",
    )  # fmt: skip
    group("--tracking-uri", metavar="URI", help="MLflow's server or database (default: mlflow.db)")


def trackers_of(
    args: Namespace, out: Path, warn: Callable[[str], None], *, nested: bool = True
) -> list[Tracker]:
    """Return the trackers selected by the options."""
    from pneumoscope.tracking import make_tracker  # noqa: PLC0415 - only if requested

    names = list(dict.fromkeys(args.tracker or ()))
    if args.tracking_uri is not None and "mlflow" not in names:
        raise OptionError(
            "tracking_uri", must="combined with tracker mlflow", was=args.tracking_uri
        )
    return [
        make_tracker(
            name, out=out, title=out.resolve().name, warn=warn, nested=nested,
            uri=args.tracking_uri if name == "mlflow" else None,
        )
        for name in names
    ]  # fmt: skip

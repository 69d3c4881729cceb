"""``pneumoscope download``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_verb
from pneumoscope.errors import DataError, MissingArgumentError, OptionError

if TYPE_CHECKING:
    from argparse import Namespace


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "download",
        run,
        about="Download and verify the Kermany (Kaggle) data set, or verify an existing copy.",
        example="pneumoscope download kermany --to chest_xray",
    )
    parser.add_argument(
        "data_set", nargs="?", metavar="DATA_SET", help="kermany: Chest X-Ray Images (Pneumonia)"
    )
    parser.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="target folder, which must not exist (default: chest_xray)",
    )
    parser.add_argument(
        "--from",
        dest="source",
        metavar="URL",
        help="a zip archive or a JSON list of files, instead of Kaggle",
    )
    parser.add_argument(
        "--verify", type=Path, metavar="DIR", help="verify this folder without downloading"
    )


def run(args: Namespace) -> int:
    """Download or verify, and print the result."""
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415 - after parsing
    from pneumoscope.workflow.download import (  # noqa: PLC0415 - numpy
        download_data_set,
        verify_data_set,
    )

    watcher = TerminalWatcher()
    if args.verify is not None:
        if args.to is not None or args.source is not None:
            raise OptionError("--verify", must="used without --to or --from", was=args.verify)
        found = verify_data_set(args.verify, data_set=args.data_set or "kermany", watcher=watcher)
        print(found.text())
        if not found.sound:
            raise DataError(f"{args.verify}: the data set is incomplete.")
        return 0
    if args.data_set is None:
        raise MissingArgumentError(
            "no data set given; try: pneumoscope download kermany, or --verify DIR."
        )
    to = args.to or Path("chest_xray")
    found = download_data_set(args.data_set, to, source=args.source, watcher=watcher)
    print(f"{to}: {found.text()}")
    return 0

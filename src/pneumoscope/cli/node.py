"""``pneumoscope node``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_verb
from pneumoscope.errors import DataError

if TYPE_CHECKING:
    from argparse import Namespace

    from pneumoscope.hospital.queue import Queue

ACTIONS = ("run", "queue", "requeue")


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "node",
        run,
        about="Run a DICOM node that receives chest radiographs and returns structured "
        "reports and secondary captures.",
        example="pneumoscope node run --settings node.yaml",
    )
    parser.add_argument(
        "action",
        choices=ACTIONS,
        help="run: start the node; queue: list waiting and undeliverable objects; "
        "requeue: retry undeliverable objects",
    )
    parser.add_argument(
        "--settings", type=Path, required=True, metavar="FILE", help="settings file (YAML)"
    )
    parser.add_argument("--destination", metavar="NAME", help="with requeue: only this destination")


def run(args: Namespace) -> int:
    """Run the node until a signal ends it, or show its queue."""
    from pneumoscope.hospital.settings import NodeSettings  # noqa: PLC0415 - after parsing

    settings = NodeSettings.load(args.settings)
    if args.action == "run":
        from pneumoscope.cli.ending import EndOnSignal  # noqa: PLC0415
        from pneumoscope.hospital.node import Node  # noqa: PLC0415
        from pneumoscope.logs import start_logging  # noqa: PLC0415

        warnings.simplefilter("ignore")  # pydicom's messages may quote patient data from a header
        start_logging("pynetdicom")
        node = Node(settings)
        ended = EndOnSignal()
        node.start()
        while not ended(3600.0):
            pass
        node.stop()
        return 0
    place = settings.folder / "queue.sqlite"
    if not place.is_file():
        raise DataError(f"{place}: no queue found; no node has used this folder.")
    from pneumoscope.hospital.queue import Queue  # noqa: PLC0415

    queue = Queue(place)
    try:
        if args.action == "requeue":
            count = queue.requeue(destination=args.destination)
            sys.stdout.write(f"{count} deliveries will be retried.\n")
        else:
            _show(queue)
    finally:
        queue.close()
    return 0


def _show(queue: Queue) -> None:
    counts = queue.figures()["images"]
    sys.stdout.write(f"images: {_listed(counts) or 'none'}\n")
    received, read = queue.recent(600.0)
    sys.stdout.write(f"last ten minutes: {received:,} received, {read:,} read\n")
    if waits := queue.oldest_seconds():
        sys.stdout.write(f"oldest image waiting to be read: {waits:,.0f} seconds\n")
    by_destination: dict[str, dict[str, int]] = {}
    for name, state, count in queue.by_destination():
        by_destination.setdefault(name, {})[state] = count
    for name, counts in by_destination.items():
        sys.stdout.write(f"to {name}: {_listed(counts)}\n")
    for one in queue.in_state("dead"):
        sys.stdout.write(
            f"dead: {one.kind} {one.uid} to {one.destination} after {one.attempts} attempts "
            f"({one.error})\n"
        )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in sorted(counts.items()))

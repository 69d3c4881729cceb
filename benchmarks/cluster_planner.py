"""A long run whose workers read no pixels, which measures the driver only.

python benchmarks/cluster_planner.py MANIFEST OUT [--resume]; prints time and memory as JSON.
"""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import pyarrow
import pyarrow.parquet

from pneumoscope.cluster.parts import Part
from pneumoscope.cluster.run import Listeners, read_archive
from pneumoscope.cluster.shards import Shard
from pneumoscope.cluster.supervise import Done, Event, Progress, Ready
from pneumoscope.reader.archive.summary import RunSummary
from pneumoscope.reader.predictor import Predictor


class Stub:
    """One worker in this process that concludes ``NORMAL`` for every image; see ``Engine``."""

    def __init__(self, counts: dict[str, object]) -> None:
        self._counts = counts
        self._events: list[Event] = []

    @property
    def size(self) -> int:
        return 1

    def start(self) -> int:
        self._events.append(Ready(0))
        return 0

    def give(self, worker: int, shard: Shard) -> None:
        self._events.append(Done(worker, self._part(shard)))

    def events(self, timeout: float) -> list[Event]:
        found, self._events = self._events, []
        if not found:
            time.sleep(min(timeout, 0.01))
        return found

    def close(self) -> None:
        pass

    def _part(self, shard: Shard) -> Part:
        told = {**self._counts, "conclusions": {"NORMAL": len(shard.items)}}
        facts = {"shard": shard.number, "digest": shard.digest, "tally": told}
        names = [item for item in shard.items if isinstance(item, str)]
        table = pyarrow.table({"path": names}).replace_schema_metadata(
            {"pneumoscope": json.dumps(facts)}
        )
        file = io.BytesIO()
        pyarrow.parquet.write_table(table, file)
        return Part(shard.number, file.getvalue(), len(names), 0)


def main() -> None:
    """Run, and print the result."""
    manifest, out, *more = sys.argv[1:]
    begun = time.monotonic()
    predictor = Predictor()
    first: list[float] = []

    def hear(progress: Progress, _: int) -> None:
        if progress.images and not first:
            first.append(time.monotonic() - begun)

    outcome = read_archive(
        [manifest],
        Path(out),
        predictor=predictor,
        engine=lambda _: Stub(RunSummary(predictor.info.reference).counts()),
        resume="--resume" in more,
        listeners=Listeners(progress=hear),
    )
    parts = sum(1 for _ in Path(out).glob("part-*.parquet"))
    found = {"images": outcome.tally.images, "read": outcome.read, "parts": parts}
    print(json.dumps({**found, "first": first[0] if first else 0.0}))


if __name__ == "__main__":
    main()

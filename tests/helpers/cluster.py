"""Archives for tests of long runs, and readers of shards that fail."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from pneumoscope.cluster.parts import Part
from pneumoscope.cluster.run import Listeners, Outcome, read_archive
from pneumoscope.cluster.shards import Shard
from pneumoscope.cluster.supervise import Done, Event, Ready
from pneumoscope.cluster.work import Job, ShardReader
from pneumoscope.reader.predictor import Predictor

DEADLY, ONCE = "deadly", "once"
"""Names of images that kill every worker that reads them, or only the first one."""


class HarmedReader(ShardReader):
    """A reader that is killed by some images."""

    def read(self, shard: Shard) -> Part:
        for item in shard.items:
            assert isinstance(item, str)
            name = Path(item).name
            if DEADLY in name:
                os.kill(os.getpid(), signal.SIGKILL)
            if ONCE in name:
                killed = Path(f"{item}.killed")
                if not killed.exists():
                    killed.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
        return super().read(shard)


class SlowReader(ShardReader):
    """A slow reader."""

    def read(self, shard: Shard) -> Part:
        time.sleep(0.2)
        return super().read(shard)


class DyingReader(ShardReader):
    """A reader whose process never starts."""

    def __init__(self, _: Job) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class FaultyReader(ShardReader):
    """A reader that raises an error."""

    def read(self, _: Shard) -> Part:
        raise RuntimeError("no room in memory")


class StubEngine:
    """One worker in this process, which reads no pixels; see ``supervise.Engine``."""

    def __init__(self) -> None:
        self.given: list[int] = []
        self._events: list[Event] = []

    @property
    def size(self) -> int:
        return 1

    def start(self) -> int:
        self._events.append(Ready(0))
        return 0

    def give(self, worker: int, shard: Shard) -> None:
        self.given.append(shard.number)
        self._events.append(Done(worker, stub_part(shard)))

    def events(self, timeout: float) -> list[Event]:
        found, self._events = self._events, []
        if not found:
            time.sleep(timeout / 100)
        return found

    def close(self) -> None:
        pass


def stub_part(shard: Shard) -> Part:
    """Return a part without rows, whose metadata count all images as ``NORMAL``."""
    bins = {"probability_histogram": [0] * 20, "distance_histogram": [0]}
    told = {"conclusions": {"NORMAL": len(shard.items)}, "notes": {}, **bins}
    facts = {"shard": shard.number, "digest": shard.digest, "tally": told}
    schema = pyarrow.schema([("path", pyarrow.string())], {"pneumoscope": json.dumps(facts)})
    file = io.BytesIO()
    pyarrow.parquet.write_table(schema.empty_table(), file)
    return Part(shard.number, file.getvalue(), len(shard.items), 0)


def bare_reader() -> Predictor:
    """Return the included reader without the distributions of its validation images."""
    reader = Predictor()
    object.__setattr__(reader.info, "reference", {})
    return reader


def read_with_stub(archive: list[str], out: Path, **options: Any) -> tuple[Outcome, StubEngine]:
    """Read an archive without reading pixels; return the outcome and the engine."""
    engine = StubEngine()
    outcome = read_archive(
        archive,
        out,
        predictor=bare_reader(),
        engine=lambda _: engine,
        listeners=Listeners(),
        **options,
    )
    return outcome, engine


def rows(place: Path) -> list[dict[str, Any]]:
    """Return the rows of a file or of a folder of parts, without the seconds."""
    found: list[dict[str, Any]] = (
        pyarrow.parquet.read_table(place).drop_columns(["seconds"]).to_pylist()
    )
    return found


def conclusions(place: Path) -> Counter[str]:
    """Return the number of rows with each conclusion."""
    return Counter(row["conclusion"] for row in rows(place))

"""The plan of a long run: its images divided into numbered shards, on disk.

The plan is written while the archive is listed, and shards are read as soon as they are planned. A
continued run reads the planned images, even if the archive has changed.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumoscope.cluster.listing import Item
from pneumoscope.errors import OptionError, OutputError
from pneumoscope.reader.archive.inputs import Unlisted
from pneumoscope.runs import write_json, written_whole

SIZE = 500
"""Default number of images in a shard."""

_END = "complete.json"


@dataclass(frozen=True, slots=True)
class Shard:
    """A unit of work.

    Attributes:
        number: Number of the shard, from 0.
        items: The images to read, in order.
    """

    number: int
    items: tuple[Item, ...]

    @property
    def content(self) -> bytes:
        """The items as JSON: paths, or path and reason of a folder that cannot be listed."""
        values = [
            [item.path, item.reason] if isinstance(item, Unlisted) else item for item in self.items
        ]
        return json.dumps(values).encode()

    @property
    def digest(self) -> str:
        """A hash of the items."""
        return hashlib.sha256(self.content).hexdigest()[:32]

    @classmethod
    def of(cls, number: int, content: bytes) -> Shard:
        """Return the shard for a ``content``.

        Raises:
            ValueError: The content is damaged.
        """
        values: list[Any] = json.loads(content)
        return cls(
            number,
            tuple(value if isinstance(value, str) else Unlisted(*value) for value in values),
        )


def cut(items: Iterable[Item], size: int) -> Iterator[Shard]:
    """Yield shards of ``size`` items; the first has one less, the last has the rest.

    ``predict_many`` reads the first image alone and then two at a time. With an even size, shards
    are cut between these pairs, so that each image is processed together with the same image as in
    a run on one machine, and results are exactly equal.

    Raises:
        OptionError: The size is odd, or below 2.
    """
    if size < 2 or size % 2:
        raise OptionError("shard_size", must="an even number of at least 2", was=size)
    return _cut(iter(items), size)


def _cut(rest: Iterator[Item], size: int) -> Iterator[Shard]:
    for number in itertools.count():
        taken = tuple(itertools.islice(rest, size - (number == 0)))
        if not taken:
            return
        yield Shard(number, taken)


@dataclass(frozen=True, slots=True)
class PlanEnd:
    """The totals known when the plan is complete.

    Attributes:
        shards: Number of shards.
        images: Total number of items.
        others: Number of skipped files of each kind.
    """

    shards: int
    images: int
    others: Counter[str]


class Plan:
    """The shards of a run, one compressed file each.

    Args:
        folder: Folder of the plan.

    Attributes:
        end: The totals; None until the plan is complete.
        images: Number of items planned so far.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = threading.Condition()
        self._fault: Exception | None = None
        self._planned = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.images = 0
        self.end: PlanEnd | None = None
        try:
            kept = json.loads((folder / _END).read_text(encoding="utf-8"))
            self.end = PlanEnd(kept["shards"], kept["images"], Counter(kept["other_files"]))
            self.images = self.end.images
        except FileNotFoundError:
            pass
        except (LookupError, TypeError, ValueError) as fault:
            raise self._damaged(folder / _END) from fault

    def start(
        self,
        shards: Iterator[Shard],
        *,
        others: Counter[str],
        check: Callable[[Shard], None] | None = None,
    ) -> None:
        """Write the plan in a background thread; does nothing if it is complete.

        Args:
            shards: All shards, from the first one on.
            others: Counters of the listing, stored with the totals.
            check: Called with each shard; raises an error if the archive has changed.
        """
        if self.end is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            # A daemon, since it may be waiting for a slow listing when the run ends.
            self._thread = threading.Thread(
                target=self._write, args=(shards, others, check), daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop writing."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def has(self, number: int, *, timeout: float) -> bool | None:
        """Return whether a shard exists; None if unknown within the timeout in seconds.

        Raises:
            Exception: The error that ended the listing.
        """
        with self._known:
            self._known.wait_for(lambda: self._fault or self.end or number < self._planned, timeout)
            if self.end is not None:
                return number < self.end.shards
            if number < self._planned:
                return True
            if self._fault is not None:
                raise self._fault
            return None

    def shard(self, number: int) -> Shard:
        """Return a planned shard.

        Raises:
            OutputError: The plan is damaged.
        """
        place = self._place(number)
        try:
            return Shard.of(number, gzip.decompress(place.read_bytes()))
        except (EOFError, OSError, TypeError, ValueError, zlib.error) as fault:
            raise self._damaged(place) from fault

    def _write(
        self,
        shards: Iterator[Shard],
        others: Counter[str],
        check: Callable[[Shard], None] | None,
    ) -> None:
        number = 0
        try:
            for shard in shards:
                if self._ended.is_set():
                    return
                self._add(shard)
                if check:
                    check(shard)
                number += 1
                with self._known:
                    self._planned = number
                    self.images += len(shard.items)
                    self._known.notify_all()
            end = PlanEnd(number, self.images, others)
            kept = {"shards": end.shards, "images": end.images, "other_files": dict(others)}
            write_json(self._folder / _END, kept)
            with self._known:
                self.end = end
                self._known.notify_all()
        except Exception as fault:  # raised again when the next shard is requested
            with self._known:
                self._fault = fault
                self._known.notify_all()

    def _add(self, shard: Shard) -> None:
        place = self._place(shard.number)
        if place.exists():
            if self.shard(shard.number) != shard:
                raise archive_changed(shard)
            return
        with written_whole(place) as temporary:
            temporary.write_bytes(gzip.compress(shard.content, 1, mtime=0))

    def _place(self, number: int) -> Path:
        return self._folder / f"{number:07d}.json.gz"

    def _damaged(self, place: Path) -> OutputError:
        return OutputError(
            f"{place}: damaged; delete the folder {self._folder} and continue with `resume`: "
            "the archive is listed again, and finished parts are kept."
        )


def archive_changed(shard: Shard) -> OutputError:
    """Return the error for a run that cannot be resumed."""
    return OutputError(
        f"the archive changed before its listing was complete: shard {shard.number}, starting "
        f"with {_first(shard)}, had other images; start again with another `out`."
    )


def _first(shard: Shard) -> str:
    first = shard.items[0]
    return first.path if isinstance(first, Unlisted) else first

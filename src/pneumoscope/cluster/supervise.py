"""Assign shards to workers, which may die and be replaced; each shard is read once.

The interface of an engine is small (``Engine``), so that Ray and plain processes share the logic of
retries, of shards that are given up, and of errors that end the run.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from pneumoscope.cluster.parts import Part
from pneumoscope.cluster.shards import Shard
from pneumoscope.cluster.work import Fault
from pneumoscope.errors import EngineError

TRIES = 3
"""Number of workers that a shard may end, and of consecutive workers that may fail to start."""

_ALONE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker can read."""

    worker: int


@dataclass(frozen=True, slots=True)
class Died:
    """The process of a worker ended, while starting or reading.

    Attributes:
        worker: Number of the worker.
        reason: The reason, in words.
    """

    worker: int
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """A worker has read its shard, or failed permanently.

    Attributes:
        worker: Number of the worker.
        result: The part, or the error.
    """

    worker: int
    result: Part | Fault


Event = Ready | Died | Done


class Engine(Protocol):
    """A pool of workers, each a process that reads one shard at a time."""

    @property
    def size(self) -> int:
        """The number of workers to use."""

    def start(self) -> int:
        """Request another worker and return its number; ``Ready`` or ``Died`` follows."""

    def give(self, worker: int, shard: Shard) -> None:
        """Give a shard to a worker; ``Done`` or ``Died`` follows."""

    def events(self, timeout: float) -> list[Event]:
        """Return what happened; waits up to a number of seconds."""

    def close(self) -> None:
        """End all workers."""


@dataclass
class Progress:
    """The progress of a run.

    Attributes:
        images: Number of rows written in this run.
        unreadable: Number of these rows whose image could not be read.
        deaths: Number of workers that died while reading.
        given_up: Number of shards that were given up.
    """

    images: int = 0
    unreadable: int = 0
    deaths: int = 0
    given_up: int = 0


@dataclass
class Supervisor:
    """Assigns shards to workers until all are read.

    Attributes:
        engine: The workers.
        following: Returns the next shard; None if it is not known yet, after a short wait. Raises
            StopIteration if there are no more.
        put: Writes a part.
        lost: Returns the part of a shard that is given up, from the number of attempts and the
            reason.
        on_progress: Called after each part and each death, and about once per second.
        say: Called with messages for the user.
    """

    engine: Engine
    following: Callable[[], Shard | None]
    put: Callable[[Part], None]
    lost: Callable[[Shard, int, str], Part]
    on_progress: Callable[[Progress], None]
    say: Callable[[str], None]
    progress: Progress = field(default_factory=Progress)
    _idle: list[int] = field(default_factory=list)
    _busy: dict[int, Shard] = field(default_factory=dict)
    _again: deque[Shard] = field(default_factory=deque)
    _deaths: Counter[int] = field(default_factory=Counter)
    _failed_starts: int = 0
    _ended: bool = False

    def run(self) -> Progress:
        """Read all shards.

        Raises:
            EngineError: Workers do not start, or one failed for a reason other than an image.
            ModelFileError: The model failed its self-test.
        """
        alone_since = time.monotonic()
        for _ in range(self.engine.size):
            self.engine.start()
        while True:
            waiting = self._hand_out()
            if self._ended and not (self._busy or self._again):
                return self.progress
            for event in self.engine.events(0.1 if waiting else 1.0):
                self._handle(event)
            self.on_progress(self.progress)
            if self._busy or self._idle:
                alone_since = time.monotonic()
            elif time.monotonic() - alone_since > _ALONE_SECONDS:
                alone_since = time.monotonic()
                self.say("No workers available; waiting.")

    def _hand_out(self) -> bool:
        """Give shards to idle workers; return whether some wait for the plan."""
        while self._idle:
            shard = self._next()
            if shard is None:
                return not self._ended
            worker = self._idle.pop()
            self._busy[worker] = shard
            self.engine.give(worker, shard)
        return False

    def _next(self) -> Shard | None:
        if self._again:
            return self._again.popleft()
        if self._ended:
            return None
        try:
            return self.following()
        except StopIteration:
            self._ended = True
            return None

    def _handle(self, event: Event) -> None:
        match event:
            case Ready(worker):
                self._failed_starts = 0
                self._idle.append(worker)
            case Done(worker, Part() as part):
                del self._busy[worker]
                self._idle.append(worker)
                self._keep(part)
            case Done(_, Fault() as fault):
                raise fault.error()
            case Died(worker, reason):
                self._bury(worker, reason)

    def _bury(self, worker: int, reason: str) -> None:
        shard = self._busy.pop(worker, None)
        if shard is None:
            if worker in self._idle:
                self._idle.remove(worker)
            else:
                self._failed_starts += 1
                if self._failed_starts >= TRIES:
                    raise EngineError(f"the workers ended while starting ({reason}).")
        else:
            self.progress.deaths += 1
            self._deaths[shard.number] += 1
            if self._deaths[shard.number] >= TRIES:
                self.progress.given_up += 1
                self._keep(self.lost(shard, TRIES, reason))
            else:
                self._again.append(shard)
        self.engine.start()

    def _keep(self, part: Part) -> None:
        self.put(part)
        self._deaths.pop(part.number, None)
        self.progress.images += part.images
        self.progress.unreadable += part.unreadable

"""The pool of worker processes that read images.

Images are read in separate processes, so that an image that ends its process does not affect
others. The service itself only transfers bytes. Processes that die are replaced.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pneumoscope.serve.process import PoolError, Process

ATTEMPTS = 2
"""Maximum number of attempts to read an image whose process dies."""

_LONGEST_PAUSE_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.1

_log = logging.getLogger("pneumoscope.serve")


@dataclass(slots=True, eq=False)
class Answer:
    """The answer of a worker.

    Attributes:
        fields: ``status`` (``ok``, ``unreadable``, ``failed`` or ``died``), and further fields that
            depend on it.
        content: The record as JSON, of ``record_bytes`` bytes, followed by a picture, if requested.
        waited: Seconds until a process took the request.
        took: Seconds for which the process was occupied.
    """

    fields: dict[str, Any]
    content: bytes
    waited: float
    took: float


@dataclass(slots=True, eq=False)
class _Job:
    fields: dict[str, Any]
    content: Sequence[bytes | bytearray]
    done: asyncio.Future[Answer]
    arrived: float = field(default_factory=time.perf_counter)
    started: float = 0.0
    attempts: int = 0

    def finish(self, fields: dict[str, Any], content: bytes = b"") -> None:
        if not self.done.done():
            now = time.perf_counter()
            self.done.set_result(
                Answer(fields, content, self.started - self.arrived, now - self.started)
            )


class _Place:
    """A slot of the pool, filled by one process after another."""

    def __init__(self, process: Process | None = None) -> None:
        self.process = process
        self.ready = False
        self.retired = False
        self.job: _Job | None = None
        self.deadline: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None

    def taken(self) -> _Job | None:
        """Remove and return the image that the process was reading."""
        if self.deadline is not None:
            self.deadline.cancel()
        job, self.job, self.deadline = self.job, None, None
        return job


class Pool:
    """Reads images in worker processes.

    Args:
        models: Name → model file or run folder; None for the included reader.
        workers: Number of processes.
        image_seconds: Time limit for reading an image.
        first: A process with these models that is already started.

    Attributes:
        models: Metadata of the models by name; empty before ``open``.
    """

    def __init__(
        self,
        models: Mapping[str, Path | None],
        *,
        workers: int,
        image_seconds: float,
        first: Process | None = None,
    ) -> None:
        self._models = models
        self._image_seconds = image_seconds
        self._places = [_Place(first or Process(models)), *(_Place() for _ in range(1, workers))]
        self._jobs: deque[_Job] = deque()
        self._idle: list[_Place] = []
        self.models: dict[str, dict[str, Any]] = {}
        self.died = 0

    @property
    def ready(self) -> bool:
        """Whether there is a ready process."""
        return any(place.ready for place in self._places)

    @property
    def processes(self) -> list[int]:
        """The process IDs of the ready workers."""
        return [place.process.pid for place in self._places if place.ready and place.process]

    async def open(self) -> None:
        """Wait until the first process is ready; the others start in the background.

        They would only slow down the first one, which the start of the service waits for.

        Raises:
            PoolError: A model cannot be used.
        """
        await self._start(self._places)

    async def _start(self, places: list[_Place]) -> None:
        """Wait for the started processes, and keep all places occupied from now on."""
        try:
            started = [place for place in places if place.process]
            opened = [
                place.process.open(functools.partial(self._answered, place))
                for place in started
                if place.process
            ]
            self.models = (await asyncio.gather(*opened))[0]
        except BaseException:
            await self._end(places)
            raise
        for place in started:
            place.ready = True
        for place in places:
            place.task = asyncio.create_task(self._run(place))

    async def renew(self) -> None:
        """Reopen the model files in new processes and switch to them when ready.

        Raises:
            PoolError: A model cannot be used; the old processes remain in use.
        """
        old, new = self._places, [_Place(Process(self._models)) for _ in self._places]
        await self._start(new)
        self._places = new
        for place in old:
            place.retired = True
        self._idle = [place for place in self._idle if not place.retired]
        for place in old:
            if place.job is None and place.task:
                place.task.cancel()
        await asyncio.gather(*(place.task for place in old if place.task), return_exceptions=True)
        # Cancelled processes are killed, and remain zombies until they are waited for.
        await asyncio.gather(*(place.process.end() for place in old if place.process))

    async def close(self) -> None:
        """End the processes."""
        for place in self._places:
            place.retired = True
        await self._end(self._places)

    async def _end(self, places: list[_Place]) -> None:
        for place in places:
            if place.task:
                place.task.cancel()
        tasks = [place.task for place in places if place.task]
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(place.process.end() for place in places if place.process))

    def ask(
        self, fields: dict[str, Any], content: Sequence[bytes | bytearray]
    ) -> asyncio.Future[Answer]:
        """Return the answer of a worker; cancelling a waiting request is free.

        Args:
            fields: ``kind`` (``predict`` or ``picture``), ``model``, and options.
            content: The bytes of the image, in pieces.
        """
        job = _Job(fields, content, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._hand_out()
        return job.done

    def _hand_out(self) -> None:
        """Give waiting images to idle processes.

        The process that finished last gets the next image, since its data are still in the CPU
        caches.
        """
        while self._jobs and self._idle:
            job = self._jobs.popleft()
            if job.done.done():  # the client has disconnected
                continue
            place = self._idle.pop()
            if place.process is None:
                raise RuntimeError("an idle place without a process")
            job.attempts += 1
            job.started = time.perf_counter()
            place.job = job
            place.deadline = asyncio.get_running_loop().call_later(
                self._image_seconds, self._too_slow, place
            )
            place.process.ask(job.fields, job.content)

    def _answered(self, place: _Place, fields: dict[str, Any], content: bytes) -> None:
        job = place.taken()
        if place.retired:
            if place.task:
                place.task.cancel()
        else:
            self._idle.append(place)
            self._hand_out()  # before the response is sent, which would delay the process
        if job is not None:
            job.finish(fields, content)

    def _too_slow(self, place: _Place) -> None:
        job = place.taken()
        if job is not None:
            job.finish(
                {
                    "status": "unreadable",
                    "kind": "Timeout",
                    "reason": f"reading it took longer than {self._image_seconds:g} seconds",
                }
            )
        if place.process is not None:
            place.ready = False  # its end is noticed later
            place.process.kill()

    async def _run(self, place: _Place) -> None:
        """Keep one slot of the pool filled."""
        pause = _FIRST_PAUSE_SECONDS
        while not place.retired:
            try:
                if place.process is None:
                    place.process = Process(self._models)
                    await place.process.open(functools.partial(self._answered, place))
                    place.ready = True
                    _log.info("worker_started", extra={"facts": {"pid": place.process.pid}})
                pause = _FIRST_PAUSE_SECONDS
                self._idle.append(place)
                self._hand_out()
                await place.process.lost()
                self.died += 1
                _log.warning("worker_died", extra={"facts": {"pid": place.process.pid}})
                self._bury(place)
                await self._replace(place)
            except (PoolError, OSError) as fault:
                _log.error("worker_failed", extra={"facts": {"reason": str(fault)}})
                await self._replace(place)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            except asyncio.CancelledError:
                if place in self._idle:
                    self._idle.remove(place)
                if place.process:
                    place.process.kill()
                raise
        await self._replace(place)

    async def _replace(self, place: _Place) -> None:
        place.ready = False
        process, place.process = place.process, None
        if process:
            await process.end()

    def _bury(self, place: _Place) -> None:
        """Requeue the image of a process that died."""
        place.ready = False
        if place in self._idle:
            self._idle.remove(place)
        job = place.taken()
        if job is None:
            return
        if job.attempts < ATTEMPTS and not job.done.done():
            self._jobs.appendleft(job)
            self._hand_out()
        else:
            job.finish({"status": "died"})

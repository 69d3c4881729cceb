"""The worker processes: started, fed, replaced when they die, and renewed.

Images are read in processes of their own, so that an image that ends its process costs the others
nothing. The service itself only moves bytes.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pneumoscope.serve.process import PoolError, Process

ATTEMPTS = 2
"""An image whose process died is read once more by another one."""

_LONGEST_PAUSE_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.1

_log = logging.getLogger("pneumoscope.serve")


@dataclass(slots=True, eq=False)
class Answer:
    """The answer of a worker.

    Attributes:
        fields: ``status`` (``ok``, ``unreadable``, ``failed`` or ``died``), and what goes with it.
        content: A picture, where one was asked for.
        waited: Seconds before a process took the request.
        took: Seconds that the process was occupied.
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
        self.busy = False
        self.retired = False
        self.task: asyncio.Task[None] | None = None


class Pool:
    """Reads images in worker processes.

    Args:
        models: Name → model file or run folder, None for the reader of the package.
        workers: Processes.
        image_seconds: An image must be read within this time.
        first: A process with these models that was started already.

    Attributes:
        models: What the models say of themselves, by name; empty before ``open``.
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
        self._count = itertools.count()
        self._places = [_Place(first or Process(models)), *(_Place() for _ in range(1, workers))]
        self._jobs: asyncio.PriorityQueue[tuple[int, int, _Job]]
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

        They would only slow the first one down, which a service waits for that starts.

        Raises:
            PoolError: It cannot use a model.
        """
        self._jobs = asyncio.PriorityQueue()
        await self._start(self._places)

    async def _start(self, places: list[_Place]) -> None:
        """Wait for the processes that were started, and keep all places occupied from now on."""
        try:
            started = [place for place in places if place.process]
            opened = [place.process.open() for place in started if place.process]
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
            PoolError: One cannot be used; the old ones go on.
        """
        old, new = self._places, [_Place(Process(self._models)) for _ in self._places]
        await self._start(new)
        self._places = new
        for place in old:
            place.retired = True
            if not place.busy and place.task:
                place.task.cancel()
        await asyncio.gather(*(place.task for place in old if place.task), return_exceptions=True)
        # Those that were cancelled are killed; until they are waited for, they stay as zombies.
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
        self._jobs.put_nowait((1, next(self._count), job))
        return job.done

    async def _run(self, place: _Place) -> None:
        """Keep one slot of the pool filled."""
        pause = _FIRST_PAUSE_SECONDS
        while not place.retired:
            try:
                if place.process is None:
                    place.process = Process(self._models)
                    await place.process.open()
                    place.ready = True
                    _log.info("worker_started", extra={"facts": {"pid": place.process.pid}})
                pause = _FIRST_PAUSE_SECONDS
                await self._feed(place, place.process)
            except PoolError as fault:
                _log.error("worker_failed", extra={"facts": {"reason": str(fault)}})
                await self._replace(place)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            except (OSError, asyncio.IncompleteReadError):
                self.died += 1
                pid = place.process and place.process.pid
                _log.warning("worker_died", extra={"facts": {"pid": pid}})
                await self._replace(place)
            except asyncio.CancelledError:
                if place.process:
                    place.process.kill()
                raise
        await self._replace(place)

    async def _replace(self, place: _Place) -> None:
        place.ready = False
        process, place.process = place.process, None
        if process:
            await process.end()

    async def _feed(self, place: _Place, process: Process) -> None:
        """Send images to the process until it dies or is retired."""
        while not place.retired:
            _, _, job = await self._jobs.get()
            if job.done.done():  # the client went away
                continue
            place.busy = True
            try:
                await self._read(process, job)
            finally:
                place.busy = False

    async def _read(self, process: Process, job: _Job) -> None:
        job.attempts += 1
        job.started = time.perf_counter()
        try:
            async with asyncio.timeout(self._image_seconds):
                job.finish(*await process.ask(job.fields, job.content))
        except TimeoutError as fault:
            job.finish(
                {
                    "status": "unreadable",
                    "kind": "Timeout",
                    "reason": f"reading it took longer than {self._image_seconds:g} seconds",
                }
            )
            raise ConnectionError("too slow") from fault
        except (OSError, asyncio.IncompleteReadError):
            if job.attempts < ATTEMPTS and not job.done.done():
                self._jobs.put_nowait((0, next(self._count), job))
            else:
                job.finish({"status": "died"})
            raise

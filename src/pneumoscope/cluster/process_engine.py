"""Worker processes on this machine, each with a pipe."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from pneumoscope.cluster.supervise import Died, Done, Event, Ready
from pneumoscope.cluster.work import Fault, Job, MakeReader, ShardReader, attempt
from pneumoscope.parallel import cores

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from pneumoscope.cluster.shards import Shard


class ProcessEngine:
    """Worker processes on this machine; see ``supervise.Engine``.

    Args:
        job: Settings of the workers.
        workers: Number of workers; one per core if None.
        make: Creates the reader of a worker, in its process.
    """

    def __init__(
        self, job: Job, *, workers: int | None = None, make: MakeReader = ShardReader
    ) -> None:
        self._job = job
        self._size = workers or cores()
        self._make = make
        # A forked process would inherit locks held by ONNX Runtime's threads.
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._last = -1

    @property
    def size(self) -> int:
        """The number of workers to use."""
        return self._size

    def start(self) -> int:
        """Start a worker."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._job, self._make), daemon=True
        )
        process.start()
        theirs.close()
        self._last += 1
        self._workers[self._last] = (process, ours)
        return self._last

    def give(self, worker: int, shard: Shard) -> None:
        """Give a shard to a worker."""
        try:
            self._workers[worker][1].send(shard)
        except OSError:  # it is dead, which is about to be detected by the closed pipe
            return

    def events(self, timeout: float) -> list[Event]:
        """Return what happened since the last call."""
        ready = connection.wait([pipe for _, pipe in self._workers.values()], timeout)
        found: list[Event] = []
        for worker, (_, pipe) in list(self._workers.items()):
            if pipe not in ready:
                continue
            try:
                told = pipe.recv()
            except (EOFError, OSError):
                found.append(Died(worker, self._buried(worker)))
                continue
            found.append(Ready(worker) if told is None else Done(worker, told))
        return found

    def close(self) -> None:
        """End all workers."""
        for process, pipe in self._workers.values():
            pipe.close()
            process.kill()
        for process, _ in self._workers.values():
            process.join()
        self._workers.clear()

    def _buried(self, worker: int) -> str:
        process, pipe = self._workers.pop(worker)
        pipe.close()
        process.join(timeout=5)
        code = process.exitcode
        if code is not None and code < 0:
            return f"ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"


def _serve(pipe: Connection, job: Job, make: MakeReader) -> None:
    """Read shards until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the parent process handles Ctrl-C
    try:
        try:
            reader = make(job)
        except Exception as fault:  # the error ends the run
            pipe.send(Fault(type(fault).__name__, str(fault)))
            return
        told: Any = None
        while True:
            pipe.send(told)
            told = attempt(reader, pipe.recv())
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return

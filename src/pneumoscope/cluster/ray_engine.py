"""Workers of a Ray cluster: actors with one predictor each.

Actors receive paths and return parts; in addition, only the model file is sent, once per machine.
docs/decisions/0010-cluster.md explains why Ray Data is not used.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pneumoscope.cluster.shards import Shard
from pneumoscope.cluster.supervise import Died, Done, Event, Ready
from pneumoscope.cluster.work import Fault, Job, MakeReader, ShardReader, attempt
from pneumoscope.errors import EngineError
from pneumoscope.parallel import cores

if TYPE_CHECKING:
    from pneumoscope.cluster.parts import Part

LOOPBACK = "127.0.0.1"
_ANSWER_SECONDS = 10.0
_OBJECTS_BYTES = 128 * 2**20  # paths and parts are small


class RayEngine:
    """Actors of a Ray cluster; see ``supervise.Engine``.

    Args:
        job: Settings of the workers.
        address: Address of a cluster, as for ``ray.init``; None starts one on this machine, which
            only listens on the loopback interface and ends with this process.
        workers: Number of actors; one per CPU of the cluster if None.
        make: Creates the reader of a worker, in its process.

    Raises:
        EngineError: The cluster cannot be reached, or has no CPUs.
        ModuleNotFoundError: Ray is not installed; it comes with the extra ``ray``.
    """

    def __init__(
        self,
        job: Job,
        *,
        address: str | None = None,
        workers: int | None = None,
        make: MakeReader = ShardReader,
    ) -> None:
        self._ray = _initialised(address, workers)
        self._size = workers or int(self._ray.cluster_resources().get("CPU", 0))
        if not self._size:
            self.close()
            raise EngineError(f"{address}: this Ray cluster has no CPUs.")
        self._job = self._ray.put(job)
        self._make = make
        self._kind = self._ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Actor)
        self._actors: dict[int, Any] = {}
        self._under_way: dict[Any, tuple[int, bool]] = {}
        self._last = -1

    @property
    def size(self) -> int:
        """The number of workers to use."""
        return self._size

    def start(self) -> int:
        """Request an actor; it starts when the cluster has resources for it."""
        self._last += 1
        options = self._kind.options(name=f"pneumoscope-{os.getpid()}-{self._last}")
        actor = options.remote(self._job, self._make)
        self._actors[self._last] = actor
        self._under_way[actor.ready.remote()] = (self._last, True)
        return self._last

    def give(self, worker: int, shard: Shard) -> None:
        """Give a shard to an actor."""
        self._under_way[self._actors[worker].read.remote(shard)] = (worker, False)

    def events(self, timeout: float) -> list[Event]:
        """Return what happened since the last call."""
        if not self._under_way:
            time.sleep(timeout)
            return []
        done, _ = self._ray.wait(list(self._under_way), num_returns=1, timeout=timeout)
        return [self._event(each) for each in done]

    def close(self) -> None:
        """End the actors and disconnect; a cluster that was started for this run ends as well."""
        self._ray.shutdown()

    def _event(self, reference: Any) -> Event:
        worker, starting = self._under_way.pop(reference)
        faults = self._ray.exceptions
        try:
            result = self._ray.get(reference)
        except (
            faults.RayActorError,
            faults.WorkerCrashedError,
            faults.OutOfMemoryError,
            faults.ObjectLostError,
            faults.NodeDiedError,
        ) as fault:
            with suppress(ValueError):  # it may still be alive if only its answer was lost
                self._ray.kill(self._actors.pop(worker))
            return Died(worker, _in_words(fault))
        except faults.RayError as fault:
            return Done(worker, Fault(type(fault).__name__, _in_words(fault)))
        if starting and result is None:
            return Ready(worker)
        return Done(worker, result)


class Actor:
    """A worker: a process of the cluster with one predictor."""

    def __init__(self, job: Job, make: MakeReader) -> None:
        self._fault: Fault | None = None
        try:
            self._reader = make(job)
        except Exception as fault:  # the error ends the run
            self._fault = Fault(type(fault).__name__, str(fault))
        from ray.util.metrics import Counter  # noqa: PLC0415 - an extra

        self._images = Counter("pneumoscope_images", description="Images that were read")
        self._unreadable = Counter(
            "pneumoscope_unreadable", description="Images that could not be read"
        )

    def ready(self) -> Fault | None:
        """Return why this worker cannot read; None if it can."""
        return self._fault

    def read(self, shard: Shard) -> Part | Fault:
        """Return the part of a shard."""
        result = attempt(self._reader, shard)
        if not isinstance(result, Fault):
            self._images.inc(result.images)
            if result.unreadable:
                self._unreadable.inc(result.unreadable)
        return result


def _initialised(address: str | None, workers: int | None) -> Any:
    """Return the module ``ray``, connected."""
    # Both are read when Ray is imported, and by the cluster that it starts.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if not address:
        # On Windows and macOS, Ray only listens on the loopback interface. With 0, it does so on
        # Linux as well; otherwise a local cluster listens on all interfaces, regardless of its
        # address.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray  # noqa: PLC0415 - an extra

    own: dict[str, Any] = {
        "address": "local",
        "num_cpus": workers or cores(),
        "object_store_memory": _OBJECTS_BYTES,
        "include_dashboard": False,
        "_node_ip_address": LOOPBACK,
    }
    if address:
        _check_answers(address)
    ending = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            **({"address": address} if address else own),
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as fault:
        raise EngineError(
            f"{address or 'ray'}: no Ray cluster found, or it does not respond "
            f"({_in_words(fault)})."
        ) from fault
    if ending is not None:
        signal.signal(signal.SIGTERM, ending)  # Ray has replaced it by its own
    return ray


def _check_answers(address: str) -> None:
    """Raise an error if nothing listens at an address; Ray would end the process instead."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()) or "://" in address:  # "auto", and the addresses of clients
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as fault:
        raise EngineError(
            f"{address}: no Ray cluster found, or it does not respond ({_in_words(fault)})."
        ) from fault


def _in_words(fault: Exception) -> str:
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return lines[0][:300].rstrip(".") if lines else type(fault).__name__

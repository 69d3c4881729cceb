"""Decode JPEG-LS in separate processes.

The JPEG-LS decoders for Python end the process for some damaged files, or never return. Images are
therefore decoded in worker processes, which may die, with a time limit for each image. A worker
serves one thread at a time and is reused, since starting an interpreter takes longer than decoding
an image.
"""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from pneumoscope.images.dicom import jpegls_worker
from pneumoscope.images.dicom.jpegls_worker import ANSWER, LENGTH, SECONDS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def decode(frame: bytes) -> NDArray[Any]:
    """Return the values of a JPEG-LS codestream, [rows, columns] or [rows, columns, samples].

    Any number of threads may call it; each uses its own worker process during the call. A worker
    that failed, died or was too slow is replaced, so images do not affect each other.

    Raises:
        ValueError: The codestream cannot be decoded, or not in time.
        NotStartedError: No worker can be started.
    """
    return _workers().decode(frame)


class NotStartedError(Exception):
    """A worker cannot be started: too many processes, or out of memory."""


class _Late(Exception):  # noqa: N818 - converted into a ValueError
    """A worker did not answer in time."""


class _Worker:
    """A decoding process and its pipes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, a file of ours
            [sys.executable, "-P", jpegls_worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            # Ctrl-C in a terminal is for the parent; the worker ends when its input does.
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "OPENBLAS_NUM_THREADS": "1",
            },
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def decode(self, frame: bytes, *, seconds: float) -> NDArray[Any]:
        """Return the decoded values.

        Raises:
            ValueError: The worker cannot decode them.
            OSError: The worker died.
            _Late: The worker was killed after ``seconds``.
        """
        late = threading.Event()

        def expire() -> None:
            late.set()
            self._process.kill()

        # Killing the worker also wakes up this thread, whether it is writing or reading.
        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            return self._ask(frame)
        except OSError as fault:
            if late.is_set():
                raise _Late from fault
            raise
        finally:
            timer.cancel()
            timer.join()  # so that no thread remains when the program ends

    def _ask(self, frame: bytes) -> NDArray[Any]:
        _write(self._process.stdin, LENGTH.pack(len(frame)))
        _write(self._process.stdin, frame)
        answer = bytearray(ANSWER.size)
        _read(self._process.stdout, answer)
        item_bytes, rows, columns, samples = ANSWER.unpack(answer)
        if item_bytes not in {1, 2}:
            raise ValueError("JPEG-LS data that cannot be decoded")
        shape = (rows, columns, samples) if samples else (rows, columns)
        pixels = np.empty(shape, np.uint8 if item_bytes == 1 else np.uint16)
        _read(self._process.stdout, pixels)
        return pixels

    def end(self) -> None:
        """Kill the process and close its pipes."""
        self._process.kill()
        self.let_go()
        self._process.wait()

    def let_go(self) -> None:
        """Close the pipes without touching the process, which belongs to the parent."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class _Workers:
    """A pool with as many workers as there are decoding threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        atexit.register(self._end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def decode(self, frame: bytes) -> NDArray[Any]:
        worker, whole = self._take(), False
        try:
            pixels = worker.decode(frame, seconds=SECONDS)
            whole = True
        except _Late:
            raise ValueError(f"JPEG-LS data that are not decoded in {SECONDS} seconds") from None
        except OSError as fault:
            raise ValueError("JPEG-LS data that cannot be decoded") from fault
        finally:  # also at Ctrl-C, when an answer would arrive that nobody waits for
            if whole:
                self._give_back(worker)
            else:
                self._discard(worker)
        return pixels

    def _take(self) -> _Worker:
        while True:
            with self._lock:
                if not self._idle:
                    break
                worker = self._idle.pop()
                if worker.alive:
                    return worker
            self._discard(worker)  # killed by another process
        try:
            worker = _Worker()
        except OSError as fault:
            raise NotStartedError(fault.strerror or str(fault)) from fault
        with self._lock:
            self._all.add(worker)
        return worker

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            self._idle.append(worker)

    def _discard(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.end()

    def _end(self) -> None:
        """Called at the end of the program."""
        with self._lock:
            workers, self._all, self._idle = self._all, set(), []
        for worker in workers:
            worker.end()

    def _forget(self) -> None:
        """Called in a forked child: the workers belong to the parent."""
        workers, self._all, self._idle = self._all, set(), []
        self._lock = threading.Lock()
        for worker in workers:
            worker.let_go()


@functools.cache
def _workers() -> _Workers:
    return _Workers()


def _write(pipe: IO[bytes] | None, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[pipe.write(left) :] if pipe else left[:0]


def _read(pipe: IO[bytes] | None, into: Any) -> None:
    """Fill a buffer.

    Raises:
        OSError: The pipe ended early.
    """
    left = memoryview(into).cast("B")
    while left:
        count = pipe.readinto(left) if pipe else 0  # type: ignore[attr-defined]
        if not count:
            raise BrokenPipeError("the worker ended")
        left = left[count:]

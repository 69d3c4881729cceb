"""Train several runs in parallel processes, one per device at a time.

Each process runs this module with a job file; processes started by Lightning for a run on several
devices read the same file.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn

from pneumoscope.errors import PneumoscopeError
from pneumoscope.runs import write_json
from pneumoscope.watch import Watcher

if TYPE_CHECKING:
    from types import FrameType

    from pneumoscope.training.devices import Placement
    from pneumoscope.training.recipe import Recipe

_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Job:
    """A run to train; see ``train_reader``."""

    title: str
    data: Path
    out: Path
    recipe: Recipe
    split_file: Path | None
    placement: Placement
    workers: int | None
    resume: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "title": self.title,
            "data": str(self.data),
            "out": str(self.out),
            "recipe": self.recipe.to_dict(),
            "split_file": self.split_file and str(self.split_file),
            "placement": dataclasses.asdict(self.placement),
            "workers": self.workers,
            "resume": self.resume,
        }


def train_side_by_side(
    jobs: Sequence[Job], *, places: Sequence[Mapping[str, str]], watcher: Watcher
) -> None:
    """Train every run in parallel where possible; failures do not stop other runs.

    Args:
        jobs: The runs.
        places: Environment variables of each place.
        watcher: Receives progress reports.

    Raises:
        PneumoscopeError: A run failed; its log is kept next to it.
        KeyboardInterrupt: A run was interrupted.
    """
    free: SimpleQueue[Mapping[str, str]] = SimpleQueue()
    for place in places:
        free.put(place)
    children = _Children()

    def train(job: Job) -> None:
        place = free.get()
        try:
            children.train(job, place)
        finally:
            free.put(place)
        watcher.say(f"{job.title} has ended")

    with ThreadPoolExecutor(len(places)) as pool:
        ahead = [pool.submit(train, job) for job in jobs]
        try:
            wait(ahead)
        except BaseException:  # the whole training was interrupted, not a single run
            for future in ahead:
                future.cancel()
            children.end()
            raise
    for future in ahead:
        future.result()


def devices() -> list[dict[str, str]]:
    """Return the CUDA devices of this machine; none if there are fewer than two."""
    import torch  # noqa: PLC0415 - only needed for training

    count = torch.cuda.device_count()
    return [{"CUDA_VISIBLE_DEVICES": str(number)} for number in range(count)] if count > 1 else []


class _Children:
    """The running training processes."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def train(self, job: Job, place: Mapping[str, str]) -> None:
        log = job.out.with_name(f"{job.out.name}.log")
        job_file = job.out.with_name(f"{job.out.name}.json")
        write_json(job_file, job.to_dict())
        command = [sys.executable, "-m", __name__, str(job_file)]
        with log.open("wb") as stream:
            with self._lock:
                if self._ended:
                    return
                child = subprocess.Popen(  # noqa: S603 - our own command
                    command,
                    env={**os.environ, **place},
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                )
                self._running.add(child)
            child.wait()
        with self._lock:
            self._running.discard(child)
        if child.returncode == _INTERRUPTED:
            raise KeyboardInterrupt
        if child.returncode:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise PneumoscopeError(f"{job.out}: training failed ({' '.join(last)}); see {log}.")
        log.unlink()
        job_file.unlink()

    def end(self) -> None:
        """Terminate all processes."""
        with self._lock:
            self._ended = True
            for child in self._running:
                child.terminate()


class _Plain(Watcher):
    """Prints messages to standard error."""

    def say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")

    def warn(self, text: str) -> None:
        sys.stderr.write(f"warning: {text}\n")


def _main() -> int:
    from pneumoscope.training.devices import Placement  # noqa: PLC0415 - in the new process
    from pneumoscope.training.recipe import Recipe  # noqa: PLC0415
    from pneumoscope.workflow.train import train_reader  # noqa: PLC0415

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        trained = train_reader(
            Path(job["data"]),
            Path(job["out"]),
            recipe=None if job["resume"] else Recipe.from_dict(job["recipe"]),
            split_file=Path(job["split_file"]) if job["split_file"] else None,
            placement=Placement(**job["placement"]),
            resume=job["resume"],
            workers=job["workers"],
            watcher=_Plain(),
        )
    except PneumoscopeError as fault:
        sys.stderr.write(f"error: {fault}\n")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return _INTERRUPTED if trained is not None and trained.fitted.interrupted else 0


if __name__ == "__main__":
    gc.set_threshold(50_000)  # as in the command line: imported objects contain no cycles
    sys.exit(_main())

"""The processes that train the runs of a study, and what they report."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from pneumoscope.parallel import cores
from pneumoscope.study.folder import files_of, numbers_of
from pneumoscope.training.recipe import Recipe

if TYPE_CHECKING:
    from pneumoscope.study.board import Board
    from pneumoscope.study.entries import Entered
    from pneumoscope.study.folder import StudyFolder
    from pneumoscope.tracking import Tracker
    from pneumoscope.watch import Watcher


WORKER = (sys.executable, "-m", "pneumoscope.study.worker")


NEEDS_BYTES = 2 * 2**30
"""Assumed memory of a run until one has reported it."""


class Crew:
    """The worker processes and their messages."""

    def __init__(
        self,
        folder: StudyFolder,
        data: Path,
        board: Board,
        *,
        trackers: Sequence[Tracker],
        show: Callable[[Board], None] | None,
        watcher: Watcher,
    ) -> None:
        self._folder, self._data, self._board = folder, data, board
        self._trackers, self._show, self._watcher = trackers, show, watcher
        self._events: SimpleQueue[tuple[Worker, dict[str, Any]]] = SimpleQueue()
        self._needs = NEEDS_BYTES

    def work(self, entered: Sequence[Entered], *, jobs: int, models: bool) -> None:
        """Train all runs.

        Raises:
            KeyboardInterrupt: The study was interrupted; finished epochs are kept.
        """
        waiting = deque(entered)
        workers: list[Worker] = []
        reported = False
        try:
            while waiting or any(worker.item for worker in workers):
                for worker in workers:
                    if worker.item is None and waiting:
                        self._give(worker, waiting.popleft(), models=models)
                if waiting and len(workers) < jobs:
                    if not workers or available_bytes() > self._needs:
                        workers.append(Worker(self._data, self._events, threads=_threads(jobs)))
                        continue
                    if not reported:
                        reported = True
                        self._watcher.warn(
                            f"memory is sufficient for {len(workers)} of {jobs} parallel runs."
                        )
                worker, event = self._events.get()
                self._handle(worker, event)
                if event["event"] == "ended":
                    worker.end()
                    workers.remove(worker)
        finally:
            for worker in workers:
                worker.end()

    def _give(self, worker: Worker, item: Entered, *, models: bool) -> None:
        self._folder.note("begun", item.run.name)
        worker.give(item, models=models)
        self._board.running[item.planned.name] = len(item.run.log())
        for tracker in self._trackers:
            tracker.begin(item.run.name, Recipe.load(item.run.files.config).to_dict())
        self._shown()

    def _handle(self, worker: Worker, event: dict[str, Any]) -> None:
        item = worker.item
        if item is None:
            return
        title, run = item.planned.name, item.run
        match event["event"]:
            case "begun":
                return
            case "epoch":
                self._board.running[title] = int(event["epoch"])
                for tracker in self._trackers:
                    for row in run.log()[-1:]:
                        tracker.epoch(run.name, row)
                self._shown()
                return
            case "done":
                found = run.result()
                self._needs = max(found.peak_bytes, 2**28)
                self._board.done[title] = (found.val["auc"], found.seconds)
                self._folder.note("finished", run.name, seconds=found.seconds)
                for tracker in self._trackers:
                    tracker.end(run.name, numbers_of(found), files_of(run))
                self._report(title, f"validation AUC {found.val['auc']:.4f}", found.seconds)
            case "failed":
                self._failed(item, str(event["error"]))
            case "ended":
                code = int(event["code"])
                reason = f"its process ended with signal {-code}" if code < 0 else (
                    f"its process ended with code {code}"
                )  # fmt: skip
                if code == -9:
                    reason += ", which usually means that memory ran out"
                error = f"{reason}. {event['last']}".strip()
                run.fail(error)
                self._failed(item, error)
        worker.item = None
        self._board.running.pop(title, None)
        self._shown()

    def _failed(self, item: Entered, error: str) -> None:
        self._board.failed[item.planned.name] = error
        self._folder.note("failed", item.run.name, error=error)
        for tracker in self._trackers:
            tracker.end(item.run.name, {}, [], failed=True)
        self._watcher.warn(f"{item.planned.name}: {error}")

    def _report(self, title: str, text: str, seconds: float) -> None:
        board = self._board
        left = board.seconds_left
        parts = [f"{len(board.done)} of {board.total}", f"{title}: {text} after {seconds:.0f} s"]
        if board.best:
            parts.append(f"best so far {board.best[1]:.4f} ({board.best[0]})")
        if left and board.left:
            parts.append(f"{left / 60:.0f} min left")
        self._watcher.say("; ".join(parts))

    def _shown(self) -> None:
        if self._show:
            self._show(self._board)


class Worker:
    """A process that trains runs."""

    def __init__(
        self, data: Path, events: SimpleQueue[tuple[Worker, dict[str, Any]]], *, threads: int
    ) -> None:
        self.item: Entered | None = None
        self._data = data
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={"OMP_NUM_THREADS": str(threads), **os.environ},
            start_new_session=True,  # only the parent handles Ctrl-C; it closes the input
        )
        self._last: deque[str] = deque(maxlen=5)
        self._reading = threading.Thread(target=self._read_errors, daemon=True)
        self._listening = threading.Thread(target=self._listen, args=(events,), daemon=True)
        self._reading.start()
        self._listening.start()

    def give(self, item: Entered, *, models: bool) -> None:
        """Assign a run to the process."""
        self.item = item
        assert self._process.stdin is not None  # noqa: S101 - a pipe, as requested
        job = {
            "data": str(self._data.absolute()), "run": str(item.run.root.absolute()),
            "split": str(item.split.absolute()), "model": models,
        }  # fmt: skip
        with contextlib.suppress(BrokenPipeError):  # it died; its end is detected elsewhere
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """Stop the process now; its run can be resumed later."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe, as requested
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listening.join(10)

    def _listen(self, events: SimpleQueue[tuple[Worker, dict[str, Any]]]) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe, as requested
        with self._process.stdout as stream:
            for line in stream:
                with contextlib.suppress(ValueError):
                    events.put((self, json.loads(line)))
        code = self._process.wait()
        self._reading.join(5)
        events.put((self, {"event": "ended", "code": code, "last": " ".join(self._last)}))

    def _read_errors(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - a pipe, as requested
        with self._process.stderr as stream:
            for line in stream:
                if line.strip():
                    self._last.append(line.strip())


def _threads(jobs: int) -> int:
    return max(1, cores() // jobs)


def available_bytes() -> int:
    """Return the available memory; a large number if unknown."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 2**62
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAv")), 2**62)
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        free = min(free, limit - used)
    return free

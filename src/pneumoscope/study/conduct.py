"""Run a study, resuming after interruptions."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import yaml

from pneumoscope.errors import OutputError, PneumoscopeError, in_range
from pneumoscope.parallel import cores
from pneumoscope.runs import locked_folder, provenance, update_json, version, write_json, write_text
from pneumoscope.study.folder import JOURNAL, StudyFolder, StudyRun, identity
from pneumoscope.study.images import StudyImages, digest_of, read_images
from pneumoscope.study.plan import Plan, Planned
from pneumoscope.training.recipe import PRESETS, Recipe, change_recipe
from pneumoscope.watch import Watcher

if TYPE_CHECKING:
    from pneumoscope.data.catalog import Catalog
    from pneumoscope.tracking import Tracker

WORKER = (sys.executable, "-m", "pneumoscope.study.worker")
BASE_FILE = "base.yaml"
NEEDS_BYTES = 2 * 2**30
"""What a run is taken to need before one has told."""


@dataclass(frozen=True, slots=True)
class Entered:
    """A run of a plan with its folder.

    Attributes:
        planned: What it is to be.
        run: Its folder.
        split: The file of its split.
    """

    planned: Planned
    run: StudyRun
    split: Path


@dataclass(slots=True)
class Board:
    """The progress of a study: finished, running and failed runs, and the best so far.

    Attributes:
        total: Runs of the plan.
        before: Runs that were finished already.
        done: Title → held-out AUC of the runs that finished, and seconds.
        failed: Title → error.
        running: Title → epochs learnt.
        jobs: How many run at once.
    """

    total: int
    jobs: int = 1
    before: int = 0
    done: dict[str, tuple[float, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Runs that are neither finished nor failed."""
        return self.total - len(self.done) - len(self.failed)

    @property
    def seconds_left(self) -> float | None:
        """Estimated time for the remaining runs, from the finished ones."""
        known = [seconds for _, seconds in self.done.values()]
        return self.left * sum(known) / len(known) / self.jobs if known else None

    @property
    def best(self) -> tuple[str, float] | None:
        """The run with the highest validation AUC, and its value."""
        known = [(title, area) for title, (area, _) in self.done.items() if area == area]  # noqa: PLR0124
        return max(known, key=lambda pair: pair[1]) if known else None


def conduct(
    data: Path,
    out: Path,
    *,
    plan: Plan,
    jobs: int = 1,
    retry: bool = False,
    trackers: Sequence[Tracker] = (),
    show: Callable[[Board], None] | None = None,
    watcher: Watcher | None = None,
) -> StudyFolder:
    """Train every run of a plan, and write its page; return the folder.

    A finished run is never repeated: a run is what its recipe, its images, their split and the
    version of this package make it, and where such a run is finished it is taken. One that was
    begun goes on at its last epoch. A run that fails is a row with its error.

    Args:
        data: What ``read_catalog`` takes; its test part is left out.
        out: The folder of the study; new, or of an earlier call.
        plan: What to do.
        jobs: How many runs at once, as far as memory allows.
        retry: Whether runs that failed are tried again.
        trackers: Hear of every run.
        show: Called with the table whenever it changes.
        watcher: Hears how it goes.

    Raises:
        OutputError: The folder holds something else, another study, or is in use.
        PneumoscopeError: The data cannot be worked with.
    """
    watcher = watcher or Watcher()
    in_range("jobs", jobs, low=1, high=1000)
    folder = opened(out)
    with locked_folder(out):
        entered = enter(folder, images_of(folder, data, plan, watcher=watcher), plan)
        write_runs(folder, entered)
        train_entered(
            folder, data, entered, jobs=jobs, retry=retry, models=plan.models, trackers=trackers,
            show=show, watcher=watcher,
        )  # fmt: skip
    return folder


def train_entered(
    folder: StudyFolder,
    data: Path,
    entered: Sequence[Entered],
    *,
    jobs: int = 1,
    retry: bool = False,
    models: bool = False,
    trackers: Sequence[Tracker] = (),
    show: Callable[[Board], None] | None = None,
    watcher: Watcher,
) -> None:
    """Train runs that have their folders; see ``conduct``."""
    board = Board(len(entered), jobs)
    left = _left(entered, board, retry=retry, watcher=watcher)
    for item in entered:
        if item.run.finished:  # a tracker has all runs of a study, whenever they were learnt
            _tell_of(item, trackers)
    if left:
        crew = _Crew(folder, data, board, trackers=trackers, show=show, watcher=watcher)
        crew.work(left, jobs=jobs, models=models)


def opened(out: Path) -> StudyFolder:
    """Return the folder of a study, new or existing.

    Raises:
        OutputError: It holds something else, or cannot be made.
    """
    folder = StudyFolder(out)
    try:
        if out.exists() and any(out.iterdir()) and not folder.facts_file.is_file():
            raise OutputError(f"{out}: is not a study; choose another `out`.")
        out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise OutputError(f"{out}: cannot be made ({fault.strerror}).") from fault
    return folder


def images_of(folder: StudyFolder, data: Path, plan: Plan, *, watcher: Watcher) -> StudyImages:
    """Return the images of a study with their split, and record them.

    Raises:
        OutputError: The folder has a study of other images, or divided otherwise.
    """
    base = with_network(plan.base)
    catalog = read_images(data, base, watcher=watcher)
    # Before anything heavy, so that a study that is killed here can go on.
    _note_study(folder, data, plan, catalog)
    journal = folder.root / JOURNAL
    if journal.is_file() and journal.stat().st_size:
        text = journal.read_bytes()
        if not text.endswith(b"\n"):  # a line that a crash cut short
            journal.write_bytes(text + b"\n")
    return StudyImages.of(catalog, base, plan.division, watcher=watcher)


def _note_study(folder: StudyFolder, data: Path, plan: Plan, catalog: Catalog) -> None:
    division = {name: getattr(plan.division, name) for name in plan.division.__slots__}
    if folder.facts_file.is_file():
        facts = folder.facts()
        for what, before, now in (
            ("other images", facts["data_fingerprint"], catalog.fingerprint),
            ("a different split of the images", facts["division"], division),
        ):
            if before != now:
                raise OutputError(
                    f"{folder.root}: contains a study of {what}; choose another `out`."
                )
    write_plan(folder, plan)
    if not folder.facts_file.is_file():
        write_json(
            folder.facts_file,
            provenance(
                data=str(data.resolve()),
                data_root=str(catalog.root.resolve()),
                data_fingerprint=catalog.fingerprint,
                division=division,
                about=plan.about,
            ),
        )


def write_plan(folder: StudyFolder, plan: Plan) -> None:
    """Write the plan; a recipe file used as base is copied next to it."""
    source = dict(plan.source)
    if source.get("base", "seed") not in PRESETS:
        plan.given.save(folder.root / BASE_FILE)
        source["base"] = BASE_FILE
    write_text(folder.plan, yaml.safe_dump(source, sort_keys=False, allow_unicode=True))


def with_network(recipe: Recipe) -> Recipe:
    """Return the recipe with ``auto`` replaced by the network for this machine."""
    if recipe.learning.model != "auto":
        return recipe
    from pneumoscope.models.choice import choose_backbone  # noqa: PLC0415 - torch
    from pneumoscope.training.devices import best_device  # noqa: PLC0415

    return change_recipe(recipe, model=choose_backbone(best_device("auto")).model)


def enter(folder: StudyFolder, images: StudyImages, plan: Plan) -> list[Entered]:
    """Create folder, recipe and split of each run of a plan; return them in order.

    Raises:
        PneumoscopeError: The images cannot be divided as a recipe says.
    """
    return [enter_run(folder, images, plan, planned) for planned in plan.runs()]


def enter_run(folder: StudyFolder, images: StudyImages, plan: Plan, planned: Planned) -> Entered:
    """Create folder, recipe and split of a run.

    One whose split cannot be made, as where the data have no validation folder, has failed.
    """
    recipe = with_network(divided(planned.recipe, plan))
    digest, error = "none", ""
    try:
        split = images.split(recipe.data)
    except PneumoscopeError as fault:
        error = str(fault)
    else:
        digest = digest_of(images.catalog, split)
    place = folder.splits / f"{digest}.csv"
    if not error and not place.is_file():
        split.save(place, images.catalog)
    own = identity(recipe, fingerprint=images.catalog.fingerprint, split=digest)
    run = folder.run(planned.name, own)
    if not run.asked.is_file():
        recipe.save(run.files.config)
        asked = {
            "title": planned.name,
            "identity": own,
            "split": place.name,
            "version": version(),
        }
        write_json(run.asked, asked)
    if error:
        run.fail(error)
    return Entered(planned, run, place)


def divided(recipe: Recipe, plan: Plan) -> Recipe:
    """Return a recipe with the split of the plan, except for its own changes."""
    own, base = recipe.data, plan.base.data
    wanted = {
        "validation": plan.division.validation,
        "val_fraction": plan.division.val_fraction,
        "block": plan.division.block,
    }
    kept = {name: v for name, v in wanted.items() if getattr(own, name) == getattr(base, name)}
    return change_recipe(recipe, **kept)


def _left(
    entered: Sequence[Entered], board: Board, *, retry: bool, watcher: Watcher
) -> list[Entered]:
    """Return the unfinished runs, and add the others to the board."""
    left = []
    for item in entered:
        title = item.planned.name
        if item.run.finished:
            found = item.run.result()
            board.done[title] = (found.val["auc"], found.seconds)
        elif item.run.error_file.is_file() and not (retry and item.split.is_file()):
            board.failed[title] = item.run.error()
        else:
            item.run.error_file.unlink(missing_ok=True)
            left.append(item)
    board.before = len(board.done)
    if board.before:
        watcher.say(f"{board.before} of {board.total} runs exist already")
    if board.failed:
        watcher.warn(f"{len(board.failed)} runs failed already; repeat them with `retry`.")
    return left


def _tell_of(item: Entered, trackers: Sequence[Tracker]) -> None:
    """Tell trackers of a run that is finished."""
    run = item.run
    for tracker in trackers:
        tracker.begin(run.name, Recipe.load(run.files.config).to_dict())
        for row in run.log():
            tracker.epoch(run.name, row)
        tracker.end(run.name, numbers_of(run.result()), files_of(run))


def files_of(run: StudyRun) -> list[Path]:
    """Return the files of a run that a tracker takes; they need not be there."""
    return [run.files.model, run.files.config, run.files.log, run.held_out, run.result_file]


def write_runs(
    folder: StudyFolder, entered: Sequence[Entered], *, more: Sequence[dict[str, Any]] = ()
) -> None:
    """Record in ``study.json`` which run answers which question."""
    update_json(
        folder.facts_file,
        {"runs": [
            {"run": item.run.name, "title": item.planned.name, "seed": item.planned.recipe.seed,
             "answers": [list(pair) for pair in item.planned.answers]}
            for item in entered
        ] + list(more)},
    )  # fmt: skip


class _Crew:
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
        self._heard: SimpleQueue[tuple[_Worker, dict[str, Any]]] = SimpleQueue()
        self._needs = NEEDS_BYTES

    def work(self, entered: Sequence[Entered], *, jobs: int, models: bool) -> None:
        """Train all runs.

        Raises:
            KeyboardInterrupt: The end was asked for; what was learnt is kept.
        """
        waiting = deque(entered)
        workers: list[_Worker] = []
        told = False
        try:
            while waiting or any(worker.item for worker in workers):
                for worker in workers:
                    if worker.item is None and waiting:
                        self._give(worker, waiting.popleft(), models=models)
                if waiting and len(workers) < jobs:
                    if not workers or available_bytes() > self._needs:
                        workers.append(_Worker(self._data, self._heard, threads=_threads(jobs)))
                        continue
                    if not told:
                        told = True
                        self._watcher.warn(
                            f"memory is sufficient for {len(workers)} of {jobs} parallel runs."
                        )
                worker, event = self._heard.get()
                self._hear(worker, event)
                if event["event"] == "ended":
                    worker.end()
                    workers.remove(worker)
        finally:
            for worker in workers:
                worker.end()

    def _give(self, worker: _Worker, item: Entered, *, models: bool) -> None:
        self._folder.note("begun", item.run.name)
        worker.give(item, models=models)
        self._board.running[item.planned.name] = len(item.run.log())
        for tracker in self._trackers:
            tracker.begin(item.run.name, Recipe.load(item.run.files.config).to_dict())
        self._shown()

    def _hear(self, worker: _Worker, event: dict[str, Any]) -> None:
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
                self._tell(title, f"validation AUC {found.val['auc']:.4f}", found.seconds)
            case "failed":
                self._failed(item, str(event["error"]))
            case "ended":
                code = int(event["code"])
                said = f"its process ended with signal {-code}" if code < 0 else (
                    f"its process ended with code {code}"
                )  # fmt: skip
                if code == -9:
                    said += ", as the system does where memory runs out"
                error = f"{said}. {event['last']}".strip()
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

    def _tell(self, title: str, said: str, seconds: float) -> None:
        board = self._board
        left = board.seconds_left
        parts = [f"{len(board.done)} of {board.total}", f"{title}: {said} after {seconds:.0f} s"]
        if board.best:
            parts.append(f"best so far {board.best[1]:.4f} ({board.best[0]})")
        if left and board.left:
            parts.append(f"{left / 60:.0f} min left")
        self._watcher.say("; ".join(parts))

    def _shown(self) -> None:
        if self._show:
            self._show(self._board)


def numbers_of(found: Any) -> dict[str, float]:
    """Return the metrics of a result, with names that include the part."""
    return {
        **{f"val_{name}": value for name, value in found.val.items()},
        **{f"held_out_{name}": value for name, value in found.held_out.items()},
        "seconds": found.seconds,
        "best_epoch": found.best_epoch,
    }


class _Worker:
    """A process that trains runs."""

    def __init__(
        self, data: Path, heard: SimpleQueue[tuple[_Worker, dict[str, Any]]], *, threads: int
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
            start_new_session=True,  # Ctrl-C is for us alone; closing its input ends it
        )
        self._last: deque[str] = deque(maxlen=5)
        self._reading = threading.Thread(target=self._read_errors, daemon=True)
        self._listening = threading.Thread(target=self._listen, args=(heard,), daemon=True)
        self._reading.start()
        self._listening.start()

    def give(self, item: Entered, *, models: bool) -> None:
        """Assign a run to it."""
        self.item = item
        assert self._process.stdin is not None  # noqa: S101 - a pipe, as asked for
        job = {
            "data": str(self._data.absolute()), "run": str(item.run.root.absolute()),
            "split": str(item.split.absolute()), "model": models,
        }  # fmt: skip
        with contextlib.suppress(BrokenPipeError):  # it died; its end is heard of
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """Stop it now; its run can be resumed later."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe, as asked for
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listening.join(10)

    def _listen(self, heard: SimpleQueue[tuple[_Worker, dict[str, Any]]]) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe, as asked for
        with self._process.stdout as said:
            for line in said:
                with contextlib.suppress(ValueError):
                    heard.put((self, json.loads(line)))
        code = self._process.wait()
        self._reading.join(5)
        heard.put((self, {"event": "ended", "code": code, "last": " ".join(self._last)}))

    def _read_errors(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - a pipe, as asked for
        with self._process.stderr as said:
            for line in said:
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

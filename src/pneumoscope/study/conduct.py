"""Run a study, resuming after interruptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import in_range
from pneumoscope.runs import locked_folder
from pneumoscope.study.board import Board
from pneumoscope.study.entries import Entered, enter, images_of, opened, write_runs
from pneumoscope.study.folder import StudyFolder, files_of, numbers_of
from pneumoscope.study.workers import Crew
from pneumoscope.training.recipe import Recipe
from pneumoscope.watch import Watcher

if TYPE_CHECKING:
    from pneumoscope.study.plan import Plan
    from pneumoscope.tracking import Tracker


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

    A finished run is never repeated: a run is identified by recipe, images, split and version of
    this package, and a finished run with the same identity is reused. An unfinished run is
    continued from its last epoch. A failed run is a row with its error.

    Args:
        data: The data, as for ``read_catalog``; the test set is excluded.
        out: The folder of the study, new or existing.
        plan: The plan.
        jobs: Maximum number of parallel runs, limited by memory.
        retry: Whether failed runs are repeated.
        trackers: Trackers that receive every run.
        show: Called with the table whenever it changes.
        watcher: Receives progress reports.

    Raises:
        OutputError: The folder contains other files or another study, or is in use.
        PneumoscopeError: The data are invalid.
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
    """Train runs whose folders exist; see ``conduct``."""
    board = Board(len(entered), jobs)
    left = _left(entered, board, retry=retry, watcher=watcher)
    for item in entered:
        if item.run.finished:  # a tracker receives all runs of a study, including earlier ones
            _report_to_trackers(item, trackers)
    if left:
        crew = Crew(folder, data, board, trackers=trackers, show=show, watcher=watcher)
        crew.work(left, jobs=jobs, models=models)


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


def _report_to_trackers(item: Entered, trackers: Sequence[Tracker]) -> None:
    """Report a finished run to trackers."""
    run = item.run
    for tracker in trackers:
        tracker.begin(run.name, Recipe.load(run.files.config).to_dict())
        for row in run.log():
            tracker.epoch(run.name, row)
        tracker.end(run.name, numbers_of(run.result()), files_of(run))

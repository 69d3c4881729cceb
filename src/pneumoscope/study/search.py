"""Search for a recipe with Optuna, using validation images only."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import OptionError
from pneumoscope.runs import locked_folder, write_json
from pneumoscope.study.conduct import train_entered
from pneumoscope.study.entries import Entered, enter, images_of, opened, write_plan, write_runs
from pneumoscope.study.plan import Level, Plan, Question
from pneumoscope.study.storage import open_storage
from pneumoscope.study.trials import Hunter, summary_of
from pneumoscope.watch import Watcher

if TYPE_CHECKING:
    from pneumoscope.study.folder import StudyFolder
    from pneumoscope.study.hunt import Hunt
    from pneumoscope.tracking import Tracker

SUMMARY, TRIALS = "search.json", "trials.journal"

_NEW_SEEDS = 1000
"""First seed for confirming the best recipe; no trial uses these seeds."""


def search(
    data: Path,
    out: Path,
    *,
    plan: Plan,
    hunt: Hunt,
    trackers: Sequence[Tracker] = (),
    watcher: Watcher | None = None,
) -> StudyFolder:
    """Search a plan's space for a recipe, and compare the best one with the base on new seeds.

    Trials are evaluated on validation rows. The result of the best trial is optimistic, since it
    was selected for it. The best recipe and the base are therefore trained again with new seeds,
    and compared on held-out patients that were not used in the search.

    Several workers may search together with one storage, each with its own folder.

    Args:
        data: The data, as for ``read_catalog``; the test set is excluded.
        out: The folder of this worker.
        plan: Plan with ``base`` and ``search``.
        hunt: Settings of the search.
        trackers: Trackers that receive every trial.
        watcher: Receives progress reports.

    Raises:
        LeakError: Other rows than validation rows would be used.
        OptionError: The plan has no search space, or an option is invalid.
        PneumoscopeError: The data or the storage are invalid.
    """
    watcher = watcher or Watcher()
    if not plan.space.axes:
        raise OptionError("plan", must="one with fields to `search`", was=plan.about)
    plan = dataclasses.replace(plan, questions=(), source={**plan.source, "questions": {}})
    folder = opened(out)
    with locked_folder(out):
        images = images_of(folder, data, plan, watcher=watcher)
        started = time.monotonic()
        with open_storage(
            hunt.storage, default=folder.root / TRIALS, heartbeat_seconds=hunt.heartbeat_seconds
        ) as storage:
            hunter = Hunter(folder, images, plan, hunt, trackers=trackers, watcher=watcher)
            study = hunter.hunt(storage, name=hunt.name or out.resolve().name)
            found = summary_of(study, plan, hunt, seconds=time.monotonic() - started)
        write_json(folder.root / SUMMARY, found)
        entered: list[Entered] = []
        if hunt.confirm and found["best"] is not None:
            plan = _confirming(plan, hunt, found["best"]["changes"])
            write_plan(folder, plan)
            entered = enter(folder, images, plan)
        write_runs(folder, entered, more=_trial_rows(folder, found))
        if entered:
            watcher.say("The best recipe and the base are trained again with new seeds")
            train_entered(folder, data, entered, trackers=trackers, watcher=watcher)
    return folder


def _trial_rows(folder: StudyFolder, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the runs of this worker's trials as rows of ``study.json``."""
    rows = {
        trial["run"]: {"run": trial["run"], "title": f"trial {trial['number']}: {trial['title']}",
                       "seed": found["seed"], "answers": []}
        for trial in found["trials"]
        if trial["run"] and trial["here"] == str(folder.root.resolve())
    }  # fmt: skip
    return list(rows.values())


def _confirming(plan: Plan, hunt: Hunt, best: Mapping[str, Any]) -> Plan:
    """Return the plan that compares the best recipe with the base."""
    seeds = tuple(range(_NEW_SEEDS, _NEW_SEEDS + hunt.confirm))
    ask = "Is the best recipe of the search better than the base?"
    base, label = "the base", "the best of the search"
    levels: tuple[Level, ...] = (Level(base, {}), Level(label, best))
    source = {
        **plan.source,
        "seeds": list(seeds),
        "questions": {"search": {"ask": ask, "levels": {base: {}, label: dict(best)}}},
    }
    return dataclasses.replace(
        plan, seeds=seeds, questions=(Question("search", ask, levels),), source=source
    )

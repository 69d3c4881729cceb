"""One recipe, several seeds: what of a result is the recipe's, and what is chance."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import OptionError, OutputError, PneumoscopeError
from pneumoscope.evaluation.seeds import SeedGroup, seed_groups
from pneumoscope.runs import RunFolder, write_json
from pneumoscope.training.log import read_log
from pneumoscope.watch import Watcher
from pneumoscope.workflow.train import train_reader

if TYPE_CHECKING:
    from pneumoscope.training.devices import Placement
    from pneumoscope.training.recipe import Recipe

MAIN = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "loss")
"""The numbers that stand first."""

SUMMARY = "seeds.json"
MOST = 1000

_DEPLOYED = ("set_aside", "error", "missed", "false_alarms")
_COUNTS = {"n", "patients", "resamples", "assumed_prevalence"}


@dataclass(frozen=True, slots=True, eq=False)
class Seeds:
    """What several runs of one recipe gave.

    Attributes:
        runs: Their folders.
        groups: For each part of the data the mean and the spread of each number, those of
            ``MAIN`` first.
        numbers: For each part the numbers of each run that are defined in all runs.
        kept: The run with the lowest validation loss.
        report: The page.
    """

    runs: tuple[RunFolder, ...]
    groups: dict[str, SeedGroup]
    numbers: dict[str, list[dict[str, float]]]
    kept: RunFolder
    report: Path


def train_seeds(
    data: Path,
    out: Path,
    *,
    recipe: Recipe,
    seeds: int,
    split_file: Path | None = None,
    placement: Placement | None = None,
    places: Sequence[Mapping[str, str]] = (),
    watcher: Watcher | None = None,
) -> Seeds:
    """Train one run for each of several seeds, from the recipe's own seed on.

    All share the split of the first, so that they differ in nothing but chance in learning. With
    several places they train side by side, a process each; else in turn.

    Args:
        data: What ``read_catalog`` takes.
        out: The folder of the runs, ``seed-0`` and so on, of ``seeds.json`` and of
            ``report.html``; new.
        recipe: What to learn and how.
        seeds: How many runs.
        split_file: A split to read instead of drawing one.
        placement: Of each run.
        places: Environment variables of each place, such as ``{"CUDA_VISIBLE_DEVICES": "1"}``.
        watcher: Hears how it goes.

    Raises:
        OptionError: Fewer than two seeds.
        PneumoscopeError: A run failed.
    """
    watcher = watcher or Watcher()
    if not 2 <= seeds <= MOST:
        raise OptionError("--seeds", must=f"from 2 to {MOST}", was=seeds)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: exists already; name a new folder with --out.")
    recipes = [replace(recipe, seed=recipe.seed + number) for number in range(seeds)]
    runs = tuple(RunFolder(out / f"seed-{own.seed}") for own in recipes)
    watcher.say(f"Seed {recipes[0].seed} (1 of {seeds})")
    first = train_reader(
        data,
        runs[0].root,
        recipe=recipes[0],
        split_file=split_file,
        placement=placement,
        watcher=watcher,
    )
    if first is not None and first.fitted.interrupted:
        raise KeyboardInterrupt
    rest = list(zip(recipes[1:], runs[1:], strict=True))
    if len(places) > 1:
        _side_by_side(data, rest, split=runs[0].split, places=places, watcher=watcher)
    else:
        for number, (own, run) in enumerate(rest, 2):
            watcher.say(f"Seed {own.seed} ({number} of {seeds})")
            trained = train_reader(
                data,
                run.root,
                recipe=replace(own, validation="file"),
                split_file=runs[0].split,
                placement=placement,
                watcher=watcher,
            )
            if trained is not None and trained.fitted.interrupted:
                raise KeyboardInterrupt
    found = sum_up(out, runs)
    watcher.say(f"Report: {found.report}")
    return found


def _side_by_side(
    data: Path,
    jobs: Sequence[tuple[Recipe, RunFolder]],
    *,
    split: Path,
    places: Sequence[Mapping[str, str]],
    watcher: Watcher,
) -> None:
    free: SimpleQueue[Mapping[str, str]] = SimpleQueue()
    for place in places:
        free.put(place)

    def train(job: tuple[Recipe, RunFolder]) -> None:
        own, run = job
        place = free.get()
        config = run.root.with_suffix(".yaml")
        log = run.root.with_suffix(".log")
        replace(own, validation="file").save(config)
        command = [sys.executable, "-m", "pneumoscope", "train", str(data), "--out", str(run.root)]
        command += ["--config", str(config), "--split-file", str(split), "--devices", "1"]
        try:
            with log.open("w", encoding="utf-8") as told:
                ended = subprocess.run(  # noqa: S603 - our own command
                    command, env={**os.environ, **place}, stdout=told, stderr=told, check=False
                )
        finally:
            free.put(place)
        if ended.returncode:
            last = log.read_text(encoding="utf-8").strip().splitlines()[-1:]
            raise PneumoscopeError(f"{run.root}: training failed ({' '.join(last)}); see {log}.")
        config.unlink()
        log.unlink()
        watcher.say(f"Seed {own.seed} has ended")

    with ThreadPoolExecutor(len(places)) as workers:
        list(workers.map(train, jobs))


def sum_up(out: Path, runs: Sequence[RunFolder]) -> Seeds:
    """Return mean and spread of runs of one recipe, and write ``seeds.json`` and the page.

    Args:
        out: The folder that takes both.
        runs: Finished runs that differ in the seed alone, two or more.

    Raises:
        OutputError: The folder cannot be written to.
    """
    from pneumoscope.report.seeds_page import Runs, write_seeds_page  # noqa: PLC0415 - matplotlib

    names = [run.root.name for run in runs]
    metrics = [json.loads(run.metrics.read_text(encoding="utf-8")) for run in runs]
    groups, numbers = {}, {}
    for part in metrics[0]:
        points = _in_all([_numbers(found[part]) for found in metrics])
        (groups[part],) = seed_groups(names, ["one recipe"] * len(names), points)
        numbers[part] = points
    losses = [_loss_kept(run) for run in runs]
    chosen = losses.index(min(losses))
    write_json(
        out / SUMMARY,
        {
            "kept": names[chosen],
            "kept_because": "lowest validation loss; test images had no say",
            "val_loss": dict(zip(names, losses, strict=True)),
            "parts": {
                part: {
                    **groups[part].to_dict(),
                    "runs": dict(zip(names, numbers[part], strict=True)),
                }
                for part in groups
            },
        },
    )
    page = write_seeds_page(out, Runs(tuple(runs), chosen, groups, numbers))
    return Seeds(tuple(runs), groups, numbers, runs[chosen], page)


def _numbers(found: Mapping[str, Any]) -> dict[str, float]:
    """Return what is a number in a part of ``metrics.json``, the main ones first."""
    deployed = found.get("policy", {}).get("deployed", {})
    every = {**found, **{name: deployed[name] for name in _DEPLOYED if name in deployed}}
    names = [*MAIN, *(name for name in every if name not in {*MAIN, *_COUNTS})]
    values = {
        name: every[name].get("value")
        for name in names
        if name in every and isinstance(every[name], dict)
    }
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _in_all(points: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """Return the numbers that every run has; a number may not be defined in some."""
    shared = [name for name in points[0] if all(name in own for own in points)]
    return [{name: own[name] for name in shared} for own in points]


def _loss_kept(run: RunFolder) -> float:
    """Return the validation loss of the epoch whose weights a run kept."""
    kept = json.loads(run.provenance.read_text(encoding="utf-8"))["best_epoch"]
    return next(row.val_loss for row in read_log(run.log) if row.epoch == kept)


def devices() -> list[dict[str, Any]]:
    """Return a place for each CUDA device of this machine; none where there are fewer than two."""
    import torch  # noqa: PLC0415 - training alone needs it

    count = torch.cuda.device_count()
    return [{"CUDA_VISIBLE_DEVICES": str(number)} for number in range(count)] if count > 1 else []

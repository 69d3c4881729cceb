"""Train one recipe with several values of one field; finished runs are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pneumoscope.errors import OptionError, OutputError
from pneumoscope.models.choice import choose_backbone
from pneumoscope.runs import RunFolder, locked_folder, version
from pneumoscope.training.devices import Placement, best_device
from pneumoscope.training.recipe import Recipe, change_recipe
from pneumoscope.watch import Watcher
from pneumoscope.workflow.new_patients import GROUPS
from pneumoscope.workflow.prepare import prepare_data
from pneumoscope.workflow.side_by_side import Job, devices, train_side_by_side
from pneumoscope.workflow.train import train_reader

BASE = "recipe.yaml"
"""The file of the varied recipe, in the folder of its runs."""

_DIVIDING = frozenset(
    {
        "validation", "val_fraction", "block", "groups", "folds", "fold", "test_fraction",
        "near_copies", "positive",
        "patient_regex", "class_map", "uncertain_labels", "columns", "layout",
        "findings", "unlabelled",
    }
)  # fmt: skip
"""Fields that affect images or their parts."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """A planned run: folder, recipe, split and hash of its data."""

    run: RunFolder
    recipe: Recipe
    split_file: Path | None
    fingerprint: str


def vary(
    data: Path,
    out: Path,
    *,
    recipe: Recipe,
    field: str,
    values: Sequence[Any],
    split_file: Path | None = None,
    placement: Placement | None = None,
    places: Sequence[Mapping[str, str]] = (),
    workers: int | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
) -> tuple[RunFolder, ...]:
    """Train a run for each value of a field of a recipe; return their folders in order.

    All share one split, so that they only differ in the field, unless the field affects the split
    itself (``fold``: a cross-validation). Finished runs are kept and unfinished ones continued, if
    they have the same recipe, data and version.

    Args:
        data: The data, as for ``read_catalog``.
        out: The folder of the runs, named ``FIELD-VALUE``, and of shared files.
        recipe: The recipe.
        field: The varied field; a name for ``change_recipe``.
        values: Values of the field.
        split_file: A split to read instead of drawing one.
        placement: Placement of each run.
        places: Environment variables of each place, such as ``{"CUDA_VISIBLE_DEVICES": "1"}``. With
            several, runs are trained in parallel, in separate processes; otherwise in turn.
        workers: Number of decoding threads; one per core if None.
        resume: Whether the folder may contain runs; otherwise it must be new.
        watcher: Receives progress reports.

    Raises:
        OptionError: An unknown field, or an invalid or repeated value.
        OutputError: The folder contains other files, or runs of another recipe, other data or
            another version.
        PneumoscopeError: A run failed; the others can be resumed.

    Example:
        >>> vary(Path("chest_xray"), Path("runs/rates"), recipe=recipe_of("seed"),
        ...      field="learning_rate", values=(1e-4, 1e-3, 1e-2))  # doctest: +SKIP
    """
    watcher = watcher or Watcher()
    placement = placement or Placement()
    if len(places) > 1 and placement.devices == "auto":
        placement = replace(placement, devices="1")  # each place is one device
    recipe = _with_network(recipe, placement)
    names = [f"{field}-{_word(value)}" for value in values]
    if not names or len({name.lower() for name in names}) < len(names):
        raise OptionError("values", must="one or more different values", was=tuple(values))
    recipes = [
        _with_network(change_recipe(recipe, **{field: value}), placement) for value in values
    ]
    _opened(out, recipe, field, resume=resume)
    with locked_folder(out):
        recipe.save(out / BASE)
        planned = _planned(
            data, out, names, recipes,
            shared=field not in _DIVIDING, split_file=split_file, workers=workers, watcher=watcher,
        )  # fmt: skip
        left = []
        for number, plan in enumerate(planned, 1):
            if _finished(plan):
                watcher.say(f"{plan.run.root.name} ({number} of {len(planned)}) exists already")
            else:
                left.append((number, plan))
        jobs = [
            Job(
                f"{plan.run.root.name} ({number} of {len(planned)})", data, plan.run.root,
                plan.recipe, plan.split_file, placement, workers,
                resume=plan.run.config.is_file(),
            )
            for number, plan in left
        ]  # fmt: skip
        if len(places) > 1 or _takes_several_processes(placement):
            train_side_by_side(jobs, places=places or ({},), watcher=watcher)
        else:
            for job in jobs:
                _train(job, watcher)
    return tuple(plan.run for plan in planned)


def _takes_several_processes(placement: Placement) -> bool:
    """Return whether Lightning starts several processes for a run."""
    return placement.devices != "1" and (placement.devices != "auto" or len(devices()) > 1)


def _with_network(recipe: Recipe, placement: Placement) -> Recipe:
    """Return the recipe with ``auto`` replaced by the network for this machine."""
    if recipe.learning.model != "auto":
        return recipe
    choice = choose_backbone(best_device(placement.accelerator))
    return change_recipe(recipe, model=choice.model)


def _word(value: object) -> str:
    """Return a value as part of a folder's name.

    >>> _word(0.001), _word((8, 16)), _word("timm:resnet18")
    ('0.001', '8-16', 'timm_resnet18')
    """
    text = "-".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return re.sub(r"[^\w.=-]+", "_", text)[:80] or "_"


def _opened(out: Path, recipe: Recipe, field: str, *, resume: bool) -> None:
    """Create the folder; raise an error if it contains something else."""
    if not resume or not (out / BASE).is_file():
        if resume and out.is_dir() and any(out.iterdir()):
            raise OutputError(f"{out}: no runs to resume (no {BASE} in it).")
        RunFolder.create(out).root.mkdir(exist_ok=True)
        return
    before = Recipe.load(out / BASE)
    if change_recipe(before, **{field: recipe.value(field)}) != recipe:
        raise OutputError(f"{out}: contains runs of another recipe; choose another `out`.")


def _planned(
    data: Path,
    out: Path,
    names: Sequence[str],
    recipes: Sequence[Recipe],
    *,
    shared: bool,
    split_file: Path | None,
    workers: int | None,
    watcher: Watcher,
) -> list[_Planned]:
    """Return the planned runs; a shared split is drawn here once."""
    if not shared:
        return [
            _Planned(
                RunFolder(out / name), own, split_file,
                prepare_data(
                    data, own, split_file=split_file, workers=workers, watcher=watcher
                ).catalog.fingerprint,
            )
            for name, own in zip(names, recipes, strict=True)
        ]  # fmt: skip
    split = RunFolder(out).split
    prepared = prepare_data(
        data, recipes[0], split_file=split if split.is_file() else split_file,
        workers=workers, watcher=watcher,
    )  # fmt: skip
    if not split.is_file():
        prepared.split.save(split, prepared.catalog)
    return [
        _Planned(
            RunFolder(out / name), _by_file(own), split,
            prepared.catalog.fingerprint,
        )
        for name, own in zip(names, recipes, strict=True)
    ]  # fmt: skip


def _by_file(recipe: Recipe) -> Recipe:
    """Return the recipe with its parts from a file; groups are still held out of these."""
    held = recipe.data.validation == GROUPS
    return recipe if held else change_recipe(recipe, validation="file")


def _finished(plan: _Planned) -> bool:
    """Return whether a run is complete.

    Raises:
        OutputError: The run has another recipe, other data or another version.
    """
    run = plan.run
    if run.config.is_file():
        _same(run, "recipe", Recipe.load(run.config).to_dict(), plan.recipe.to_dict())
    if not (run.provenance.is_file() and run.report.is_file()):
        return False
    facts = json.loads(run.provenance.read_text(encoding="utf-8"))
    _same(run, "data", facts["data_fingerprint"], plan.fingerprint)
    _same(run, "version", facts["packages"].get("pneumoscope"), version())
    return not facts["interrupted"]


def _same(run: RunFolder, what: str, before: object, now: object) -> None:
    if before != now:
        more = ""
        if isinstance(before, dict) and isinstance(now, dict):
            more = f" ({', '.join(key for key in now if before.get(key) != now[key])})"
        raise OutputError(
            f"{run.root}: exists already and differs in its {what}{more}; choose another `out`, or "
            "remove this run."
        )


def _train(job: Job, watcher: Watcher) -> None:
    watcher.say(job.title)
    trained = train_reader(
        job.data,
        job.out,
        recipe=None if job.resume else job.recipe,
        split_file=job.split_file,
        placement=job.placement,
        resume=job.resume,
        workers=job.workers,
        watcher=watcher,
    )
    if trained is not None and trained.fitted.interrupted:
        raise KeyboardInterrupt

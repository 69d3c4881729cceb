"""Train one recipe with several seeds, and summarise mean and spread."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import OptionError
from pneumoscope.evaluation.multilabel.numbers import OF_FINDING
from pneumoscope.evaluation.seeds import SeedGroup, seed_groups
from pneumoscope.runs import RunFolder, write_json
from pneumoscope.training.log import read_log
from pneumoscope.watch import Watcher
from pneumoscope.workflow.vary import vary

if TYPE_CHECKING:
    from pneumoscope.training.devices import Placement
    from pneumoscope.training.recipe import Recipe

MAIN = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "loss")
"""Metrics listed first."""

OF_CLASSES = ("classes_accuracy", "classes_balanced_accuracy", "classes_macro_auc")
"""Metrics listed next for more than two classes."""

SUMMARY = "seeds.json"
MOST = 1000

_DEPLOYED = ("set_aside", "error", "missed", "false_alarms")
_COUNTS = {"n", "patients", "resamples", "assumed_prevalence"}


@dataclass(frozen=True, slots=True, eq=False)
class Seeds:
    """The results of several runs of one recipe.

    Attributes:
        runs: Folders of the runs.
        groups: For each part of the data, mean and spread of each metric, those of ``MAIN`` first.
            For several findings, these are means over the findings.
        numbers: For each part, the metrics of each run that are defined in all runs.
        kept: The run with the lowest validation loss.
        report: Path of the page.
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
    workers: int | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
) -> Seeds:
    """Train one run per seed, starting from the recipe's seed; see ``vary``.

    All share the split of the first, so that they only differ in the randomness of training.

    Args:
        data: The data, as for ``read_catalog``.
        out: The folder of the runs, ``seed-0`` and so on, of ``seeds.json`` and of
            ``report.html``.
        recipe: The recipe.
        seeds: Number of runs.
        split_file: A split to read instead of drawing one.
        placement: Placement of each run.
        places: As for ``vary``.
        workers: Number of decoding threads; one per core if None.
        resume: Whether the folder may contain runs, which are kept or continued.
        watcher: Receives progress reports.

    Raises:
        OptionError: There are fewer than two seeds.
        PneumoscopeError: A run failed.
    """
    watcher = watcher or Watcher()
    if not 2 <= seeds <= MOST:
        raise OptionError("seeds", must=f"from 2 to {MOST}", was=seeds)
    runs = vary(
        data,
        out,
        recipe=recipe,
        field="seed",
        values=range(recipe.seed, recipe.seed + seeds),
        split_file=split_file,
        placement=placement,
        places=places,
        workers=workers,
        resume=resume,
        watcher=watcher,
    )
    found = sum_up(out, runs)
    watcher.say(f"Report: {found.report}")
    return found


def sum_up(out: Path, runs: Sequence[RunFolder]) -> Seeds:
    """Return mean and spread of runs of one recipe, and write ``seeds.json`` and the page.

    Args:
        out: The output folder.
        runs: At least two finished runs that only differ in the seed.

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
            "kept_because": "lowest validation loss; test images were not used",
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
    """Return the metrics in a part of ``metrics.json``, the main ones first."""
    if "findings" in found:
        return _of_findings(found["findings"]["by_finding"])
    deployed = found.get("policy", {}).get("deployed", {})
    every = {**found, **{name: deployed[name] for name in _DEPLOYED if name in deployed}}
    every |= _of_classes(found.get("classes"))
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


def _of_classes(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the metrics by class of a reader of more than two classes, under distinct names.

    Names with the prefix ``classes_`` are metrics over all classes; ``auc`` and the name of a class
    is the AUC of that class against the rest.
    """
    if found is None:
        return {}
    every = {f"classes_{name}": value for name, value in found["values"].items()}
    return every | {f"auc {name}": own["auc"] for name, own in found["by_class"].items()}


def _of_findings(by_finding: Mapping[str, Any]) -> dict[str, float]:
    """Return the mean of each metric over the findings, and the AUC of each finding.

    Findings for which a metric is undefined are left out of its mean.
    """
    means = {}
    for name in (*MAIN, *(name for name in OF_FINDING if name not in {*MAIN, *_COUNTS})):
        known = [own[name]["value"] for own in by_finding.values() if name in own]
        known = [value for value in known if value is not None]
        if known:
            means[name] = sum(known) / len(known)
    areas = {name: own["auc"]["value"] for name, own in by_finding.items()}
    return means | {f"auc {name}": area for name, area in areas.items() if area is not None}


def _in_all(points: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """Return the metrics that every run has; some may be undefined in a run."""
    shared = [name for name in points[0] if all(name in own for own in points)]
    return [{name: own[name] for name in shared} for own in points]


def _loss_kept(run: RunFolder) -> float:
    """Return the validation loss of the selected epoch of a run."""
    kept = json.loads(run.provenance.read_text(encoding="utf-8"))["best_epoch"]
    return next(row.val_loss for row in read_log(run.log) if row.epoch == kept)

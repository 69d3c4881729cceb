"""List run folders with their differences from the preset and their results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumoscope.errors import DataError, OptionError, PneumoscopeError, nearest
from pneumoscope.runs import RunFolder
from pneumoscope.training.log import read_log
from pneumoscope.training.recipe import PRESETS, Recipe

_NUMBERS = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "loss")
_LOWER = {"loss", "val_loss", "seconds", "epochs"}
"""Metrics for which the lowest value is best."""


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run folder.

    Attributes:
        place: Path of the run folder.
        recipe: The recipe, as in ``config.yaml``.
        differs: Fields that differ from its preset.
        numbers: Metrics of the test set, or, without one, of the validation set; those of the log
            begin with ``val_``.
        part: The part of the metrics; empty for an unfinished run.
        facts: The provenance; empty if there is none.
    """

    place: Path
    recipe: Mapping[str, Any]
    differs: Mapping[str, Any]
    numbers: Mapping[str, float]
    part: str
    facts: Mapping[str, Any]


def find_runs(root: Path) -> list[ListedRun]:
    """Return the runs below a folder, sorted by name.

    Raises:
        DataError: The folder does not exist.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder.")
    found = []
    for place in sorted(root.rglob("config.yaml")):
        try:
            found.append(read_run(place.parent))
        except PneumoscopeError:
            continue  # a YAML file of that name that is not a recipe
    return found


def read_run(place: Path) -> ListedRun:
    """Read a run.

    Raises:
        DataError: There is no run.
    """
    run = RunFolder(place)
    if not run.config.is_file():
        raise DataError(f"{place}: not a run (no {run.config.name}).")
    recipe = Recipe.load(run.config)
    values = recipe.to_dict()
    preset = PRESETS[recipe.preset].to_dict() if recipe.preset in PRESETS else {}
    numbers, part = _numbers(run)
    return ListedRun(
        place, values, {k: v for k, v in _flat(values).items() if _flat(preset).get(k) != v},
        numbers, part, _json(run.provenance),
    )  # fmt: skip


def _numbers(run: RunFolder) -> tuple[dict[str, float], str]:
    numbers: dict[str, float] = {}
    log = read_log(run.log)
    if log:
        best = min(log, key=lambda row: row.val_loss)
        numbers |= {"epochs": len(log), "seconds": sum(row.seconds for row in log)}
        numbers |= {name: getattr(best, name) for name in ("val_auc", "val_loss", "val_accuracy")}
    study = _json(run.root / "result.json")
    if study:
        return numbers | study["held_out"], "held out"
    metrics = _json(run.metrics)
    part = next((name for name in ("test", "val") if name in metrics), "")
    several = metrics.get(part, {}).get("findings", {}).get("values", {})
    for name in _NUMBERS:
        metric = several.get(f"macro_{name}") or metrics.get(part, {}).get(name, {})
        value = metric.get("value")
        if value is not None:
            numbers[name] = float(value)
    return numbers, part


def _json(place: Path) -> dict[str, Any]:
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as fault:
        raise DataError(f"{place}: cannot be read ({fault}).") from fault
    return found if isinstance(found, dict) else {}


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found


def chosen(
    runs: Sequence[ListedRun], *, where: Sequence[str] = (), sort: str | None = None
) -> list[ListedRun]:
    """Return the runs with given values, sorted by a metric, the best first.

    Args:
        runs: The runs.
        where: ``FIELD=VALUE`` of the recipe; all must match.
        sort: A metric; runs without it come last.

    Raises:
        OptionError: No run has a field or metric of that name.
    """
    kept = list(runs)
    for condition in where:
        name, sign, value = condition.partition("=")
        if not sign:
            raise OptionError("where", must="FIELD=VALUE, such as preset=seed", was=condition)
        fields = sorted({key for run in runs for key in _named(run)})
        if runs and name not in fields:
            raise OptionError(
                "where", must="a field of the recipe", was=name, hint=nearest(name, fields)
            )
        kept = [run for run in kept if _is(_named(run).get(name), value)]
    if sort is None:
        return kept
    known = sorted({key for run in runs for key in run.numbers})
    if runs and sort not in known:
        raise OptionError("sort", must="a number", was=sort, hint=nearest(sort, known))
    sign_of = 1 if sort in _LOWER else -1
    return sorted(
        kept, key=lambda run: (sort not in run.numbers, sign_of * run.numbers.get(sort, 0.0))
    )


def _named(run: ListedRun) -> dict[str, Any]:
    """Return the recipe's fields, including nested fields by their own names."""
    flat = _flat(run.recipe)
    return {key.rsplit(".", 1)[-1]: value for key, value in flat.items()} | flat


def _is(value: object, text: str) -> bool:
    if isinstance(value, bool):
        return text.lower() in ({"true", "yes"} if value else {"false", "no"})
    if isinstance(value, int | float):
        try:
            return float(text) == value
        except ValueError:
            return False
    if isinstance(value, list):
        return text.replace(" ", "") in {",".join(map(str, value)), "-".join(map(str, value))}
    return str(value) == text


def side_by_side(first: ListedRun, second: ListedRun) -> list[tuple[str, str, str]]:
    """Return the differences between two runs: recipe, data, versions and metrics."""
    rows: list[tuple[str, str, str]] = []
    own, other = _flat(first.recipe), _flat(second.recipe)
    for key in dict.fromkeys([*own, *other]):
        _add(rows, key, own.get(key), other.get(key))
    for key in ("data", "data_fingerprint", "commit", "device", "precision"):
        _add(rows, key, first.facts.get(key), second.facts.get(key))
    packages = [run.facts.get("packages", {}) for run in (first, second)]
    for key in dict.fromkeys([*packages[0], *packages[1]]):
        _add(rows, f"version of {key}", packages[0].get(key), packages[1].get(key))
    _add(rows, "metrics computed on", first.part, second.part)
    for key in dict.fromkeys([*first.numbers, *second.numbers]):
        _add(rows, key, first.numbers.get(key), second.numbers.get(key))
    return rows


def _add(rows: list[tuple[str, str, str]], key: str, own: object, other: object) -> None:
    if own != other:
        rows.append((key, word(own), word(other)))


def word(value: object) -> str:
    """Return a value as text."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)

"""The results of a search, for the page of its study."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pneumoscope.report.figures.study import importance, parallel_coordinates
from pneumoscope.report.page import Section
from pneumoscope.study.folder import StudyRun
from pneumoscope.study.plan import word

if TYPE_CHECKING:
    from pneumoscope.report.canvas import Canvas
    from pneumoscope.report.figures.drawing import Drawing
    from pneumoscope.study.folder import StudyFolder

_SUMMARY = "search.json"
_STATES = {"complete": "finished", "pruned": "ended early", "fail": "failed"}


def _found(folder: StudyFolder) -> dict[str, Any] | None:
    place = folder.root / _SUMMARY
    if not place.is_file():
        return None
    found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return found


def search_sentences(folder: StudyFolder) -> tuple[str, ...]:
    """Summarise a search in one or two sentences; empty if there was none."""
    found = _found(folder)
    if found is None:
        return ()
    states = [trial["state"] for trial in found["trials"]]
    listed = ", ".join(
        f"{states.count(state)} {name}" for state, name in _STATES.items() if state in states
    )
    best = found["best"]
    if best is None:
        return (f"No trial of the search finished ({listed or 'none was started'}).",)
    name = found["number"].replace("_", " ").replace("val", "validation").replace("auc", "AUC")
    sentence = f"Of {len(states)} trials ({listed}) the best is {best['title']}: {name} "
    return (f"{sentence}{best['value']:.4f}.", *_optimism(folder, found))


def _optimism(folder: StudyFolder, found: Mapping[str, Any]) -> tuple[str, ...]:
    """Describe the optimism of the best result, from runs with new seeds."""
    rows = folder.facts().get("runs", [])
    again = [
        StudyRun(folder.root / "runs" / row["run"])
        for row in rows
        if any(label == "the best of the search" for _, label in row["answers"])
    ]
    key = str(found["number"]).removeprefix("val_")
    values = [run.result().val[key] for run in again if run.finished]
    if not values:
        return ()
    mean = sum(values) / len(values)
    gap = found["best"]["value"] - mean
    if found["direction"] == "minimize":
        gap = -gap
    sentence = (
        f"With {len(values)} new seeds, the same recipe reaches {mean:.4f} on average "
        f"({min(values):.4f} to {max(values):.4f}): the selection optimism of the search is "
        f"{gap:+.4f}."
    )
    return (sentence,)


def search_sections(folder: StudyFolder, canvas: Canvas) -> list[Section]:
    """Return the sections of a search; none if there was none."""
    found = _found(folder)
    if found is None:
        return []
    trials = [trial for trial in found["trials"] if trial["changes"]]
    header = ("trial", "state", found["number"], "epochs", "minutes", "changes")
    body = tuple(
        (
            str(trial["number"]),
            _STATES.get(trial["state"], trial["state"]),
            "" if trial["value"] is None else f"{trial['value']:.4f}",
            str(trial["epochs"]),
            "" if trial["seconds"] is None else f"{trial['seconds'] / 60:.1f}",
            trial["title"],
        )
        for trial in found["trials"]
    )
    panels = []
    if trials and found["best"]:
        panels.append(canvas.panel(_coordinates(found, trials), "trials"))
    if found["importance"]:
        names, shares = zip(*found["importance"].items(), strict=True)
        panels.append(canvas.panel(importance(names, shares), "importance"))
    return [
        Section(
            "The search",
            text=" ".join(search_sentences(folder))
            + "\n\nTrials are evaluated on validation images only; held-out patients are used "
            "only afterwards, with new seeds, to test whether the best is better than the "
            "base.",
            panels=tuple(panels),
            table=canvas.table("trials-table", (header, body)),
            table_title="Every trial",
        )
    ]


def _coordinates(found: Mapping[str, Any], trials: list[dict[str, Any]]) -> Drawing:
    axes: dict[str, Any] = found["axes"]
    changes = [trial["changes"] for trial in trials]
    return parallel_coordinates(
        {name: _ticks(axis) for name, axis in axes.items()},
        [[_height(axis, own.get(name)) for name, axis in axes.items()] for own in changes],
        [[word(own.get(name, "")) for name in axes] for own in changes],
        [math.nan if trial["value"] is None else trial["value"] for trial in trials],
        number=found["number"],
        best=[trial["number"] for trial in trials].index(found["best"]["number"]),
    )


def _height(axis: Mapping[str, Any], value: Any) -> float:
    """Return the position of a value on its axis, in [0, 1]."""
    if value is None:
        return math.nan
    if "values" in axis:
        known = axis["values"]
        return float(known.index(word(value)) / max(1, len(known) - 1))
    low, high = float(axis["low"]), float(axis["high"])
    if axis["log"]:
        return math.log(value / low) / math.log(high / low)
    return (float(value) - low) / (high - low)


def _ticks(axis: Mapping[str, Any]) -> tuple[tuple[float, str], ...]:
    if "values" in axis:
        known = axis["values"]
        return tuple((k / max(1, len(known) - 1), text) for k, text in enumerate(known))
    return ((0.0, f"{axis['low']:g}"), (1.0, f"{axis['high']:g}"))

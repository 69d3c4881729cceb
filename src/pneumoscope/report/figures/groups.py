"""Figures of results in groups of images, of findings, and on corrupted images."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.evaluation.numbers import SMALL
from pneumoscope.report import plotting
from pneumoscope.report.figures.drawing import Drawing
from pneumoscope.report.figures.forest import (
    RATES,
    Mark,
    Row,
    forest,
    forest_drawing,
    rated_row,
)
from pneumoscope.report.plotting import point_of, shortened
from pneumoscope.report.style import BLUE, MUTED, NARROW_IN, VERMILLION
from pneumoscope.report.words import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.estimate import Estimate
    from pneumoscope.evaluation.multilabel.numbers import FindingNumbers
    from pneumoscope.evaluation.new_patients import AsNew, Expected, NewPatients
    from pneumoscope.evaluation.robustness import Corrupted
    from pneumoscope.evaluation.subgroups import Group

_TITLES = tuple(title for _, title in RATES)
_EXPECTED = "expected"


def subgroup_forest(groups: Sequence[Group], everything: Mapping[str, Estimate], n: int) -> Drawing:
    """Return AUC, sensitivity and specificity of groups of the images, with intervals.

    Args:
        groups: What ``subgroups`` gave.
        everything: The numbers of all images, for the first row.
        n: Of all images.
    """
    first = rated_row(f"all images ({n:,})", everything, "", "all images", n, "no", hollow=False)
    others = [
        rated_row(
            f"{shortened(one.value, 24)} ({one.n:,}){' *' if one.small else ''}",
            one.numbers, one.column, one.value, one.n, "yes" if one.small else "no",
            hollow=one.small, heading=shortened(one.column.capitalize(), 24),
        )
        for one in groups
    ]  # fmt: skip
    rows = [first._replace(bold=True), *others]
    everywhere = [mark.point[0] for mark in first.marks]
    facts = {"everything": everything, "groups": groups}
    return forest_drawing("subgroup_forest", rows, facts, titles=_TITLES, reference=everywhere)


def finding_forest(found: FindingNumbers) -> Drawing:
    """Return AUC, sensitivity and specificity of each finding, with intervals."""
    rows = [
        rated_row(
            f"{shortened(name, 26)} ({n.positive:,})", own, name, n.labelled, n.positive,
            hollow=min(n.positive, n.labelled - n.positive) < SMALL,
        )
        for name, n, own in zip(found.names, found.counts, found.by_finding, strict=True)
    ]  # fmt: skip
    return forest_drawing("finding_forest", rows, {"found": found}, titles=_TITLES)


_NEW = ("sensitivity", "specificity", "auc", "ece")


def new_patients_forest(found: NewPatients) -> Drawing:
    """Return sensitivity, specificity, AUC and calibration error of each held-out group."""
    expected = found.expected
    told = [
        (group.name, name, *point_of(group.found.numbers[name]),
         point_of(group.promised.numbers[name])[0])
        for name in _NEW
        for group in found.groups
    ]  # fmt: skip
    told += [
        (
            _EXPECTED,
            name,
            *point_of(own.mean),
            math.nan if own.block is None else own.block,
        )
        for name, own in expected.items()
    ]
    rows = [
        Row(f"{group.name[:24]} ({group.n:,})", tuple(_of_group(group, name) for name in _NEW))
        for group in found.groups
    ]
    rows += [Row(_EXPECTED, tuple(_of_all(expected.get(name)) for name in _NEW), bold=True)]
    return Drawing(
        "new_patients_forest",
        told,
        lambda: forest(rows, [NAMES[name] for name in _NEW], scale=_within, across=2),
        {"found": found, "names": {name: NAMES[name] for name in _NEW if name in expected}},
    )


def _of_group(group: AsNew, name: str) -> Mark:
    """Return the value of a group, drawn in front of that of its validation block."""
    value = point_of(group.promised.numbers[name])[0]
    promised = Mark((value, value, value), MUTED, "s", hollow=True)
    behind = (promised,) if math.isfinite(value) else ()
    return Mark(point_of(group.found.numbers[name]), behind=behind)


def _of_all(own: Expected | None) -> Mark:
    """Return the mean over groups, drawn in front of the prediction interval of one more."""
    if own is None:
        return Mark((math.nan,) * 3)
    behind: tuple[Mark, ...] = ()
    if own.new_low is not None and own.new_high is not None:
        behind = (Mark((own.new_low, own.new_low, own.new_high), VERMILLION, "", hollow=True),)
    return Mark(point_of(own.mean), VERMILLION, "D", behind=behind)


def _within(axes: Axes, values: list[float]) -> None:
    """Scale an axis to its values, inside 0 to 1."""
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    room = 0.05 * (max(known) - min(known)) or 0.01
    axes.set_xlim(max(-0.01, min(known) - room), min(1.01, max(known) + room))


def robustness_curves(found: Sequence[Corrupted]) -> Drawing:
    """Return the area under the ROC curve by strength of corruption, one panel each.

    Args:
        found: What ``robustness`` gave: the images as they are, then each corruption.
    """
    if len(found) < 2:
        raise OptionError("found", must="results of at least one corruption", was=len(found))
    last = {
        name: point_of(rows[-1].numbers["auc"])[0] for name, rows in _by_kind(found[1:]).items()
    }
    worst = min(last, key=lambda name: last[name] if math.isfinite(last[name]) else 2.0)
    rows = [
        (one.corruption, one.strength, float(one.amount), one.unit,
         *point_of(one.numbers["auc"]), one.changed.value or 0.0)
        for one in found[1:]
    ]  # fmt: skip
    return Drawing(
        "robustness_curves",
        rows,
        lambda: _plot_robustness(found),
        {"plain": found[0].numbers, "kinds": len(last), "worst": worst, "lowest": last[worst]},
    )


def _by_kind(found: Sequence[Corrupted]) -> dict[str, list[Corrupted]]:
    return {name: list(rows) for name, rows in groupby(found, lambda row: row.corruption)}


def _plot_robustness(found: Sequence[Corrupted]) -> Figure:
    kinds = _by_kind(found[1:])
    across = min(2, len(kinds))
    least = max(0.0, plotting.floor_of([v for row in found for v in point_of(row.numbers["auc"])]))
    figure = plotting.new_figure(NARROW_IN, 1.62 * math.ceil(len(kinds) / across) + 0.1, gap=0.05)
    grid = plotting.panels(figure, len(kinds), across=across, share_y=True)
    for axes, (name, rows) in zip(grid, kinds.items(), strict=True):
        _plot_corruption(axes, rows, plain=point_of(found[0].numbers["auc"])[0])
        axes.set_ylim(least, 1.005)
        axes.set_title(name, pad=16, size=10)
    return figure


def _plot_corruption(axes: Axes, rows: list[Corrupted], *, plain: float) -> None:
    middle, low, high = np.array([point_of(row.numbers["auc"]) for row in rows]).T
    x, fallen = np.arange(1, len(rows) + 1), high < plain
    axes.axhline(plain, linestyle=":", color=MUTED, linewidth=1)
    axes.vlines(x, low, high, color=BLUE, linewidth=1.4, alpha=0.6)
    axes.plot(x, middle, color=BLUE, linewidth=1.4)
    axes.plot(x[~fallen], middle[~fallen], "o", ms=4.5, color=BLUE)
    axes.plot(x[fallen], middle[fallen], "s", ms=5, color=VERMILLION)
    amounts = [f"{row.amount:g}" for row in rows]
    axes.set(xlim=(0.6, len(x) + 0.4), xticks=x, xticklabels=amounts)
    axes.tick_params(labelsize=8.5)
    axes.grid(axis="y")
    plotting.note(axes, rows[0].unit, up=4, size=8)

"""Figures of a comparison: differences between readers, and spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.report import plotting
from pneumoscope.report.figures.drawing import Drawing
from pneumoscope.report.figures.forest import (
    Row,
    around_zero,
    difference_mark,
    forest_drawing,
)
from pneumoscope.report.plotting import point_of, shortened
from pneumoscope.report.style import BLUE, GREEN, INK, MUTED, NARROW_IN, WIDE_IN
from pneumoscope.report.tables import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.compare import Comparison
    from pneumoscope.evaluation.multiclass.compare import ClassComparison

NUMBERS = (
    ("auc", "AUC"),
    ("accuracy", "Accuracy"),
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
)
"""Metrics in figures of several readers, with their names."""

Spread = tuple[float, float, str]
"""A range of accuracies from run to run that is known from elsewhere, with its source."""


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names without their common leading folders.

    >>> short_names(["runs/a", "runs/b"])
    ('a', 'b')
    """
    parts = [PurePath(name).parts or (name,) for name in names]
    shared = 0
    while len(parts) > 1 and all(
        len(own) > shared + 1 and own[shared] == parts[0][shared] for own in parts
    ):
        shared += 1
    return tuple("/".join(own[shared:]) for own in parts)


def differences(found: Comparison) -> Drawing:
    """Return differences between readers on the same images, with intervals."""
    short = dict(zip(found.names, short_names(found.names), strict=True))
    rows = []
    for pair in found.pairs:
        first, second = short[pair.first], short[pair.second]
        for key, title in NUMBERS:
            _, low, high = point = point_of(pair.differences[key])
            mark = difference_mark(point, apart=low > 0 or high < 0)
            cells = (first, second, key, *point)
            rows.append(Row(title, (mark,), f"{first} minus {second}", cells=(cells,)))
    scale = around_zero("second better  ←  →  first better")
    return forest_drawing("differences", rows, {"pairs": found.pairs, "short": short}, scale=scale)


def class_differences(found: ClassComparison, names: Mapping[str, str]) -> Drawing:
    """Return differences of AUC and sensitivity of each class, with intervals.

    Args:
        found: What ``compare_classes`` gave.
        names: Name → what to call the reader.
    """
    rows = []
    for pair in found.pairs:
        title = f"{names[pair.first]} minus {names[pair.second]}"
        for name, one in zip(found.labels.names, pair.by_class, strict=True):
            marks, cells = [], []
            for key, value, p in (
                ("auc", one.auc, one.auc_p_holm),
                ("sensitivity", one.sensitivity, one.sensitivity_p_holm),
            ):
                apart = p is not None and p < 1 - found.level
                marks.append(difference_mark(point_of(value), apart=apart))
                cells.append((title, name, key, *point_of(value), "yes" if apart else "no"))
            rows.append(Row(shortened(name), tuple(marks), title, cells=tuple(cells)))
    facts = {"pairs": found.pairs, "names": names, "classes": found.labels.names}
    titles, scale = ("AUC", "Sensitivity"), around_zero(ticks=4)
    return forest_drawing(
        "class_differences", rows, facts, titles=titles, scale=scale, width_in=WIDE_IN
    )


def seed_dots(
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    group: Sequence[int],
    *,
    known: Spread | None = None,
    kept: int | None = None,
) -> Drawing:
    """Return the results of several readers, and the spread of runs of one recipe.

    Args:
        names: The readers.
        values: Of each reader each of ``NUMBERS``; NaN where it is not defined.
        group: For each reader the number of the recipe that it shares with others, -1 for none.
        known: A spread to show beside the accuracies; None if there is none.
        kept: The number of the reader that was kept of them, drawn hollow; None if none was.
    """
    rows = [
        (name, recipe if recipe >= 0 else "", *own)
        for name, recipe, own in zip(names, group, values, strict=True)
    ]
    accuracies = [own[1] for own in values if math.isfinite(own[1])] or [math.nan]
    return Drawing(
        "seed_dots",
        rows,
        lambda: _plot_dots(np.array(values), group, known, kept),
        {"n": len(names), "low": min(accuracies), "high": max(accuracies)},
    )


def seed_dots_of(found: Comparison, *, known: Spread | None = None) -> Drawing:
    """Return the readers of a comparison, and the spread of those of one recipe."""
    belongs = {name: g for g, group in enumerate(found.seeds) for name in group.members}
    values = [[point_of(found.numbers[name][key])[0] for key, _ in NUMBERS] for name in found.names]
    group = [belongs.get(name, -1) for name in found.names]
    return seed_dots(short_names(found.names), values, group, known=known)


def _plot_dots(
    values: Floats, group: Sequence[int], known: Spread | None, kept: int | None
) -> Figure:
    groups = list(dict.fromkeys(group))
    several = len(groups) > 1
    labels = ["–" if g < 0 else str(g + 1) for g in groups] if several else [""]  # noqa: RUF001
    shown = [*values[np.isfinite(values)], *(known[:1] if known is not None else ())]
    floor = max(0.0, math.floor(20 * (min(shown, default=0.0) - 0.02)) / 20)
    figure = plotting.new_figure(NARROW_IN, 5.2, gap=0.05)
    grid = figure.subplots(2, 2, sharey=True).ravel()
    for axes, (key, title), own in zip(grid, NUMBERS, values.T, strict=True):
        if key == "accuracy" and known is not None:
            low, high, source = known
            axes.axhspan(low, high, color=MUTED, alpha=0.16, linewidth=0)
            told = f"{source}: {low:.0%} to {high:.0%}"
            axes.text(-0.55, high, told, size=8, color=MUTED, va="bottom")
        for x, recipe in enumerate(groups):
            members = [row for row, belongs in enumerate(group) if belongs == recipe]
            hollow = [row == kept for row in members]
            _plot_recipe(axes, x, own[members], alike=recipe >= 0, hollow=hollow)
        axes.set(title=title, xlim=(-0.6, len(groups) - 0.4), ylim=(floor, 1.005))
        axes.set_xticks(range(len(groups)), labels)
        axes.set_xlabel("recipe" if several else "", size=9)
        axes.grid(axis="y")
    return figure


def _plot_recipe(
    axes: Axes, x: int, values: Floats, *, alike: bool, hollow: Sequence[bool]
) -> None:
    """Draw one dot per reader, and mean and standard deviation of runs of one recipe."""
    spread = np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else np.zeros(1)
    for place, value, ring in zip(x + spread, values, hollow, strict=True):
        axes.plot(
            place, value, "o", ms=7 if ring else 6, mec=BLUE, mew=1.6,
            mfc="none" if ring else BLUE, alpha=1 if ring else 0.8, clip_on=False,
        )  # fmt: skip
    if alike and len(values) > 1 and np.isfinite(values).all():
        mean, deviation = float(values.mean()), float(values.std(ddof=1))
        ends = [max(0.0, mean - deviation), min(1.0, mean + deviation)]
        axes.plot([x + 0.32] * 2, ends, color=GREEN, clip_on=False)
        axes.plot(x + 0.32, mean, "X", ms=8, color=GREEN, clip_on=False, zorder=3)


def seed_losses(
    names: Sequence[str], losses: Sequence[Sequence[float]], epochs: Sequence[int], kept: int
) -> Drawing:
    """Return the validation loss by epoch of each run, with the selected run highlighted.

    Args:
        names: The runs.
        losses: The validation loss of each epoch, from the first on, of each run.
        epochs: The epoch whose weights each run kept, from 1 on.
        kept: The number of the run that was kept.
    """
    rows = [
        (name, epoch, loss, "yes" if epoch == best else "")
        for name, own, best in zip(names, losses, epochs, strict=True)
        for epoch, loss in enumerate(own, 1)
    ]
    return Drawing(
        "seed_losses",
        rows,
        lambda: _plot_losses(names[kept], losses, epochs, kept),
        {"n": len(names), "kept": names[kept], "loss": losses[kept][epochs[kept] - 1]},
    )


def _plot_losses(
    name: str, losses: Sequence[Sequence[float]], epochs: Sequence[int], kept: int
) -> Figure:
    figure, axes = plotting.one_panel(NARROW_IN, 3.2)
    lowest = [own[epoch - 1] for own, epoch in zip(losses, epochs, strict=True)]
    for row, own in enumerate(losses):
        colour, order, width, size = (BLUE, 3, 2.2, 8) if row == kept else (MUTED, 2, 1.1, 5)
        axes.plot(range(1, len(own) + 1), own, color=colour, linewidth=width, zorder=order)
        axes.plot(epochs[row], lowest[row], "o", ms=size, color=colour, zorder=order, clip_on=False)
    place = epochs[kept], lowest[kept]
    plotting.write(axes, name, place, (0, -16), ha="center", weight="bold", color=INK, size=9.5)
    low, high = min(map(min, losses)), max(map(max, losses))
    axes.set_ylim(max(0.0, low - 0.22 * (high - low or 1)), None)
    axes.margins(x=0.08)
    plotting.whole_numbers(axes, nbins=8, min_n_ticks=1)
    plotting.label_axes(axes, x="Epoch", y="Validation loss")
    return figure

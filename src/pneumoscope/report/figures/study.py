"""Figures of a study: differences, learning curves, validation spread and search results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from pneumoscope.report.plotting import DASHES, Point
from pneumoscope.report.style import (
    BLUE,
    INK,
    MUTED,
    NARROW_IN,
    PALETTE,
    RULE,
    VERMILLION,
    WIDE_IN,
)
from pneumoscope.report.tables import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class LevelDifference:
    """The difference in AUC of a level of a question from the base.

    Attributes:
        question: The question.
        name: The level.
        point: The difference and the ends of its interval; NaN where there is none.
        seeds: The difference of each seed.
        apart: Whether it is significant, after Holm's correction.
    """

    question: str
    name: str
    point: Point
    seeds: Sequence[float]
    apart: bool


def level_differences(levels: Sequence[LevelDifference]) -> Drawing:
    """Return differences in AUC from the base by level, grouped by question."""
    rows = []
    for one in levels:
        mark = difference_mark(one.point, apart=one.apart, seeds=one.seeds)
        seeds, apart = " ".join(map(number, one.seeds)), "yes" if one.apart else "no"
        cells = (one.question, one.name, *one.point, seeds, apart)
        rows.append(Row(one.name, (mark,), one.question, cells=(cells,)))
    scale = around_zero("base is better  ←  difference in AUC  →  level is better", least=0.01)
    facts = {"levels": levels}
    return forest_drawing("level_differences", rows, facts, scale=scale, width_in=WIDE_IN)


def loss_curves(names: Sequence[str], losses: Sequence[Sequence[Sequence[float]]]) -> Drawing:
    """Return the validation loss by epoch of the runs of a question, coloured by level.

    Args:
        names: The levels.
        losses: Of each level and seed the validation loss of each epoch.
    """
    every = [loss for runs in losses for own in runs for loss in own]
    each = list(zip(names, losses, strict=True))

    def plot() -> Figure:
        figure, axes = plotting.one_panel(NARROW_IN, 3.3)
        for k, (name, runs) in enumerate(each):
            for run, own in enumerate(runs):
                axes.plot(
                    range(1, len(own) + 1), own, color=PALETTE[k % len(PALETTE)], marker="o",
                    linestyle=DASHES[k // len(PALETTE) % len(DASHES)], linewidth=1.4, ms=2.5,
                    label=name if run == 0 else None,
                )  # fmt: skip
        if every:
            top = float(np.quantile(every, 0.97)) * 1.15
            axes.set_ylim(max(0.0, min(every) * 0.9), top)
        plotting.whole_numbers(axes, nbins=8, min_n_ticks=1)
        plotting.label_axes(axes, x="Epoch", y="Validation loss")
        axes.legend(frameon=False, fontsize=8.5, loc="upper right")
        return figure

    rows = [
        (name, run, epoch, loss)
        for name, runs in each
        for run, own in enumerate(runs)
        for epoch, loss in enumerate(own, 1)
    ]
    return Drawing(
        "loss_curves",
        rows,
        plot,
        {"lowest": [(name, min(map(min, runs))) for name, runs in each if runs]},
    )


@dataclass(frozen=True, slots=True)
class Validated:
    """Accuracies of the runs whose validation images were chosen in one way.

    Attributes:
        name: The way.
        images: How many validation images there are.
        claimed: The validation accuracy of every epoch of the runs.
        kept: The validation accuracy of the epoch that each run kept.
        held_out: The accuracy of each run on held-out patients.
    """

    name: str
    images: int
    claimed: Sequence[float]
    kept: Sequence[float]
    held_out: Sequence[float]


def validation_spread(ways: Sequence[Validated]) -> Drawing:
    """Return results on validation images against results on held-out patients."""

    def plot() -> Figure:
        generator = np.random.default_rng(0)  # of where dots stand, so that they can be told apart
        figure, axes = plotting.one_panel(NARROW_IN, 3.6)
        for k, one in enumerate(ways):
            place = k - 0.15 + generator.uniform(-0.1, 0.1, len(one.claimed))
            axes.plot(place, one.claimed, "o", ms=3, color=MUTED, alpha=0.6, linewidth=0)
            axes.plot([k + 0.1] * len(one.kept), one.kept, "o", ms=9, mfc="none", color=BLUE)
            axes.plot([k + 0.25] * len(one.held_out), one.held_out, "s", ms=6, color=VERMILLION)
        axes.set_xticks(range(len(ways)), [f"{one.name}\n{one.images:,} images" for one in ways])
        axes.set_xlim(-0.6, len(ways) - 0.4)
        axes.yaxis.set_major_formatter("{x:.0%}")
        plotting.label_axes(axes, y="Accuracy")
        return figure

    rows = [
        (one.name, one.images, what, value)
        for one in ways
        for what in ("claimed", "kept", "held_out")
        for value in getattr(one, what)
    ]
    return Drawing("validation_spread", rows, plot, {"ways": ways})


Ticks = tuple[tuple[float, str], ...]
"""Values that an axis shows, with their heights in [0, 1]."""


def parallel_coordinates(
    shown: Mapping[str, Ticks],
    heights: Sequence[Sequence[float]],
    values: Sequence[Sequence[str]],
    reached: Sequence[float],
    *,
    number: str,
    best: int,
) -> Drawing:
    """Return the settings and results of the trials of a search, one line per trial.

    Args:
        shown: Name of each axis → its ticks.
        heights: Of each trial its height in [0, 1] on each axis; NaN where it has no value.
        values: Of each trial what it chose, as text.
        reached: Of each trial what it reached; NaN for one that was ended early.
        number: What that is.
        best: The number of the best trial.
    """
    rows = [(k, *own, reached[k]) for k, own in enumerate(values)]
    return Drawing(
        "parallel_coordinates",
        rows,
        lambda: _plot_trials(shown, heights, reached, number, best),
        {"n": len(values), "axes": list(shown), "best": values[best]},
        ("trial", *shown, number),
    )


def _plot_trials(
    shown: Mapping[str, Ticks],
    heights: Sequence[Sequence[float]],
    reached: Sequence[float],
    number: str,
    best: int,
) -> Figure:
    known = [value for value in reached if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    span = high - low or 1.0
    columns = {**shown, number: ((0.0, f"{low:.4f}"), (1.0, f"{high:.4f}"))}
    figure, axes = plotting.one_panel(WIDE_IN, 3.4)
    for k, (own, value) in enumerate(zip(heights, reached, strict=True)):
        whole = math.isfinite(value)
        path = [*own, (value - low) / span if whole else math.nan]
        axes.plot(
            range(len(columns)), path,
            color=VERMILLION if k == best else BLUE if whole else RULE,
            linewidth=2.6 if k == best else 1.1, alpha=1 if k == best or not whole else 0.55,
            zorder=3 if k == best else 2 if whole else 1,
        )  # fmt: skip
    for x, ticks in enumerate(columns.values()):
        axes.axvline(x, color=INK, linewidth=0.8, zorder=0)
        for height, text in ticks:
            look = {"size": 8, "color": MUTED, "va": "center", "annotation_clip": False}
            plotting.write(axes, text, (x, height), (4, 0), **look)
    axes.set_xticks(range(len(columns)), list(columns))
    axes.set(yticks=[], xlim=(-0.15, len(shown) + 0.45))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, pad=8)
    return figure


def importance(names: Sequence[str], shares: Sequence[float]) -> Drawing:
    """Return the importance of each field of a search.

    Args:
        names: The fields.
        shares: Of each its share, adding up to 1.
    """

    def plot() -> Figure:
        figure, axes = plotting.one_panel(NARROW_IN, 0.34 * len(names) + 0.6)
        axes.barh(range(len(names)), shares, height=0.6, color=BLUE)
        for y, share in enumerate(shares):
            plotting.write(axes, f"{share:.0%}", (share, y), (4, 0), va="center", size=9, color=INK)
        axes.set_yticks(range(len(names)), list(names))
        axes.set(xlim=(0, max([0.01, *shares]) * 1.15), ylim=(len(names) - 0.5, -0.5))
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.tick_params(length=0, pad=5)
        axes.grid(axis="x")
        return figure

    rows = list(zip(names, shares, strict=True))
    return Drawing("importance", rows, plot, {"names": names, "shares": shares})

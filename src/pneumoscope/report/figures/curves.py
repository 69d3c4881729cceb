"""Figures over all thresholds: precision, net benefit and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.evaluation.ece import bins_of
from pneumoscope.report import plotting
from pneumoscope.report.figures.drawing import Drawing
from pneumoscope.report.plotting import SQUARE_IN, UNIT_TICKS
from pneumoscope.report.style import BLUE, INK, MUTED, NARROW_IN, VERMILLION

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from pneumoscope.evaluation.curves import DecisionCurve, PrecisionRecallBand, Reliability
    from pneumoscope.evaluation.multiclass.numbers import ClassNumbers
    from pneumoscope.evaluation.multiclass.scores import ClassScores

_CLASS_BINS = 10


def precision_recall(
    curve: PrecisionRecallBand,
    *,
    prevalence: float,
    average_precision: float | None = None,
    point: tuple[float, float] | None = None,
) -> Drawing:
    """Return the precision at each recall, with its band.

    Args:
        curve: What ``evaluate`` computed.
        prevalence: Share of positive images, which is what a guesser's precision is.
        average_precision: The area under the steps; None if it is not defined.
        point: (recall, precision) of the threshold in use; None if nothing is called.
    """

    def plot() -> Figure:
        figure, axes = plotting.one_panel(*SQUARE_IN)
        axes.axhline(prevalence, linestyle=":", color=MUTED, linewidth=1)
        plotting.band(axes, curve.recall, curve.low, curve.high, step="pre")
        axes.step(
            curve.recall, curve.precision, where="pre", color=BLUE, linewidth=2.2, zorder=3,
            clip_on=False,
        )  # fmt: skip
        if average_precision is not None:
            axes.text(0.04, 0.05, f"AP {average_precision:.3f}", size=15, weight="bold")
        if point is not None:
            plotting.mark_point(axes, *point)
        plotting.unit_square(axes, x="Recall (sensitivity)", y="Precision (PPV)")
        return figure

    columns = (curve.recall, curve.precision, curve.low, curve.high)
    return Drawing(
        "precision_recall",
        list(zip(*columns, strict=True)),
        plot,
        {"area": average_precision, "point": point, "prevalence": prevalence},
    )


def net_benefit(curve: DecisionCurve, threshold: float | None = None) -> Drawing:
    """Return the net benefit of using the reader, treating all and treating none.

    Args:
        curve: What ``evaluate`` computed.
        threshold: The threshold in use.
    """
    columns = (curve.threshold, curve.net_benefit, curve.low, curve.high, curve.treat_all)
    return Drawing(
        "net_benefit",
        [(*row, "0") for row in zip(*columns, strict=True)],
        lambda: _plot_benefit(curve, threshold),
        {"useful": curve.useful()},
    )


def _plot_benefit(curve: DecisionCurve, threshold: float | None) -> Figure:
    figure, axes = plotting.one_panel(NARROW_IN, 3.6)
    x, top = curve.threshold, max(float(np.nanmax([curve.net_benefit, curve.treat_all])), 0.02)
    floor = -0.25 * top
    # Far below the axis there is nothing to see, but much that a page would have to carry.
    plotting.band(axes, x, np.maximum(curve.low, 2 * floor), np.maximum(curve.high, 2 * floor))
    lines = [
        *axes.plot(x, curve.net_benefit, color=BLUE, linewidth=2.2, zorder=3, label="this reader"),
        *axes.plot(x, curve.treat_all, "--", color=VERMILLION, label="treat all"),
        axes.axhline(0, color=MUTED, linewidth=1.2, label="treat none"),
    ]
    plotting.legend(figure, lines, columns=3)
    axes.set(xlim=(0, 1), ylim=(floor, top * 1.16), xticks=UNIT_TICKS)
    plotting.label_axes(axes, x="Threshold probability", y="Net benefit")
    if threshold is not None:
        left = threshold < 0.75
        axes.axvline(threshold, ymax=0.9, color=INK, linewidth=0.9)
        text, place = f"threshold {threshold:.2f}", (threshold, top * 1.16)
        aside, side = (4, "left") if left else (-4, "right")
        plotting.write(axes, text, place, (aside, -2), size=9, va="top", ha=side)
    return figure


def reliability_diagram(bins: Reliability, ece: str = "") -> Drawing:
    """Return predicted against observed frequencies, in bins of equal mass.

    Args:
        bins: What ``evaluate`` computed, one bin at least.
        ece: The calibration error with its interval, in words; empty if it is not known.
    """
    if not bins.n.size:
        raise OptionError("bins", must="at least one", was=bins.n.shape)
    agree = int(((bins.low <= bins.probability) & (bins.probability <= bins.high)).sum())

    def plot() -> Figure:
        figure = plotting.new_figure(SQUARE_IN[0], 5.3, gap=0.04)
        upper, lower = figure.subplots(2, 1, height_ratios=[5, 1], sharex=True)
        x, observed, most = bins.probability, bins.observed, int(bins.n.max())
        plotting.diagonal(upper)
        upper.plot(x, observed, color=BLUE, linewidth=1, alpha=0.5)
        upper.vlines(x, bins.low, bins.high, color=BLUE, linewidth=1.4)
        upper.plot(x, observed, "o", ms=6, color=BLUE, clip_on=False, zorder=3)
        plotting.unit_square(upper, x="", y="Share of images that are positive")
        upper.set_aspect("auto")
        if ece:
            plotting.note(
                upper, f"Calibration error {ece}", up=24, color=INK, weight="bold", size=11.5
            )
        lower.vlines(x, 0, bins.n, color=BLUE, linewidth=4)
        lower.set(ylim=(0, most * 1.15), yticks=[most])
        plotting.label_axes(lower, x="Predicted probability", y="Images", grid=False)
        return figure

    columns = (bins.n, bins.probability, bins.observed, bins.low, bins.high)
    return Drawing(
        "reliability_diagram",
        list(zip(*columns, strict=True)),
        plot,
        {"bins": bins, "agree": agree, "ece": ece},
    )


def class_reliability(found: ClassNumbers, scores: ClassScores) -> Drawing:
    """Return reliability diagrams, one per class."""
    names = found.labels.names
    errors = [own["ece"] for own in found.by_class]
    each = [
        (name, *_binned(scores.probabilities[:, k], scores.number == k))
        for k, name in enumerate(names)
    ]

    def plot() -> Figure:
        x, y = "Mean probability of the class", "Share of images of the class"
        figure, grid = plotting.small_squares(names, x=x, y=y)
        for axes, (_, mean, share, _), error in zip(grid, each, errors, strict=True):
            axes.plot(mean, share, "o-", ms=4, color=BLUE, clip_on=False, zorder=3)
            axes.text(0.96, 0.06, f"ECE {error.text()}", ha="right", size=9)
        return figure

    rows = [(name, *row) for name, *own in each for row in zip(*own, strict=True)]
    return Drawing("class_reliability", rows, plot, {"found": found})


def _binned(
    probability: NDArray[np.floating], own: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return mean probability, share of the class and number of images of each non-empty bin."""
    inside = bins_of(np.asarray(probability, np.float64), _CLASS_BINS)
    count = np.bincount(inside, minlength=_CLASS_BINS)
    there = count > 0
    mean, share = (
        np.bincount(inside, weights=values, minlength=_CLASS_BINS)[there] / count[there]
        for values in (probability, own.astype(np.float64))
    )
    return mean, share, count[there]

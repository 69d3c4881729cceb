"""Figures of the conclusions: confusion matrix, probabilities by class, prediction sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pneumoscope.report import plotting
from pneumoscope.report.figures.drawing import Drawing
from pneumoscope.report.figures.forest import Mark, up_to_one
from pneumoscope.report.plotting import UNIT_TICKS, point_of, shortened
from pneumoscope.report.style import BLUE, INK, MUTED, NARROW_IN, RULE, VERMILLION, WIDE_IN
from pneumoscope.report.tables import Floats, Integers, require_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.multiclass.numbers import ClassNumbers
    from pneumoscope.evaluation.multiclass.sets import SetNumbers

_BINS = 40
_WITH_INTERVALS = 4  # so many classes leave room for an interval in each cell
_WITH_COUNTS = 7  # and so many for the count


def confusion_matrix(counts: npt.ArrayLike, classes: Sequence[str]) -> Drawing:
    """Return the numbers of conclusions by true class.

    Args:
        counts: Images, ``[K, K]``: rows are the truth, columns the conclusion.
        classes: Names of the K classes.
    """
    matrix = np.asarray(counts, np.int64)
    require_shape("counts", matrix, (len(classes), len(classes)))
    totals = matrix.sum(axis=1, keepdims=True).astype(np.float64)
    shares = np.full((*matrix.shape, 1), np.nan)
    np.divide(matrix[..., None], totals[..., None], out=shares, where=totals[..., None] > 0)
    rows = [
        (classes[t], classes[c], matrix[t, c], shares[t, c, 0]) for t, c in np.ndindex(matrix.shape)
    ]
    return Drawing(
        "confusion_matrix",
        rows,
        lambda: _plot_matrix(matrix, shares, classes, columns="conclusion"),
        {"matrix": matrix, "classes": classes},
    )


def class_confusion(found: ClassNumbers) -> Drawing:
    """Return the most probable class by true class, with intervals."""
    names = found.labels.names
    matrix = np.array(found.confusion)
    shares = np.array([[point_of(cell) for cell in row] for row in found.shares])
    rows = [(names[t], names[c], matrix[t, c], *shares[t, c]) for t, c in np.ndindex(matrix.shape)]
    return Drawing(
        "class_confusion",
        rows,
        lambda: _plot_matrix(matrix, shares, names, columns="most probable class"),
        {"found": found},
    )


def _plot_matrix(
    matrix: Integers, shares: Floats, classes: Sequence[str], *, columns: str
) -> Figure:
    """Draw a matrix; with more classes, cells contain less text.

    Args:
        matrix: Images, ``[K, K]``.
        shares: Of each cell its share of the row, with or without an interval, ``[K, K, 1 or 3]``.
        classes: Names of the classes.
        columns: What the columns are.
    """
    n = len(classes)
    cell = {1: 1.5, 2: 1.5, 3: 1.3, 4: 1.15}.get(n, max(0.36, 4.6 / n))
    figure, axes = plotting.one_panel(
        min(WIDE_IN, 1.9 + cell * n), 1.1 + (0.72 if n <= _WITH_INTERVALS else 0.8) * cell * n
    )
    for t, c in np.ndindex(n, n):
        _plot_cell(axes, t, c, int(matrix[t, c]), shares[t, c], classes=n)
    few = n <= _WITH_COUNTS
    size = 9 if few else 8.5
    names = [name if n == 2 else shortened(name) for name in classes]
    axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5))
    axes.set_xticks(range(n), names, rotation=0 if n <= _WITH_INTERVALS else 90, size=size)
    totals = [f"({total:,})" for total in matrix.sum(axis=1)]
    rows = [f"{a}{chr(10) if few else ' '}{b}" for a, b in zip(names, totals, strict=True)]
    axes.set_yticks(range(n), rows, size=size)
    axes.xaxis.tick_top()
    axes.tick_params(labelcolor=INK)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(f"Columns: {columns}\nRows: true class (images)")
    return figure


def _plot_cell(axes: Axes, t: int, c: int, count: int, share: Floats, *, classes: int) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415 - matplotlib is loaded to draw

    known = bool(np.isfinite(share[0]))
    # Never opaque: the number in the cell is in the page's ink, dark or light.
    tint = 0.05 + 0.38 * float(share[0]) if known else 0.0
    face = BLUE if t == c else VERMILLION
    corner = (c - 0.48, t - 0.48)
    axes.add_patch(Rectangle(corner, 0.96, 0.96, facecolor=face, alpha=tint, linewidth=0))
    if classes > _WITH_COUNTS:
        text = f"{100 * share[0]:.0f}" if known and count else ""
        axes.text(c, t, text, ha="center", va="center", size=8.5)
        return
    size = 13 if classes <= _WITH_INTERVALS else 10
    axes.text(c, t - 0.06, f"{count:,}", ha="center", va="bottom", size=size, weight="bold")
    lines = [f"{share[0]:.1%}" if known else "no images"]
    if classes <= _WITH_INTERVALS and np.isfinite(share[1:]).all() and share.size == 3:
        lines.append(f"{share[1]:.1%} to {share[2]:.1%}")
    axes.text(c, t + 0.02, "\n".join(lines), ha="center", va="top", size=8.5)


def score_distributions(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    *,
    classes: tuple[str, str],
    threshold: float,
    zone: tuple[float, float] | None = None,
) -> Drawing:
    """Return the distribution of probabilities by true class, in 40 bins.

    Args:
        labels: ``int [N]``, 1 positive and 0 negative.
        probabilities: ``float [N]`` of the positive class.
        classes: (negative, positive).
        threshold: From here on an image is called positive.
        zone: Between these probabilities an image is set aside as uncertain; None if there is
            no such zone.
    """
    truth, said = np.asarray(labels), np.asarray(probabilities, np.float64)
    require_shape("probabilities", said, truth.shape)
    edges = np.linspace(0, 1, _BINS + 1)
    counts = np.array([np.histogram(said[truth == label], edges)[0] for label in (0, 1)])
    totals = counts.sum(axis=1)
    return Drawing(
        "score_distributions",
        list(zip(edges[:-1], edges[1:], *counts, strict=True)),
        lambda: _plot_distributions(edges, counts, classes, threshold, zone),
        {"totals": totals, "classes": classes, "threshold": threshold, "zone": zone},
        ("from", "to", *classes),
    )


def _plot_distributions(
    edges: Floats,
    counts: Integers,
    classes: tuple[str, str],
    threshold: float,
    zone: tuple[float, float] | None,
) -> Figure:
    """Draw one class upwards, the other downwards, on a scale of square roots."""
    figure, axes = plotting.one_panel(NARROW_IN, 3.4)
    heights = np.sqrt(counts)
    up, down = (max(1.0, float(side.max(initial=0))) for side in heights)
    room = 0.11 * (up + down)  # for the name of the class
    if zone is not None:
        axes.axvspan(*zone, color=MUTED, alpha=0.16, linewidth=0)
    right = threshold < 0.6  # the names stand away from the line
    for sign, name, colour, height in zip((1, -1), classes, (BLUE, VERMILLION), heights,
                                          strict=True):  # fmt: skip
        axes.bar((edges[:-1] + edges[1:]) / 2, sign * height, width=0.86 / _BINS, color=colour)
        axes.text(
            0.985 if right else 0.015, 0.985 if sign > 0 else 0.015, name,
            va="top" if sign > 0 else "bottom", ha="right" if right else "left",
            color=colour, weight="bold", transform=axes.transAxes,
        )  # fmt: skip
    axes.axhline(0, color=RULE, linewidth=0.8)
    axes.axvline(threshold, color=INK, linewidth=1)
    ticks = _root_ticks(max(up, down))
    shown = [-n for n in ticks[:0:-1] if n <= 1.1 * down**2]
    shown += [n for n in ticks if n <= 1.1 * up**2]
    axes.set_yticks(np.sign(shown) * np.sqrt(np.abs(shown)), [f"{abs(n):,}" for n in shown])
    axes.set(xlim=(0, 1), ylim=(-down - room, up + room), xticks=UNIT_TICKS)
    plotting.label_axes(axes, x="Predicted probability", y="Images", grid=False)
    return figure


def _root_ticks(most: float) -> list[int]:
    """Return 0 and up to three round counts for a square root axis up to ``most``.

    >>> _root_ticks(21)
    [0, 20, 100, 200]
    """
    round_counts = [m * 10**e for e in range(8) for m in (1, 2, 5)]
    wanted = [most**2 * share for share in (1 / 16, 1 / 4, 1.1)]
    found = {max((n for n in round_counts if n <= end), default=0) for end in wanted}
    return sorted({0, *found})


def prediction_sets(sets: SetNumbers, names: Sequence[str], counts: Sequence[int]) -> Drawing:
    """Return how many classes are plausible, and how often the true one is among them.

    Args:
        sets: The numbers of the prediction sets.
        names: The classes.
        counts: Images of each class.
    """
    covered = list(zip(names, sets.coverage_by_class, strict=True))
    sizes = [(str(size), one) for size, one in enumerate(sets.sizes, 1)]
    rows = [
        (what, which, *point_of(one))
        for what, shares in (("possible classes", sizes), ("true class among them", covered))
        for which, one in shares
    ]
    return Drawing(
        "prediction_sets",
        rows,
        lambda: _plot_sets(sets, names, counts),
        {"sizes": sizes, "covered": covered},
    )


def _plot_sets(sets: SetNumbers, names: Sequence[str], counts: Sequence[int]) -> Figure:
    """Draw bars of the sizes on the left, and one row per class on the right."""
    n = len(names)
    figure = plotting.new_figure(WIDE_IN, 1.7 + 0.24 * n, gap=0.08)
    left, right = figure.subplots(1, 2)
    shares = [one.value or 0.0 for one in sets.sizes]
    left.bar(range(1, n + 1), shares, width=0.72, color=BLUE)
    for size, share in enumerate(shares, 1):
        if share and n <= _WITH_COUNTS:
            left.text(size, share, f"{share:.0%}", ha="center", va="bottom", size=9)
    step = 1 if n <= _WITH_COUNTS else 2  # two-digit numbers side by side would touch
    left.set_xticks(range(1, n + 1, step))
    left.set_ylim(0, 1.12 * max([*shares, 0.1]))
    plotting.label_axes(left, x="Plausible classes", y="Share of images")
    points = [point_of(one) for one in sets.coverage_by_class]
    promised = 1 - (sets.error_level or 0)
    if sets.error_level is not None:
        right.axvline(promised, linestyle=":", color=MUTED, linewidth=1)
    for row, point in enumerate(points):
        Mark(point).draw(right, row)
    up_to_one(right, [promised, *(value for point in points for value in point)])
    named = zip(names, counts, strict=True)
    plotting.name_rows(right, [f"{shortened(name)} ({count:,})" for name, count in named])
    right.set_title("True class plausible", color=MUTED, weight="normal", size=10)
    return figure

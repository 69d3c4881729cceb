"""Figures of an audit: images per patient, distributions and label shortcuts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report import plotting
from pneumoscope.report.figures.drawing import Drawing
from pneumoscope.report.figures.forest import Mark, Row, cells_of, forest
from pneumoscope.report.plotting import DASHES
from pneumoscope.report.style import BLUE, GREEN, NARROW_IN, PALETTE, PURPLE, VERMILLION
from pneumoscope.report.tables import Floats, require_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.data.audit.shortcuts import Clue

_BINS = 40


def images_per_patient(patients_by_images: Mapping[int, int]) -> Drawing:
    """Return numbers of patients by their number of images.

    Args:
        patients_by_images: Number of images → how many patients have so many.
    """
    if not patients_by_images:
        raise OptionError("patients_by_images", must="at least one", was=0)
    counts = sorted(patients_by_images.items())
    most = counts[-1][0]

    def plot() -> Figure:
        figure, axes = plotting.one_panel(NARROW_IN, 2.6)
        axes.bar([x for x, _ in counts], [y for _, y in counts], width=0.75, color=BLUE)
        axes.set(yscale="log", ylim=(0.7, max(2, *(y for _, y in counts)) * 2))
        plotting.without_height_scale(axes)
        plotting.whole_numbers(axes)
        axes.set_xlim(0.4, max(4.6, most + 0.6))
        plotting.label_axes(axes, x="Images of one patient", y="Patients", grid=False)
        for x, y in counts if len(counts) <= 16 else ():
            plotting.write(
                axes, f"{y:,}", (x, y), (0, 3), ha="center", size=8.5 if most <= 16 else 6.5
            )
        return figure

    several = sum(patients for images, patients in counts if images > 1)
    facts = {"counts": patients_by_images, "several": several}
    return Drawing("images_per_patient", counts, plot, facts)


def distributions(
    names: Sequence[str],
    classes: Sequence[str],
    edges: Floats,
    shares: Floats,
    *,
    logarithmic: Sequence[str] = (),
) -> Drawing:
    """Return histograms of measurements by class.

    Args:
        names: What was measured, with its unit, in the order of the panels.
        classes: Names of the classes.
        edges: Of the bins of each panel, ``[len(names), B + 1]``.
        shares: Of the images of a class in each bin, ``[len(names), len(classes), B]``.
        logarithmic: Those of ``names`` whose axis is.
    """
    require_shape("shares", shares, (len(names), len(classes), edges.shape[1] - 1))
    told = [name or "all images" for name in classes]

    def plot() -> Figure:
        across = min(2, len(names))
        figure = plotting.new_figure(
            NARROW_IN, 1.9 * math.ceil(len(names) / across) + 0.35, gap=0.06
        )
        grid = plotting.panels(figure, len(names), across=across)
        for axes, name, bins, own in zip(grid, names, edges, shares, strict=True):
            _plot_histograms(axes, bins, own, told, logarithmic=name in logarithmic)
            axes.set_title(name)
        if len(classes) > 1:
            plotting.legend(figure, grid[0].patches, columns=len(classes))
        return figure

    rows = [
        (names[m], classes[c], edges[m, b], edges[m, b + 1], shares[m, c, b])
        for m, c, b in np.ndindex(shares.shape)
    ]
    return Drawing("distributions", rows, plot, {"names": names, "classes": told})


def distributions_of(
    columns: Mapping[str, Floats], labels: Sequence[str], *, logarithmic: Sequence[str] = ()
) -> Drawing:
    """Return histograms of columns, with 40 bins each.

    Args:
        columns: Name → one value an image.
        labels: The class of each image.
        logarithmic: Names whose bins grow by a factor.
    """
    classes, held = sorted(set(labels)), np.asarray(labels)
    edges, shares = [], []
    for name, column in columns.items():
        values = np.asarray(column, np.float64)
        require_shape(name, values, (len(labels),))
        low, high = float(values.min()), float(values.max())
        if name in logarithmic:
            bins = np.geomspace(max(low, 1e-9) * 0.999, max(high, 1e-9) * 1.001, _BINS + 1)
        else:
            margin = 0.5 if low == high else 0.0
            bins = np.linspace(low - margin, high + margin, _BINS + 1)
        edges.append(bins)
        shares.append(
            [np.histogram(values[held == c], bins)[0] / (held == c).sum() for c in classes]
        )
    return distributions(
        tuple(columns), classes, np.array(edges), np.array(shares), logarithmic=logarithmic
    )


def _plot_histograms(
    axes: Axes, edges: Floats, shares: Floats, classes: Sequence[str], *, logarithmic: bool
) -> None:
    """Draw one stepped line per class."""
    for c, (own, label) in enumerate(zip(shares, classes, strict=True)):
        axes.stairs(
            own, edges, label=label, linewidth=1.6, color=PALETTE[c % len(PALETTE)],
            linestyle=DASHES[c % len(DASHES)],
        )  # fmt: skip
    if logarithmic and edges[-1] > 3 * edges[0]:
        plotting.logarithmic_width(axes, low=edges[0], high=edges[-1])
    axes.set_ylim(bottom=0)
    plotting.without_height_scale(axes)


_CLUES = {
    "file": (VERMILLION, "s"),
    "pixels": (BLUE, "o"),
    "periphery": (GREEN, "D"),
    "together": (PURPLE, "^"),
}  # colour and mark of each kind


def clue_areas(clues: Sequence[Clue]) -> Drawing:
    """Return the AUC of each label shortcut.

    Args:
        clues: What ``shortcuts`` found, from top to bottom.
    """
    rows = []
    for clue in clues:
        point = (clue.area.value, clue.area.low, clue.area.high)
        mark = Mark(point, *_CLUES[clue.kind])
        rows.append(Row(clue.name, (mark,), cells=((clue.name, clue.kind, *point),)))

    def plot() -> Figure:
        figure = forest(rows, scale=_clue_scale, reference=[0.5])
        for y, clue in enumerate(clues):
            place = ("axes fraction", "data")
            text = f"{clue.area.value:.2f}"
            figure.axes[0].annotate(text, (1.02, y), xycoords=place, va="center")
        return figure

    return Drawing("clue_areas", cells_of(rows), plot, {"clues": clues})


def _clue_scale(axes: Axes, values: list[float]) -> None:
    axes.set(xlim=(min(0.4, *(value - 0.02 for value in values)), 1.005), xlabel="AUC")

"""Figures of an audit: images per patient, distributions and label shortcuts.

The figures follow the contract of `pneumoscope.report.figures`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report.axes import (
    interval,
    label_axes,
    legend,
    logarithmic_width,
    name_rows,
    new_figure,
    panels,
    whole_numbers,
    without_height_scale,
)
from pneumoscope.report.style import (
    BLUE,
    GREEN,
    MUTED,
    NARROW_IN,
    PALETTE,
    PURPLE,
    VERMILLION,
    style,
)
from pneumoscope.report.tables import (
    Floats,
    Integers,
    Table,
    columns_of,
    require_shape,
    table_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.data.audit.shortcuts import Clue

_BINS = 40
_DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True, slots=True, eq=False)
class ImagesPerPatient:
    """Numbers of patients by number of images.

    Attributes:
        images: Numbers of images a patient, rising, ``[K]``.
        patients: How many patients have so many, ``[K]``.
    """

    images: Integers
    patients: Integers

    CAPTION: ClassVar[str] = (
        "Patients by the number of their images. A split by image puts patients right of the "
        "first bar into several parts."
    )

    def __post_init__(self) -> None:
        if self.images.ndim != 1 or self.images.size == 0:
            raise OptionError("images", must="[K], at least one", was=self.images.shape)
        require_shape("patients", self.patients, self.images.shape)

    @classmethod
    def from_counts(cls, patients_by_images: Mapping[int, int]) -> Self:
        """Make the figure from a table of images per patient.

        >>> ImagesPerPatient.from_counts({2: 5, 1: 9}).patients.tolist()
        [9, 5]
        """
        images = sorted(patients_by_images)
        return cls(np.array(images, np.int64), np.array([patients_by_images[n] for n in images]))

    def rows(self) -> Table:
        """Return one row a number of images."""
        return columns_of(("images", "patients"), self.images, self.patients)

    def summary(self) -> str:
        """Return the counts as a sentence."""
        several = int(self.patients[self.images > 1].sum())
        return (
            f"{int(self.patients.sum()):,} patients, {several:,} of them with several images, "
            f"up to {int(self.images.max())}"
        )

    @style()
    def draw(self) -> Figure:
        """Draw a bar a number of images, patients on a logarithmic scale."""
        figure = new_figure(NARROW_IN, 2.6)
        axes = figure.subplots()
        axes.bar(self.images, self.patients, width=0.75, color=BLUE)
        axes.set_yscale("log")
        axes.set_ylim(0.7, max(2, int(self.patients.max())) * 2)
        without_height_scale(axes)
        whole_numbers(axes)
        most = int(self.images.max())
        axes.set_xlim(0.4, max(4.6, most + 0.6))
        label_axes(axes, x="Images of one patient", y="Patients", grid=False)
        if self.images.size <= 16:
            for x, y in zip(self.images.tolist(), self.patients.tolist(), strict=True):
                axes.annotate(
                    f"{y:,}", (x, y), xytext=(0, 3), textcoords="offset points", ha="center",
                    size=8.5 if most <= 16 else 6.5,
                )  # fmt: skip
        return figure


@dataclass(frozen=True, slots=True, eq=False)
class Distributions:
    """Histograms of measurements by class.

    Attributes:
        names: What was measured, with its unit, in the order of the panels.
        classes: Names of the classes.
        edges: Of the bins of each panel, ``[len(names), B + 1]``.
        shares: Of the images of a class in each bin, ``[len(names), len(classes), B]``.
        logarithmic: For each panel, whether its axis is.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    edges: Floats
    shares: Floats
    logarithmic: tuple[bool, ...]

    CAPTION: ClassVar[str] = (
        "Each panel shows the distribution of one measure for each class. Where the curves "
        "differ, that measure alone distinguishes the classes, and a model may learn it "
        "instead of the disease."
    )

    def __post_init__(self) -> None:
        bins = self.edges.shape[1] - 1
        require_shape("shares", self.shares, (len(self.names), len(self.classes), bins))

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, Floats],
        labels: Sequence[str],
        *,
        logarithmic: Sequence[str] = (),
    ) -> Self:
        """Make the figure from columns, with 40 bins each.

        Args:
            columns: Name → one value an image.
            labels: The class of each image.
            logarithmic: Names whose bins grow by a factor.
        """
        classes = tuple(sorted(set(labels)))
        held = np.asarray(labels)
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
        return cls(
            tuple(columns),
            classes,
            np.array(edges),
            np.array(shares),
            tuple(name in logarithmic for name in columns),
        )

    def rows(self) -> Table:
        """Return one row a measure, class and bin."""
        return table_of(
            ("measure", "label", "from", "to", "share"),
            (
                (name, label, self.edges[m, b], self.edges[m, b + 1], self.shares[m, c, b])
                for m, name in enumerate(self.names)
                for c, label in enumerate(self.classes)
                for b in range(self.shares.shape[2])
            ),
        )

    def summary(self) -> str:
        """Return what is shown as a sentence."""
        names = [name or "all images" for name in self.classes]
        return f"{', '.join(self.names)}, each for {' and '.join(names)}"

    @style()
    def draw(self) -> Figure:
        """Draw a panel a measure, a stepped line a class."""
        across = min(2, len(self.names))
        figure = new_figure(NARROW_IN, 1.9 * math.ceil(len(self.names) / across) + 0.35, gap=0.06)
        grid = panels(figure, len(self.names), across=across)
        for m, name in enumerate(self.names):
            self._draw_panel(grid[m], m, name)
        if len(self.classes) > 1:
            legend(figure, grid[0].patches, columns=len(self.classes))
        return figure

    def _draw_panel(self, axes: Axes, m: int, name: str) -> None:
        for c, label in enumerate(self.classes):
            axes.stairs(
                self.shares[m, c], self.edges[m], label=label or "all images", linewidth=1.6,
                color=PALETTE[c % len(PALETTE)], linestyle=_DASHES[c % len(_DASHES)],
            )  # fmt: skip
        if self.logarithmic[m] and self.edges[m, -1] > 3 * self.edges[m, 0]:
            logarithmic_width(axes, low=self.edges[m, 0], high=self.edges[m, -1])
        axes.set_ylim(bottom=0)
        without_height_scale(axes)
        axes.set_title(name)


_CLUES = {
    "file": (VERMILLION, "s"),
    "pixels": (BLUE, "o"),
    "periphery": (GREEN, "D"),
    "together": (PURPLE, "^"),
}  # colour and mark of each kind


@dataclass(frozen=True, slots=True, eq=False)
class ClueAreas:
    """The AUC of each label shortcut.

    Attributes:
        clues: What ``shortcuts`` found, from top to bottom.
    """

    clues: tuple[Clue, ...]

    CAPTION: ClassVar[str] = (
        "Each dot shows how well the class can be predicted from this property alone, on "
        "patients not used for fitting; the line is the 95% interval. 0.5 (dotted) is chance "
        "level, 1 a perfect prediction. A reader must exceed these values to show that it "
        "looks at the lungs."
    )

    def rows(self) -> Table:
        """Return one row a clue."""
        return table_of(
            ("clue", "kind", "auc", "low", "high"),
            ((clue.name, clue.kind, *_point(clue)) for clue in self.clues),
        )

    def summary(self) -> str:
        """Return the areas as a sentence."""
        areas = ", ".join(f"{clue.name} {clue.area.value:.2f}" for clue in self.clues)
        return f"AUC of the class from {areas}"

    @style()
    def draw(self) -> Figure:
        """Draw a dot and its interval a clue."""
        figure = new_figure(NARROW_IN, 0.75 + 0.31 * len(self.clues))
        axes = figure.subplots()
        axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=":")
        for row, clue in enumerate(self.clues):
            colour, mark = _CLUES[clue.kind]
            interval(axes, row, _point(clue), colour=colour, mark=mark)
            axes.annotate(
                f"{clue.area.value:.2f}", (1.02, row), xycoords=("axes fraction", "data"),
                va="center",
            )  # fmt: skip
        name_rows(axes, [clue.name for clue in self.clues])
        axes.set_xlim(min(0.4, *(clue.area.low - 0.02 for clue in self.clues)), 1.005)
        axes.set_xlabel("AUC")
        return figure


def _point(clue: Clue) -> tuple[float, float, float]:
    return clue.area.value, clue.area.low, clue.area.high

"""Figures of a training: class counts and learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report.axes import (
    new_figure,
    note,
    panels,
    whole_numbers,
    without_height_scale,
)
from pneumoscope.report.style import BLUE, INK, MUTED, NARROW_IN, PALETTE, VERMILLION, style
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

_LETTER_IN = 0.095  # the width of a capital below a bar
_MANY = 7  # bars in a panel whose numbers would touch


@dataclass(frozen=True, slots=True, eq=False)
class ClassCounts:
    """Numbers of images by part and class.

    Attributes:
        splits: Names of the splits, in the order of the panels.
        classes: Names of the classes, in the order of the bars.
        counts: Images, ``[len(splits), len(classes)]``.
    """

    splits: tuple[str, ...]
    classes: tuple[str, ...]
    counts: Integers

    CAPTION: ClassVar[str] = (
        "Images of each class, one panel for each part of the data. Each panel has its own "
        "scale, so that small parts remain readable: compare the numbers across panels, not "
        "the heights."
    )

    def __post_init__(self) -> None:
        if not self.splits or not self.classes:
            names = (self.splits, self.classes)
            raise OptionError("splits and classes", must="one name each at least", was=names)
        require_shape("counts", self.counts, (len(self.splits), len(self.classes)))

    @classmethod
    def from_labels(cls, splits: Sequence[str], labels: Sequence[str]) -> Self:
        """Count the labels of each part from two parallel columns.

        >>> ClassCounts.from_labels(["train", "train", "test"], ["A", "B", "B"]).counts.tolist()
        [[1, 1], [0, 1]]
        """
        if len(splits) != len(labels):
            raise OptionError("labels", must=f"as long as splits ({len(splits)})", was=len(labels))
        names, kinds = tuple(dict.fromkeys(splits)), tuple(dict.fromkeys(labels))
        counts = np.zeros((len(names), len(kinds)), dtype=np.int64)
        for split, label in zip(splits, labels, strict=True):
            counts[names.index(split), kinds.index(label)] += 1
        return cls(names, kinds, counts)

    def rows(self) -> Table:
        """Return one row a split and class."""
        return table_of(
            ("split", "label", "images"),
            (
                (split, label, n)
                for split, row in zip(self.splits, self.counts, strict=True)
                for label, n in zip(self.classes, row, strict=True)
            ),
        )

    def summary(self) -> str:
        """Return the counts as a sentence."""
        return "; ".join(
            f"{split}: " + ", ".join(f"{n:,} {c}" for n, c in zip(row, self.classes, strict=True))
            for split, row in zip(self.splits, self.counts, strict=True)
        )

    @style()
    def draw(self) -> Figure:
        """Draw one panel of bars a split, with the count and the share above each bar."""
        n = len(self.splits)
        most = max(1, min(3, int(NARROW_IN / self._panel_width_in())))
        across = min(most, n)
        height = 2.7 + self._names_below_in()
        figure = new_figure(max(3.0, NARROW_IN * across / most), height * math.ceil(n / across))
        grid = panels(figure, n, across=across)
        for s, (axes, split, counts) in enumerate(zip(grid, self.splits, self.counts, strict=True)):
            title = f"({chr(97 + s)}) {split}" if n > 1 else split
            self._draw_split(axes, counts, title)
        return figure

    def _panel_width_in(self) -> float:
        """Return the panel width needed to place the class names side by side."""
        longest = max(len(word) for name in self.classes for word in [*name.split(), ""])
        return len(self.classes) * longest * _LETTER_IN

    def _names_below_in(self) -> float:
        """Return the height of the names below the axis if they stand upright, otherwise 0."""
        upright = self._panel_width_in() > NARROW_IN
        return max(map(len, self.classes)) * _LETTER_IN if upright else 0.0

    def _draw_split(self, axes: Axes, counts: Integers, title: str) -> None:
        total, places = int(counts.sum()), range(len(self.classes))
        many = len(self.classes) > _MANY
        axes.bar(places, counts, width=0.62, color=[PALETTE[c % len(PALETTE)] for c in places])
        for place, count in zip(places, counts, strict=True):
            looks: tuple[dict[str, Any], ...] = (
                {"text": f"{count:,}", "xytext": (0, 15), "weight": "bold",
                 "size": 8 if many else 10},
                {"text": f"{count / total:.0%}" if total else "", "xytext": (0, 3.5),
                 "color": MUTED, "size": 8 if many else 9},
            )  # fmt: skip
            for look in looks:
                axes.annotate(xy=(place, count), textcoords="offset points", ha="center", **look)
        axes.set_title(title, pad=20)
        note(axes, f"{total:,} {'image' if total == 1 else 'images'}", up=7)
        axes.set_ylim(0, max(1, int(counts.max(initial=0))) * 1.28)
        axes.set_xlim(-0.6, len(self.classes) - 0.4)
        axes.set_xticks(places, [name.replace(" ", "\n") for name in self.classes], size=9)
        if self._panel_width_in() > NARROW_IN:
            axes.tick_params("x", rotation=90)
        without_height_scale(axes)


@dataclass(frozen=True, slots=True, eq=False)
class LearningCurves:
    """Training and validation loss and accuracy by epoch.

    Attributes:
        epochs: Their numbers, ``[E]``, rising.
        loss: Training loss, ``[E]``; NaN where it was not measured.
        val_loss: Validation loss, ``[E]``.
        accuracy: Training accuracy in 0..1, ``[E]``.
        val_accuracy: Validation accuracy in 0..1, ``[E]``.
        best_epoch: The epoch whose weights were kept; None if there is none.
    """

    epochs: Integers
    loss: Floats
    val_loss: Floats
    accuracy: Floats
    val_accuracy: Floats
    best_epoch: int | None

    CAPTION: ClassVar[str] = (
        "The dotted line marks the epoch whose weights were kept. Falling training loss with "
        "rising validation loss is overfitting; a jagged validation curve means that the "
        "validation set is small."
    )

    def __post_init__(self) -> None:
        if self.epochs.ndim != 1 or self.epochs.size == 0:
            raise OptionError("epochs", must="[E], at least one", was=self.epochs.shape)
        for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
            require_shape(name, getattr(self, name), self.epochs.shape)
        if self.best_epoch is not None and self.best_epoch not in self.epochs:
            raise OptionError("best_epoch", must="one of the epochs, or None", was=self.best_epoch)

    @classmethod
    def from_columns(
        cls,
        epochs: Sequence[int],
        *,
        loss: Sequence[float],
        val_loss: Sequence[float],
        accuracy: Sequence[float],
        val_accuracy: Sequence[float],
        best_epoch: int | None = None,
    ) -> Self:
        """Make the figure from the columns of a training log.

        ``best_epoch`` is the one whose weights were kept; if it is not given, the (first) one of
        the lowest validation loss.

        >>> halves = [0.5, 0.5]
        >>> LearningCurves.from_columns(
        ...     [1, 2], loss=halves, val_loss=[0.4, 0.3], accuracy=halves, val_accuracy=halves
        ... ).best_epoch
        2
        """
        judged = np.asarray(val_loss, np.float64)
        require_shape("val_loss", judged, (len(epochs),))
        finite = np.isfinite(judged)
        if best_epoch is None and finite.any():
            best_epoch = int(epochs[int(np.argmin(np.where(finite, judged, np.inf)))])
        return cls(
            np.asarray(epochs, np.int64),
            np.asarray(loss, np.float64),
            judged,
            np.asarray(accuracy, np.float64),
            np.asarray(val_accuracy, np.float64),
            best_epoch,
        )

    def rows(self) -> Table:
        """Return one row an epoch; a value that was not measured is ``nan``."""
        return columns_of(
            ("epoch", "loss", "accuracy", "val_loss", "val_accuracy"),
            self.epochs, self.loss, self.accuracy, self.val_loss, self.val_accuracy,
        )  # fmt: skip

    def summary(self) -> str:
        """Return the last and the best epoch as a sentence."""
        best = "no best epoch" if self.best_epoch is None else f"the best is {self.best_epoch}"
        return (
            f"Loss and accuracy over {self.epochs.size} epochs, {best}; at the end "
            f"validation loss {self.val_loss[-1]:.3f}, validation accuracy "
            f"{self.val_accuracy[-1]:.3f}"
        )

    @style()
    def draw(self) -> Figure:
        """Draw loss above accuracy over the same epochs, the best one marked in both."""
        figure = new_figure(NARROW_IN, 4.7, gap=0.08)
        upper, lower = figure.subplots(2, 1, sharex=True)
        self._draw_panel(upper, "Loss", self.loss, self.val_loss)
        self._draw_panel(lower, "Accuracy", self.accuracy, self.val_accuracy)
        lower.set_xlabel("Epoch")
        whole_numbers(lower, min_n_ticks=1)
        first, last = int(self.epochs[0]), int(self.epochs[-1])
        margin = 0.02 * (last - first) or 0.5
        lower.set_xlim(first - margin, last + margin)
        return figure

    def _draw_panel(self, axes: Axes, title: str, training: Floats, validation: Floats) -> None:
        axes.set_title(title)
        axes.grid(axis="y")
        axes.margins(y=0.08)
        marker = "o" if self.epochs.size <= 30 else ""  # a lone point between two gaps still shows
        ends: list[tuple[float, str, str]] = []
        for name, measured, colour, dashes in (
            ("training", training, BLUE, "--"),
            ("validation", validation, VERMILLION, "-"),
        ):
            values = np.where(np.isfinite(measured), measured, np.nan)
            axes.plot(self.epochs, values, dashes, color=colour, marker=marker)
            ends += [(float(last), name, colour) for last in values[np.isfinite(values)][-1:]]
        if not ends:
            axes.set_yticks([])
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=MUTED)
        self._name_lines(axes, ends)
        if self.best_epoch is None:
            return
        axes.axvline(self.best_epoch, color=MUTED, linewidth=1, linestyle=":", zorder=1)
        at_best = float(validation[np.flatnonzero(self.epochs == self.best_epoch)[0]])
        value = f"validation {at_best:.3f}" if math.isfinite(at_best) else "not measured"
        text = f"epoch {self.best_epoch}: {value}"
        axes.set_title(text, loc="right", color=MUTED, weight="normal", size=9.5)
        axes.plot(self.best_epoch, at_best, "o", ms=9, mfc="none", mec=INK, mew=1.2)

    @staticmethod
    def _name_lines(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
        """Write the name of each line at its end, without overlap."""
        low, high = axes.get_ylim()
        heights = _apart([(value - low) / (high - low) for value, _, _ in ends], gap=0.13)
        for height, (_, name, colour) in zip(heights, ends, strict=True):
            axes.annotate(
                name, (1, height), xytext=(6, 0), xycoords="axes fraction", va="center",
                textcoords="offset points", color=colour, weight="bold",
            )  # fmt: skip
        axes.set_ylim(low, high)


def _apart(heights: list[float], *, gap: float) -> list[float]:
    """Separate two labels symmetrically until they no longer overlap."""
    if len(heights) < 2 or abs(heights[0] - heights[1]) >= gap:
        return heights
    middle = sum(heights) / 2
    up, down = middle + gap / 2, middle - gap / 2
    return [up, down] if heights[0] >= heights[1] else [down, up]

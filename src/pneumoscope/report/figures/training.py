"""What a reader learned from, and how it went: class counts, augmentation, learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report._shared import (
    Floats,
    Integers,
    Pixels,
    Table,
    as_jpeg,
    new_figure,
    number,
    require_shape,
)
from pneumoscope.report.axes import panels, show_grey, without_height_scale
from pneumoscope.report.page import Picture
from pneumoscope.report.style import (
    BLUE,
    INK,
    MUTED,
    NARROW_IN,
    PALETTE,
    VERMILLION,
    WIDE_IN,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LETTER_IN = 0.095  # the width of a capital below a bar


@dataclass(frozen=True, slots=True, eq=False)
class ClassCounts:
    """How many images of each class each split holds.

    Attributes:
        splits: Names of the splits, in the order of the panels.
        classes: Names of the classes, in the order of the bars.
        counts: Images, ``[len(splits), len(classes)]``.
    """

    splits: tuple[str, ...]
    classes: tuple[str, ...]
    counts: Integers

    CAPTION: ClassVar[str] = (
        "Images of each class, one panel a part of the data. Each panel has its own scale, so that "
        "a small part can be read beside a large one: compare the numbers across panels, not the "
        "heights."
    )

    def __post_init__(self) -> None:
        if not self.splits or not self.classes:
            names = (self.splits, self.classes)
            raise OptionError("splits and classes", must="one name each at least", was=names)
        require_shape("counts", self.counts, (len(self.splits), len(self.classes)))

    @classmethod
    def from_labels(cls, splits: Sequence[str], labels: Sequence[str]) -> Self:
        """Count two parallel columns, the split and the label of each image.

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
        body = tuple(
            (split, label, str(int(self.counts[s, c])))
            for s, split in enumerate(self.splits)
            for c, label in enumerate(self.classes)
        )
        return ("split", "label", "images"), body

    def summary(self) -> str:
        """Return the counts as a sentence."""
        return "; ".join(
            f"{split}: "
            + ", ".join(f"{n:,} {c}" for n, c in zip(self.counts[s], self.classes, strict=True))
            for s, split in enumerate(self.splits)
        )

    def draw(self) -> Figure:
        """Draw one panel of bars a split, with the count and the share above each bar."""
        with style():
            most = max(1, min(3, int(NARROW_IN / self._panel_width_in())))
            across = min(most, len(self.splits))
            down = math.ceil(len(self.splits) / across)
            width = max(3.0, NARROW_IN * across / most)
            figure = new_figure(width, 2.7 * down)
            grid = panels(figure, len(self.splits), across=across)
            for s, split in enumerate(self.splits):
                letter = f"({chr(97 + s)}) " if len(self.splits) > 1 else ""
                self._draw_split(grid[s], s, title=f"{letter}{split}")
            return figure

    def _panel_width_in(self) -> float:
        """Return how wide a panel must be for the names below its bars to stand side by side."""
        longest = max(len(word) for name in self.classes for word in [*name.split(), ""])
        return len(self.classes) * longest * _LETTER_IN

    def _draw_split(self, axes: Axes, s: int, *, title: str) -> None:
        counts = self.counts[s]
        total, positions = int(counts.sum()), np.arange(len(self.classes))
        colours = [PALETTE[c % len(PALETTE)] for c in positions]
        axes.bar(positions, counts, width=0.62, color=colours)
        for position, count in zip(positions, counts, strict=True):
            share = f"{count / total:.0%}" if total else ""
            top = (float(position), float(count))
            axes.annotate(
                f"{count:,}", top, xytext=(0, 15), textcoords="offset points", ha="center",
                weight="bold",
            )  # fmt: skip
            axes.annotate(
                share, top, xytext=(0, 3.5), textcoords="offset points", ha="center",
                color=MUTED, size=9,
            )  # fmt: skip
        axes.set_title(title, pad=20)
        images = "image" if total == 1 else "images"
        axes.annotate(
            f"{total:,} {images}", (0, 1), xytext=(0, 7), xycoords="axes fraction",
            textcoords="offset points", color=MUTED, size=9.5,
        )  # fmt: skip
        axes.set_ylim(0, max(1, int(counts.max(initial=0))) * 1.28)
        axes.set_xlim(-0.6, len(self.classes) - 0.4)
        axes.set_xticks(positions, [name.replace(" ", "\n") for name in self.classes])
        axes.tick_params(length=0, labelsize=9)
        if self._panel_width_in() > NARROW_IN:
            axes.tick_params("x", rotation=90)
        without_height_scale(axes)


@dataclass(frozen=True, slots=True, eq=False)
class AugmentationSheet:
    """Images as they are, and as training shows them to the network.

    Attributes:
        originals: ``uint8 [N, H, W]``.
        augmented: ``uint8 [N, K, H, W]``, K versions of each.
        labels: The class of each original, ``N`` of them.
    """

    originals: Pixels
    augmented: Pixels
    labels: tuple[str, ...]

    CAPTION: ClassVar[str] = (
        "Each row shows one training image as it is (left) and as augmentation hands it to the "
        "network. The finding must stay visible in every version: where a radiologist could no "
        "longer tell, the augmentation is too strong."
    )

    def __post_init__(self) -> None:
        if self.originals.ndim != 3 or self.originals.shape[0] == 0:
            raise OptionError("originals", must="uint8 [N, H, W], N > 0", was=self.originals.shape)
        n, height, width = self.originals.shape
        versions = self.augmented.shape[1] if self.augmented.ndim == 4 else 0
        require_shape("augmented", self.augmented, (n, max(1, versions), height, width))
        if len(self.labels) != n:
            raise OptionError("labels", must=f"{n} labels, one an original", was=self.labels)

    def rows(self) -> Table:
        """Return how far each version is from its original, in grey levels of 255."""
        change = np.abs(self.augmented.astype(np.int16) - self.originals[:, None]).mean(axis=(2, 3))
        body = tuple(
            (str(i + 1), label, str(k + 1), f"{change[i, k]:.2f}")
            for i, label in enumerate(self.labels)
            for k in range(change.shape[1])
        )
        return ("image", "label", "version", "mean_absolute_change"), body

    def summary(self) -> str:
        """Return what the sheet shows, as a sentence."""
        n, versions = self.augmented.shape[:2]
        return f"{n} training images, each beside {versions} augmented versions of itself"

    @property
    def columns(self) -> int:
        """Pictures in a row: the original and its versions."""
        return 1 + int(self.augmented.shape[1])

    def pictures_of_page(self) -> tuple[Picture, ...]:
        """Return each original and its versions for a page."""
        return tuple(
            Picture((as_jpeg(picture),), label if place == 0 else "", note)
            for original, versions, label in zip(
                self.originals, self.augmented, self.labels, strict=True
            )
            for place, (picture, note) in enumerate(
                [(original, "original"), *((version, "augmented") for version in versions)]
            )
        )

    def draw(self) -> Figure:
        """Draw a row an image: the original, a gap, its versions."""
        n, versions, height, width = self.augmented.shape
        with style():
            across = min(WIDE_IN, 1.5 * (versions + 1) + 0.2)
            cell = across / (versions + 1.12)
            tall = n * (cell * height / width + 0.28) + 0.05
            figure = new_figure(across, tall, gap=0.015, margin_in=0.02)
            grid = figure.subplots(
                n, versions + 2, squeeze=False, width_ratios=[1, 0.12, *([1.0] * versions)]
            )
            for i, label in enumerate(self.labels):
                for axes in grid[i]:
                    axes.set_axis_off()
                for axes, image in zip(grid[i][2:], self.augmented[i], strict=True):
                    show_grey(axes, image)
                show_grey(grid[i][0], self.originals[i])
                grid[i][0].set_title(label, pad=4)
            grid[0][2].set_title("augmented", pad=4, color=MUTED, weight="normal")
            return figure


@dataclass(frozen=True, slots=True, eq=False)
class LearningCurves:
    """Loss and accuracy over the epochs, in training and in validation.

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
        "The dotted line marks the epoch whose weights were kept. Training that goes on falling "
        "while validation rises is overfitting; a validation curve like a saw means that the "
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
        """Take the columns of a training log.

        ``best_epoch`` is the one whose weights were kept; if it is not given, the (first) one of
        the lowest validation loss.

        >>> halves = [0.5, 0.5]
        >>> LearningCurves.from_columns(
        ...     [1, 2], loss=halves, val_loss=[0.4, 0.3], accuracy=halves, val_accuracy=halves
        ... ).best_epoch
        2
        """
        judged = np.asarray(val_loss, dtype=np.float64)
        require_shape("val_loss", judged, (len(epochs),))
        finite = np.isfinite(judged)
        if best_epoch is None and finite.any():
            best_epoch = int(epochs[int(np.argmin(np.where(finite, judged, np.inf)))])
        return cls(
            np.asarray(epochs, dtype=np.int64),
            np.asarray(loss, dtype=np.float64),
            judged,
            np.asarray(accuracy, dtype=np.float64),
            np.asarray(val_accuracy, dtype=np.float64),
            best_epoch,
        )

    def rows(self) -> Table:
        """Return one row an epoch; a value that was not measured is ``nan``."""
        columns = (self.loss, self.accuracy, self.val_loss, self.val_accuracy)
        body = tuple(
            (str(int(epoch)), *(number(column[e]) for column in columns))
            for e, epoch in enumerate(self.epochs)
        )
        return ("epoch", "loss", "accuracy", "val_loss", "val_accuracy"), body

    def summary(self) -> str:
        """Return the last and the best epoch as a sentence."""
        best = "no best epoch" if self.best_epoch is None else f"the best is {self.best_epoch}"
        return (
            f"Loss and accuracy over {self.epochs.size} epochs, {best}; at the end "
            f"validation loss {self.val_loss[-1]:.3f}, validation accuracy "
            f"{self.val_accuracy[-1]:.3f}"
        )

    def draw(self) -> Figure:
        """Draw loss above accuracy over the same epochs, the best one marked in both."""
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - matplotlib is loaded to draw

        with style():
            figure = new_figure(NARROW_IN, 4.7, gap=0.08)
            upper, lower = figure.subplots(2, 1, sharex=True)
            self._draw_panel(upper, "Loss", self.loss, self.val_loss)
            self._draw_panel(lower, "Accuracy", self.accuracy, self.val_accuracy)
            lower.set_xlabel("Epoch")
            lower.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            first, last = int(self.epochs[0]), int(self.epochs[-1])
            margin = max(0.5, 0.02 * (last - first)) if first == last else 0.02 * (last - first)
            lower.set_xlim(first - margin, last + margin)
            return figure

    def _draw_panel(self, axes: Axes, title: str, training: Floats, validation: Floats) -> None:
        axes.set_title(title)
        axes.grid(axis="y")
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
        axes.margins(y=0.08)
        lines = (("training", training, BLUE, "--"), ("validation", validation, VERMILLION, "-"))
        marker = "o" if self.epochs.size <= 30 else ""  # a lone point between two gaps still shows
        ends: list[tuple[float, str, str]] = []
        for name, measured, colour, dashes in lines:
            finite = np.isfinite(measured)
            values = np.where(finite, measured, np.nan)
            axes.plot(self.epochs, values, dashes, color=colour, marker=marker)
            if finite.any():
                ends.append((float(values[finite][-1]), name, colour))
        if not ends:
            axes.set_yticks([])
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=MUTED)
        low, high = axes.get_ylim()
        heights = _apart([(value - low) / (high - low) for value, _, _ in ends], gap=0.13)
        for height, (_, name, colour) in zip(heights, ends, strict=True):
            axes.annotate(
                name, (1, height), xytext=(6, 0), xycoords="axes fraction", va="center",
                textcoords="offset points", color=colour, weight="bold",
            )  # fmt: skip
        axes.set_ylim(low, high)
        if self.best_epoch is None:
            return
        axes.axvline(self.best_epoch, color=MUTED, linewidth=1, linestyle=":", zorder=1)
        at_best = float(validation[np.flatnonzero(self.epochs == self.best_epoch)[0]])
        value = f"validation {at_best:.3f}" if math.isfinite(at_best) else "not measured"
        note = f"epoch {self.best_epoch}: {value}"
        axes.set_title(note, loc="right", color=MUTED, weight="normal", size=9.5)
        axes.plot(self.best_epoch, at_best, "o", ms=9, mfc="none", mec=INK, mew=1.2)


def _apart(heights: list[float], *, gap: float) -> list[float]:
    """Move two labels apart, around their middle, until they do not touch."""
    if len(heights) < 2 or abs(heights[0] - heights[1]) >= gap:
        return heights
    middle = sum(heights) / 2
    up, down = middle + gap / 2, middle - gap / 2
    return [up, down] if heights[0] >= heights[1] else [down, up]

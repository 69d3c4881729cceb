"""Figures of a training: class counts and learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report import plotting
from pneumoscope.report.figures.drawing import Drawing
from pneumoscope.report.style import BLUE, INK, MUTED, NARROW_IN, PALETTE, VERMILLION
from pneumoscope.report.tables import Floats, Integers, require_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LETTER_IN = 0.095  # the width of a capital below a bar
_MANY = 7  # bars in a panel whose numbers would touch


def class_counts(splits: Sequence[str], classes: Sequence[str], counts: Integers) -> Drawing:
    """Return numbers of images by part and class.

    Args:
        splits: Names of the splits, in the order of the panels.
        classes: Names of the classes, in the order of the bars.
        counts: Images, ``[len(splits), len(classes)]``.
    """
    if not splits or not classes:
        names = (splits, classes)
        raise OptionError("splits and classes", must="at least one name each", was=names)
    require_shape("counts", counts, (len(splits), len(classes)))
    rows = [(splits[s], classes[c], counts[s, c]) for s, c in np.ndindex(counts.shape)]
    return Drawing(
        "class_counts",
        rows,
        lambda: _plot_counts(splits, classes, counts),
        {"splits": splits, "classes": classes, "counts": counts},
    )


def class_counts_of(splits: Sequence[str], labels: Sequence[str]) -> Drawing:
    """Return the numbers of two parallel columns: the part and the label of each image."""
    if len(splits) != len(labels):
        raise OptionError("labels", must=f"as long as splits ({len(splits)})", was=len(labels))
    names, kinds = tuple(dict.fromkeys(splits)), tuple(dict.fromkeys(labels))
    counts = np.zeros((len(names), len(kinds)), dtype=np.int64)
    for split, label in zip(splits, labels, strict=True):
        counts[names.index(split), kinds.index(label)] += 1
    return class_counts(names, kinds, counts)


def _plot_counts(splits: Sequence[str], classes: Sequence[str], counts: Integers) -> Figure:
    """Draw one panel of bars per split, with the count and the share above each bar."""
    longest = max(len(word) for name in classes for word in [*name.split(), ""])
    panel_in = len(classes) * longest * _LETTER_IN  # with the names side by side
    upright = panel_in > NARROW_IN
    most = max(1, min(3, int(NARROW_IN / panel_in)))
    n, across = len(splits), min(most, len(splits))
    height = 2.7 + (max(map(len, classes)) * _LETTER_IN if upright else 0.0)
    figure = plotting.new_figure(
        max(3.0, NARROW_IN * across / most), height * math.ceil(n / across)
    )
    grid = plotting.panels(figure, n, across=across)
    for s, (axes, split, own) in enumerate(zip(grid, splits, counts, strict=True)):
        _plot_split(axes, classes, own, title=f"({chr(97 + s)}) {split}" if n > 1 else split)
        if upright:
            axes.tick_params("x", rotation=90)
    return figure


def _plot_split(axes: Axes, classes: Sequence[str], counts: Integers, *, title: str) -> None:
    total, places, many = int(counts.sum()), range(len(classes)), len(classes) > _MANY
    axes.bar(places, counts, width=0.62, color=[PALETTE[c % len(PALETTE)] for c in places])
    for place, count in zip(places, counts, strict=True):
        share = f"{count / total:.0%}" if total else ""
        at = (place, count)
        plotting.write(
            axes, f"{count:,}", at, (0, 15), ha="center", weight="bold", size=8 if many else 10
        )
        plotting.write(axes, share, at, (0, 3.5), ha="center", color=MUTED, size=8 if many else 9)
    axes.set_title(title, pad=20)
    plotting.note(axes, f"{total:,} {'image' if total == 1 else 'images'}", up=7)
    most = max(1, int(counts.max(initial=0)))
    axes.set(xlim=(-0.6, len(classes) - 0.4), ylim=(0, most * 1.28))
    axes.set_xticks(places, [name.replace(" ", "\n") for name in classes], size=9)
    plotting.without_height_scale(axes)


def learning_curves(
    epochs: Sequence[int],
    *,
    loss: Sequence[float],
    val_loss: Sequence[float],
    accuracy: Sequence[float],
    val_accuracy: Sequence[float],
    best_epoch: int | None = None,
) -> Drawing:
    """Return training and validation loss and accuracy by epoch.

    Args:
        epochs: Their numbers, rising, ``[E]``.
        loss: Training loss, ``[E]``; NaN where it was not measured.
        val_loss: Validation loss, ``[E]``.
        accuracy: Training accuracy in 0..1, ``[E]``.
        val_accuracy: Validation accuracy in 0..1, ``[E]``.
        best_epoch: The epoch whose weights were kept; if None, the (first) one of the lowest
            validation loss.
    """
    x = np.asarray(epochs, np.int64)
    if x.ndim != 1 or x.size == 0:
        raise OptionError("epochs", must="[E], at least one", was=x.shape)
    named = {"loss": loss, "accuracy": accuracy, "val_loss": val_loss, "val_accuracy": val_accuracy}
    columns = {name: np.asarray(values, np.float64) for name, values in named.items()}
    for name, column in columns.items():
        require_shape(name, column, x.shape)
    judged = columns["val_loss"]
    if best_epoch is None and np.isfinite(judged).any():
        best_epoch = int(x[int(np.argmin(np.where(np.isfinite(judged), judged, np.inf)))])
    if best_epoch is not None and best_epoch not in x:
        raise OptionError("best_epoch", must="one of the epochs, or None", was=best_epoch)
    at_end = {"loss": judged[-1], "accuracy": columns["val_accuracy"][-1]}
    return Drawing(
        "learning_curves",
        list(zip(x, *columns.values(), strict=True)),
        lambda: _plot_learning(x, columns, best_epoch),
        {"epochs": x.size, "best": best_epoch, **at_end},
    )


def _plot_learning(epochs: Integers, columns: Mapping[str, Floats], best: int | None) -> Figure:
    """Draw loss above accuracy over the same epochs, the best one marked in both."""
    figure = plotting.new_figure(NARROW_IN, 4.7, gap=0.08)
    grid = figure.subplots(2, 1, sharex=True)
    for axes, name in zip(grid, ("loss", "accuracy"), strict=True):
        axes.set_title(name.capitalize())
        _plot_pair(axes, epochs, columns[name], columns[f"val_{name}"])
        if best is not None:
            at_best = float(columns[f"val_{name}"][np.flatnonzero(epochs == best)[0]])
            _plot_best(axes, best, at_best)
    lower = grid[1]
    lower.set_xlabel("Epoch")
    plotting.whole_numbers(lower, min_n_ticks=1)
    first, last = int(epochs[0]), int(epochs[-1])
    margin = 0.02 * (last - first) or 0.5
    lower.set_xlim(first - margin, last + margin)
    return figure


def _plot_pair(axes: Axes, epochs: Integers, training: Floats, validation: Floats) -> None:
    """Draw two lines, and write the name of each at its end, without overlap."""
    axes.grid(axis="y")
    axes.margins(y=0.08)
    marker = "o" if epochs.size <= 30 else ""  # a lone point between two gaps still shows
    ends: list[tuple[float, str, str]] = []
    for name, measured, colour, dashes in (
        ("training", training, BLUE, "--"),
        ("validation", validation, VERMILLION, "-"),
    ):
        values = np.where(np.isfinite(measured), measured, np.nan)
        axes.plot(epochs, values, dashes, color=colour, marker=marker)
        ends += [(float(last), name, colour) for last in values[np.isfinite(values)][-1:]]
    if not ends:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=MUTED)
    low, high = axes.get_ylim()
    heights = _apart([(value - low) / (high - low) for value, _, _ in ends], gap=0.13)
    for height, (_, name, colour) in zip(heights, ends, strict=True):
        look = {"xycoords": "axes fraction", "va": "center", "color": colour, "weight": "bold"}
        plotting.write(axes, name, (1, height), (6, 0), **look)
    axes.set_ylim(low, high)


def _plot_best(axes: Axes, epoch: int, value: float) -> None:
    axes.axvline(epoch, color=MUTED, linewidth=1, linestyle=":", zorder=1)
    said = f"validation {value:.3f}" if math.isfinite(value) else "not measured"
    axes.set_title(f"epoch {epoch}: {said}", loc="right", color=MUTED, weight="normal", size=9.5)
    axes.plot(epoch, value, "o", ms=9, mfc="none", mec=INK, mew=1.2)


def _apart(heights: list[float], *, gap: float) -> list[float]:
    """Separate two labels symmetrically until they no longer overlap."""
    if len(heights) < 2 or abs(heights[0] - heights[1]) >= gap:
        return heights
    middle = sum(heights) / 2
    up, down = middle + gap / 2, middle - gap / 2
    return [up, down] if heights[0] >= heights[1] else [down, up]

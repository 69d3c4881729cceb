"""Figures of a study: differences, learning curves, validation spread and search results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report.axes import Point, label_axes, name_rows, new_figure, whole_numbers
from pneumoscope.report.axes import interval as draw_interval
from pneumoscope.report.style import (
    BLUE,
    INK,
    MUTED,
    NARROW_IN,
    PALETTE,
    RULE,
    VERMILLION,
    WIDE_IN,
    style,
)
from pneumoscope.report.tables import Table, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLES = ("-", "--", ":", "-.")


@dataclass(frozen=True, slots=True, eq=False)
class StudyForest:
    """Differences in AUC from the base by level, grouped by question.

    Attributes:
        questions: Of each row.
        names: The level of each row.
        points: Of each row the difference and the ends of its interval; NaN where there is none.
        seeds: Of each row the difference of each seed.
        apart: Whether each differs beyond chance, after Holm's correction.
    """

    questions: tuple[str, ...]
    names: tuple[str, ...]
    points: tuple[Point, ...]
    seeds: tuple[Sequence[float], ...]
    apart: tuple[bool, ...]

    CAPTION: ClassVar[str] = (
        "AUC on the held-out patients minus that of the base, with {level} intervals over "
        "patients and seeds; small marks are seeds. If an interval includes zero, no "
        "difference is shown; this does not prove equality. Squares mark significant "
        "differences, Holm-corrected for the levels of their question."
    )

    def __post_init__(self) -> None:
        lengths = {len(self.questions), len(self.names), len(self.points), len(self.apart)}
        if lengths != {len(self.names)} or not self.names:
            raise OptionError("points", must="one row per level, at least one", was=sorted(lengths))

    def rows(self) -> Table:
        """Return one row a level."""
        body = tuple(
            (question, name, *(number(value) for value in point),
             " ".join(number(value) for value in seeds), "yes" if apart else "no")
            for question, name, point, seeds, apart in zip(
                self.questions, self.names, self.points, self.seeds, self.apart, strict=True
            )
        )  # fmt: skip
        return ("question", "level", "difference", "low", "high", "seeds", "apart"), body

    def summary(self) -> str:
        """Return which levels differ, as a sentence."""
        found = [
            f"{name} {point[0]:+.3f}"
            for name, point, apart in zip(self.names, self.points, self.apart, strict=True)
            if apart
        ]
        return f"Significantly different: {', '.join(found) or 'none'}, of {len(self.names)} levels"

    @style()
    def draw(self) -> Figure:
        """Draw a row a level around zero."""
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - matplotlib is loaded to draw

        ends = [abs(v) for point in self.points for v in point if math.isfinite(v)]
        lines = len(self.names) + len(set(self.questions))
        figure = new_figure(WIDE_IN, 0.25 * lines + 0.8)
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        names: list[str] = []
        bold: list[int] = []
        for k, question in enumerate(self.questions):
            if k == 0 or question != self.questions[k - 1]:
                bold.append(len(names))
                names.append(question)
            apart, y = self.apart[k], len(names)
            axes.plot(list(self.seeds[k]), [y] * len(self.seeds[k]), "|", ms=8, color=MUTED)
            colour, mark = (VERMILLION, "s") if apart else (BLUE, "o")
            draw_interval(axes, y, self.points[k], colour=colour, mark=mark)
            names.append(self.names[k])
        name_rows(axes, names, bold=bold)
        reach = max([0.01, *ends]) * 1.08
        axes.set_xlim(-reach, reach)
        axes.xaxis.set_major_locator(MaxNLocator(7))
        axes.set_xlabel("base is better  ←  difference in AUC  →  level is better")
        return figure


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Validation loss by epoch of the runs of a question, coloured by level.

    Attributes:
        names: The levels.
        losses: Of each level and seed the validation loss of each epoch.
    """

    names: tuple[str, ...]
    losses: tuple[Sequence[Sequence[float]], ...]

    CAPTION: ClassVar[str] = (
        "Validation loss after each epoch, one line per run, with one style per level. A line "
        "ends where its training ended."
    )

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.losses):
            raise OptionError(
                "losses", must="one row per level, at least one", was=len(self.losses)
            )

    def rows(self) -> Table:
        """Return one row a level, run and epoch."""
        body = tuple(
            (name, str(run), str(epoch), number(loss))
            for name, runs in zip(self.names, self.losses, strict=True)
            for run, losses in enumerate(runs)
            for epoch, loss in enumerate(losses, 1)
        )
        return ("level", "run", "epoch", "val_loss"), body

    def summary(self) -> str:
        """Return the lowest loss of each level as a sentence."""
        lowest = [
            f"{name} {min(map(min, runs)):.3f}"
            for name, runs in zip(self.names, self.losses, strict=True)
            if runs
        ]
        return f"Lowest validation loss: {', '.join(lowest)}"

    @style()
    def draw(self) -> Figure:
        """Draw a line a run."""
        figure = new_figure(NARROW_IN, 3.3)
        axes = figure.subplots()
        for k, (name, runs) in enumerate(zip(self.names, self.losses, strict=True)):
            for run, losses in enumerate(runs):
                axes.plot(
                    range(1, len(losses) + 1), losses, color=PALETTE[k % len(PALETTE)],
                    linestyle=_STYLES[k // len(PALETTE) % len(_STYLES)], linewidth=1.4,
                    label=name if run == 0 else None, marker="o", ms=2.5,
                )  # fmt: skip
        every = [loss for runs in self.losses for losses in runs for loss in losses]
        if every:
            top = float(np.quantile(every, 0.97)) * 1.15
            axes.set_ylim(max(0.0, min(every) * 0.9), top)
        whole_numbers(axes, nbins=8, min_n_ticks=1)
        label_axes(axes, x="Epoch", y="Validation loss")
        axes.legend(frameon=False, fontsize=8.5, loc="upper right")
        return figure


@dataclass(frozen=True, slots=True, eq=False)
class ValidationSpread:
    """Results on validation images against results on held-out patients.

    Attributes:
        names: How the validation images were chosen.
        images: How many there are of each.
        claimed: Of each, the validation accuracy of every epoch of its runs.
        kept: Of each, the validation accuracy of the epoch that each run kept.
        held_out: Of each, the held-out accuracy of each run.
    """

    names: tuple[str, ...]
    images: tuple[int, ...]
    claimed: tuple[Sequence[float], ...]
    kept: tuple[Sequence[float], ...]
    held_out: tuple[Sequence[float], ...]

    CAPTION: ClassVar[str] = (
        "Small dots: accuracy on the validation images after each epoch of all runs. Rings: "
        "after the epoch that each run kept. Squares: accuracy of the same runs on the "
        "held-out patients. Widely scattered dots, and rings far from the squares, mean that "
        "these validation images are not informative."
    )

    def __post_init__(self) -> None:
        if not self.names or len({len(getattr(self, n)) for n in self.__slots__}) != 1:
            raise OptionError("names", must="as many as there are rows", was=len(self.names))

    def rows(self) -> Table:
        """Return one row a value."""
        body = []
        for k, name in enumerate(self.names):
            for what in ("claimed", "kept", "held_out"):
                values = getattr(self, what)[k]
                body += [(name, str(self.images[k]), what, number(value)) for value in values]
        return ("validation", "images", "what", "accuracy"), tuple(body)

    def summary(self) -> str:
        """Return the spreads as a sentence."""
        found = [
            f"{name} ({n} images): from {min(claimed):.1%} to {max(claimed):.1%} from epoch to "
            f"epoch, held out {min(held):.1%} to {max(held):.1%}"
            for name, n, claimed, held in zip(
                self.names, self.images, self.claimed, self.held_out, strict=True
            )
            if claimed and held
        ]
        return "; ".join(found)

    @style()
    def draw(self) -> Figure:
        """Draw a column a way of choosing."""
        generator = np.random.default_rng(0)  # of where dots stand, so that they can be told apart
        figure = new_figure(NARROW_IN, 3.6)
        axes = figure.subplots()
        for k, (claimed, kept, held) in enumerate(
            zip(self.claimed, self.kept, self.held_out, strict=True)
        ):
            place = k - 0.15 + generator.uniform(-0.1, 0.1, len(claimed))
            axes.plot(place, claimed, "o", ms=3, color=MUTED, alpha=0.6, linewidth=0)
            axes.plot([k + 0.1] * len(kept), kept, "o", ms=9, mfc="none", color=BLUE)
            axes.plot([k + 0.25] * len(held), held, "s", ms=6, color=VERMILLION)
        ticks = [f"{name}\n{n:,} images" for name, n in zip(self.names, self.images, strict=True)]
        axes.set_xticks(range(len(self.names)), ticks)
        axes.set_xlim(-0.6, len(self.names) - 0.4)
        axes.yaxis.set_major_formatter("{x:.0%}")
        label_axes(axes, y="Accuracy")
        return figure


@dataclass(frozen=True, slots=True, eq=False)
class ParallelCoordinates:
    """The settings and results of the trials of a search, one line per trial.

    Attributes:
        names: The axes.
        ticks: Of each axis the values that it shows, with their heights in [0, 1].
        heights: Of each trial its height in [0, 1] on each axis; NaN where it has no value.
        values: Of each trial what it chose, as text.
        reached: Of each trial what it reached; NaN for one that was ended early.
        number: What that is.
        best: The number of the best trial.
    """

    names: tuple[str, ...]
    ticks: tuple[tuple[tuple[float, str], ...], ...]
    heights: tuple[tuple[float, ...], ...]
    values: tuple[tuple[str, ...], ...]
    reached: tuple[float, ...]
    number: str
    best: int

    CAPTION: ClassVar[str] = (
        "One line per trial, from its settings on each axis to its result on the last; the "
        "thick line is the best trial. Pale lines were stopped early."
    )

    def rows(self) -> Table:
        """Return one row a trial."""
        body = tuple(
            (str(k), *own, number(value))
            for k, (own, value) in enumerate(zip(self.values, self.reached, strict=True))
        )
        return ("trial", *self.names, self.number), body

    def summary(self) -> str:
        """Return the best trial as a sentence."""
        chosen = zip(self.names, self.values[self.best], strict=True)
        said = ", ".join(f"{name} {value}" for name, value in chosen)
        return f"The best of {len(self.values)} trials: {said}"

    @style()
    def draw(self) -> Figure:
        """Draw a line a trial over all axes."""
        known = [value for value in self.reached if math.isfinite(value)]
        low, high = min(known, default=0.0), max(known, default=1.0)
        span = high - low or 1.0
        columns = range(len(self.names) + 1)
        figure = new_figure(WIDE_IN, 3.4)
        axes = figure.subplots()
        for k, (own, value) in enumerate(zip(self.heights, self.reached, strict=True)):
            whole = math.isfinite(value)
            path = [*own, (value - low) / span if whole else math.nan]
            best = k == self.best
            axes.plot(
                columns, path, color=VERMILLION if best else BLUE if whole else RULE,
                linewidth=2.6 if best else 1.1, alpha=1 if best or not whole else 0.55,
                zorder=3 if best else 2 if whole else 1,
            )  # fmt: skip
        ends = ((0.0, f"{low:.4f}"), (1.0, f"{high:.4f}"))
        for x, ticks in zip(columns, (*self.ticks, ends), strict=True):
            axes.axvline(x, color=INK, linewidth=0.8, zorder=0)
            for height, text in ticks:
                axes.annotate(
                    text, (x, height), xytext=(4, 0), textcoords="offset points", size=8,
                    color=MUTED, va="center", annotation_clip=False,
                )  # fmt: skip
        axes.set_xticks(list(columns), [*self.names, self.number])
        axes.set_yticks([])
        axes.set_xlim(-0.15, len(self.names) + 0.45)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, pad=8)
        return figure


@dataclass(frozen=True, slots=True, eq=False)
class Importance:
    """The importance of each field of a search.

    Attributes:
        names: The fields.
        shares: Of each its share, adding up to 1.
    """

    names: tuple[str, ...]
    shares: tuple[float, ...]

    CAPTION: ClassVar[str] = (
        "The importance of each field for good trials, by PED-ANOVA (Watanabe and others, "
        "IJCAI 2023). With few trials it is only a hint."
    )

    def rows(self) -> Table:
        """Return one row a field."""
        pairs = zip(self.names, self.shares, strict=True)
        return ("field", "importance"), tuple((name, number(share)) for name, share in pairs)

    def summary(self) -> str:
        """Return the shares as a sentence."""
        pairs = zip(self.names, self.shares, strict=True)
        return ", ".join(f"{name} {share:.0%}" for name, share in pairs)

    @style()
    def draw(self) -> Figure:
        """Draw a bar a field."""
        figure = new_figure(NARROW_IN, 0.34 * len(self.names) + 0.6)
        axes = figure.subplots()
        axes.barh(range(len(self.names)), self.shares, height=0.6, color=BLUE)
        for y, share in enumerate(self.shares):
            axes.annotate(
                f"{share:.0%}", (share, y), xytext=(4, 0), textcoords="offset points",
                va="center", size=9, color=INK,
            )  # fmt: skip
        axes.set_yticks(range(len(self.names)), list(self.names))
        axes.set_ylim(len(self.names) - 0.5, -0.5)
        axes.set_xlim(0, max([0.01, *self.shares]) * 1.15)
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.tick_params(length=0, pad=5)
        axes.grid(axis="x")
        return figure

"""Where a reader is better or worse: groups of images, and images made worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report._shared import Table, new_figure, number
from pneumoscope.report.axes import panels
from pneumoscope.report.style import BLUE, INK, MUTED, NARROW_IN, RULE, VERMILLION, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.estimate import Estimate
    from pneumoscope.evaluation.robustness import Corrupted
    from pneumoscope.evaluation.subgroups import Group

Point = tuple[float, float, float]
"""A value and the ends of its interval; NaN where there is none."""

_NUMBERS = (("auc", "AUC"), ("sensitivity", "Sensitivity"), ("specificity", "Specificity"))
_NAME_CHARACTERS = 24


def point_of(estimate: Estimate) -> Point:
    """Return an estimate as three numbers, NaN where there is none."""
    return tuple(  # type: ignore[return-value]
        math.nan if value is None else value
        for value in (estimate.value, estimate.low, estimate.high)
    )


@dataclass(frozen=True, slots=True, eq=False)
class SubgroupForest:
    """AUC, sensitivity and specificity of groups of the images, with intervals.

    Attributes:
        columns: What each row's images were grouped by, ``G`` of them; the first row is all images.
        names: The group of each row.
        n: Images of each row.
        small: Whether a class of the row has fewer than 20 images.
        points: For each row AUC, sensitivity and specificity.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...]
    n: tuple[int, ...]
    small: tuple[bool, ...]
    points: tuple[tuple[Point, Point, Point], ...]

    CAPTION: ClassVar[str] = (
        "Each group by itself, with {level} intervals; the dotted line is the value of all images. "
        "Hollow marks are groups in which a class has fewer than 20 images: hardly anything can "
        "be said of them. Many groups are many chances to find something; a group that stands out "
        "is a question, not an answer."
    )

    def __post_init__(self) -> None:
        lengths = {len(column) for column in (self.columns, self.names, self.n, self.small)}
        if lengths != {len(self.points)} or not self.points:
            raise OptionError("the columns", must="equally long and not empty", was=lengths)

    @classmethod
    def from_groups(
        cls, groups: Sequence[Group], *, everything: Mapping[str, Estimate], n: int
    ) -> Self:
        """Take what ``subgroups`` gave, and the numbers of all images for the first row."""
        rows = [("", "all images", n, False, everything)]
        rows += [(g.column, g.value, g.n, g.small, g.numbers) for g in groups]
        return cls(
            tuple(row[0] for row in rows),
            tuple(row[1] for row in rows),
            tuple(row[2] for row in rows),
            tuple(row[3] for row in rows),
            tuple(
                (point_of(row[4]["auc"]), point_of(row[4]["sensitivity"]),
                 point_of(row[4]["specificity"]))
                for row in rows
            ),
        )  # fmt: skip

    def rows(self) -> Table:
        """Return one row a group."""
        header = ["column", "group", "images", "few_images"]
        for key, _ in _NUMBERS:
            header += [key, f"{key}_low", f"{key}_high"]
        body = tuple(
            (column, name, str(n), "yes" if small else "no",
             *(number(value) for point in points for value in point))
            for column, name, n, small, points in zip(
                self.columns, self.names, self.n, self.small, self.points, strict=True
            )
        )  # fmt: skip
        return tuple(header), body

    def summary(self) -> str:
        """Return the groups with their areas as a sentence."""
        parts = []
        for column, name, points in zip(self.columns, self.names, self.points, strict=True):
            area = points[0][0]
            known = f"AUC {area:.3f}" if math.isfinite(area) else "AUC not defined"
            parts.append(f"{column + ': ' if column else ''}{name}, {known}")
        return "; ".join(parts)

    def draw(self) -> Figure:
        """Draw three panels side by side, a row a group."""
        lines = self._lines()
        with style():
            figure = new_figure(NARROW_IN, 0.27 * len(lines) + 0.75, gap=0.06)
            panels = figure.subplots(1, 3, sharey=True)
            for place, (axes, (_, title)) in enumerate(zip(panels, _NUMBERS, strict=True)):
                axes.set_title(title)
                axes.axvline(self.points[0][place][0], linestyle=":", color=MUTED, linewidth=1)
                for y, (_, row) in enumerate(lines):
                    if row is not None:
                        self._draw_point(axes, y, self.points[row][place], hollow=self.small[row])
                least = self._least(place)
                axes.set_xlim(least, 1.01)
                axes.set_xticks([least, (least + 1) / 2, 1], [f"{least:g}", "", "1"])
                axes.tick_params(length=0, pad=5)
                axes.grid(axis="x")
                axes.spines["left"].set_visible(False)
            first = panels[0]
            first.set_ylim(len(lines) - 0.4, -0.6)
            first.set_yticks(range(len(lines)), [text for text, _ in lines])
            for label, (_, row) in zip(first.get_yticklabels(), lines, strict=True):
                heading = row is None or row == 0
                label.set(color=INK, weight="bold" if heading else "normal", size=9)
            return figure

    def _lines(self) -> list[tuple[str, int | None]]:
        """Return what stands left of each line: headings (None) and groups (their row)."""
        lines: list[tuple[str, int | None]] = []
        heading = ""
        for row, (column, name, n) in enumerate(zip(self.columns, self.names, self.n, strict=True)):
            if column != heading:
                lines.append((_shortened(column.capitalize()), None))
                heading = column
            few = " *" if self.small[row] else ""
            lines.append((f"{_shortened(name)} ({n:,}){few}", row))
        return lines

    def _least(self, place: int) -> float:
        ends = [value for points in self.points for value in points[place] if math.isfinite(value)]
        return math.floor(10 * (min([0.9, *ends]) - 0.02)) / 10

    @staticmethod
    def _draw_point(axes: Axes, y: int, point: Point, *, hollow: bool) -> None:
        value, low, high = point
        if not math.isfinite(value):
            axes.text(1, y, "not defined", ha="right", va="center", color=MUTED, size=8.5)
            return
        axes.plot([low, high], [y, y], color=BLUE, linewidth=1.6, alpha=0.5 if hollow else 1)
        axes.plot(
            value, y, "o", ms=6, mec=BLUE, mew=1.4, mfc="none" if hollow else BLUE, clip_on=False
        )


def _shortened(text: str) -> str:
    if len(text) <= _NAME_CHARACTERS:
        return text
    return f"{text[: _NAME_CHARACTERS - 1]}…"


@dataclass(frozen=True, slots=True, eq=False)
class RobustnessCurves:
    """The area under the ROC curve as images get worse, one panel a corruption.

    Attributes:
        names: The corruptions.
        units: What the amounts of each are.
        amounts: Five of each, ``[C, 5]``.
        points: The areas with intervals, from the images as they are on, ``[C, 6]`` of them.
        changed: Share of conclusions that differ from those on the images as they are, ``[C, 5]``.
        n: Images.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    amounts: tuple[tuple[float, ...], ...]
    points: tuple[tuple[Point, ...], ...]
    changed: tuple[tuple[float, ...], ...]
    n: int

    CAPTION: ClassVar[str] = (
        "AUC on the same images made worse, from slight (left) to strong; the dotted line is that "
        "of the images as they are. Bars are {level} intervals. A reader that falls at a strength "
        "which happens in practice needs images that are not like that."
    )

    @classmethod
    def from_rows(cls, rows: Sequence[Corrupted]) -> Self:
        """Take what ``robustness`` gave: the images as they are, then each corruption."""
        if len(rows) < 2:
            raise OptionError("rows", must="of one corruption at least", was=len(rows))
        plain, *worse = rows
        names = tuple(dict.fromkeys(row.corruption for row in worse))
        own = [[row for row in worse if row.corruption == name] for name in names]
        first = point_of(plain.numbers["auc"])
        return cls(
            names,
            tuple(part[0].unit for part in own),
            tuple(tuple(row.amount for row in part) for part in own),
            tuple((first, *(point_of(row.numbers["auc"]) for row in part)) for part in own),
            tuple(tuple(row.changed.value or 0.0 for row in part) for part in own),
            plain.numbers["accuracy"].n,
        )

    def rows(self) -> Table:
        """Return one row a corruption and strength."""
        body = [
            (name, str(strength), number(amount), unit, *(number(value) for value in point),
             number(changed))
            for name, unit, amounts, points, all_changed in zip(
                self.names, self.units, self.amounts, self.points, self.changed, strict=True
            )
            for strength, (amount, point, changed) in enumerate(
                zip(amounts, points[1:], all_changed, strict=True), 1
            )
        ]  # fmt: skip
        header = ("corruption", "strength", "amount", "unit", "auc", "low", "high", "changed")
        return header, tuple(body)

    def summary(self) -> str:
        """Return where it falls most as a sentence."""
        last = [points[-1][0] for points in self.points]
        worst = int(np.nanargmin(last)) if np.isfinite(last).any() else 0
        return (
            f"AUC under {len(self.names)} corruptions on {self.n:,} images; lowest at the "
            f"strongest {self.names[worst]}, {last[worst]:.3f} against {self.points[0][0][0]:.3f} "
            "on the images as they are"
        )

    def draw(self) -> Figure:
        """Draw a panel a corruption, two in a row, all on one scale."""
        across = min(2, len(self.names))
        down = math.ceil(len(self.names) / across)
        values = [v for points in self.points for point in points for v in point if v == v]  # noqa: PLR0124
        least = math.floor(10 * max(0.0, min([0.9, *values]) - 0.02)) / 10
        with style():
            figure = new_figure(NARROW_IN, 1.62 * down + 0.1, gap=0.05)
            grid = panels(figure, len(self.names), across=across, share_y=True)
            for c, name in enumerate(self.names):
                axes = grid[c]
                axes.axhline(self.points[c][0][0], linestyle=":", color=MUTED, linewidth=1)
                x = np.arange(1, len(self.points[c]))
                middle, low, high = np.array(self.points[c][1:]).T
                fallen = high < self.points[c][0][0]
                axes.vlines(x, low, high, color=BLUE, linewidth=1.4, alpha=0.6)
                axes.plot(x, middle, color=BLUE, linewidth=1.4)
                axes.plot(x[~fallen], middle[~fallen], "o", ms=4.5, color=BLUE)
                axes.plot(x[fallen], middle[fallen], "s", ms=5, color=VERMILLION)
                axes.set_xticks(x, [f"{amount:g}" for amount in self.amounts[c]])
                axes.set_xlim(0.6, len(x) + 0.4)
                axes.set_ylim(least, 1.005)
                axes.tick_params(length=0, labelsize=8.5)
                axes.grid(axis="y", color=RULE)
                axes.set_title(name, pad=16, size=10)
                axes.annotate(
                    self.units[c], (0, 1), xytext=(0, 4), xycoords="axes fraction",
                    textcoords="offset points", color=MUTED, size=8,
                )  # fmt: skip
            return figure

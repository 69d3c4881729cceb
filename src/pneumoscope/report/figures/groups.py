"""Figures of results in groups of images and on corrupted images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report.axes import (
    floor_of,
    interval,
    name_rows,
    new_figure,
    note,
    panels,
    point_of,
)
from pneumoscope.report.style import BLUE, MUTED, NARROW_IN, VERMILLION, style
from pneumoscope.report.tables import Table, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.estimate import Estimate
    from pneumoscope.evaluation.robustness import Corrupted
    from pneumoscope.evaluation.subgroups import Group

_NUMBERS = (("auc", "AUC"), ("sensitivity", "Sensitivity"), ("specificity", "Specificity"))
_NAME_CHARACTERS = 24


@dataclass(frozen=True, slots=True, eq=False)
class SubgroupForest:
    """AUC, sensitivity and specificity of groups of the images, with intervals.

    Attributes:
        groups: What ``subgroups`` gave.
        everything: The numbers of all images, for the first row.
        n: Of all images.
    """

    groups: tuple[Group, ...]
    everything: Mapping[str, Estimate]
    n: int

    CAPTION: ClassVar[str] = (
        "Results for each group, with {level} intervals; the dotted line is the value for all "
        "images. Hollow marks are groups in which a class has fewer than 20 images; these "
        "results are unreliable. With many groups, some differ by chance; confirm a striking "
        "group on other data."
    )

    def _each(self) -> Iterator[tuple[str, str, int, bool, Mapping[str, Estimate]]]:
        """Yield column, group, number of images, whether these are few, and metrics of each row."""
        yield "", "all images", self.n, False, self.everything
        for group in self.groups:
            yield group.column, group.value, group.n, group.small, group.numbers

    def rows(self) -> Table:
        """Return one row a group."""
        ends = [end for key, _ in _NUMBERS for end in (key, f"{key}_low", f"{key}_high")]
        return table_of(
            ("column", "group", "images", "few_images", *ends),
            (
                (column, name, n, "yes" if small else "no",
                 *(value for key, _ in _NUMBERS for value in point_of(numbers[key])))
                for column, name, n, small, numbers in self._each()
            ),
        )  # fmt: skip

    def summary(self) -> str:
        """Return the groups with their areas as a sentence."""
        return "; ".join(
            f"{column + ': ' if column else ''}{name}, AUC {numbers['auc'].text()}"
            for column, name, _, _, numbers in self._each()
        )

    @style()
    def draw(self) -> Figure:
        """Draw three panels side by side, a row a group below the heading of its column."""
        names, headings, marks = self._lines()
        figure = new_figure(NARROW_IN, 0.27 * len(names) + 0.75, gap=0.06)
        for axes, (key, title) in zip(figure.subplots(1, 3, sharey=True), _NUMBERS, strict=True):
            points = [(y, point_of(numbers[key]), small) for y, numbers, small in marks]
            axes.set_title(title)
            axes.axvline(points[0][1][0], linestyle=":", color=MUTED, linewidth=1)
            for y, point, small in points:
                interval(axes, y, point, colour=BLUE, hollow=small)
            least = floor_of([value for _, point, _ in points for value in point])
            axes.set_xlim(least, 1.01)
            axes.set_xticks([least, (least + 1) / 2, 1], [f"{least:g}", "", "1"])
            name_rows(axes, names, bold=headings)
        return figure

    def _lines(self) -> tuple[list[str], list[int], list[tuple[int, Mapping[str, Estimate], bool]]]:
        """Return the row names, which of them are bold, and the metrics."""
        names: list[str] = []
        headings, marks = [0], []
        last = ""
        for column, name, n, small, numbers in self._each():
            if column != last:
                headings.append(len(names))
                names.append(_shortened(column.capitalize()))
                last = column
            marks.append((len(names), numbers, small))
            names.append(f"{_shortened(name)} ({n:,}){' *' if small else ''}")
        return names, headings, marks


def _shortened(text: str) -> str:
    if len(text) <= _NAME_CHARACTERS:
        return text
    return f"{text[: _NAME_CHARACTERS - 1]}…"


@dataclass(frozen=True, slots=True, eq=False)
class RobustnessCurves:
    """The area under the ROC curve by strength of corruption, one panel each.

    Attributes:
        found: What ``robustness`` gave: the images as they are, then each corruption.
    """

    found: Sequence[Corrupted]

    CAPTION: ClassVar[str] = (
        "AUC on the same images with degradations from slight (left) to strong; the dotted "
        "line is the AUC on the unchanged images. Bars are {level} intervals. If the AUC drops "
        "at a strength that occurs in practice, such images should not be read with this "
        "reader."
    )

    def __post_init__(self) -> None:
        if len(self.found) < 2:
            raise OptionError("found", must="of at least one corruption", was=len(self.found))

    def _kinds(self) -> dict[str, list[Corrupted]]:
        kinds: dict[str, list[Corrupted]] = {}
        for row in self.found[1:]:
            kinds.setdefault(row.corruption, []).append(row)
        return kinds

    def rows(self) -> Table:
        """Return one row a corruption and strength."""
        return table_of(
            ("corruption", "strength", "amount", "unit", "auc", "low", "high", "changed"),
            (
                (row.corruption, row.strength, float(row.amount), row.unit,
                 *point_of(row.numbers["auc"]), row.changed.value or 0.0)
                for row in self.found[1:]
            ),
        )  # fmt: skip

    def summary(self) -> str:
        """Return where it falls most as a sentence."""
        plain, kinds = self.found[0], self._kinds()
        last = {name: point_of(rows[-1].numbers["auc"])[0] for name, rows in kinds.items()}
        worst = min(last, key=lambda name: last[name] if math.isfinite(last[name]) else 2.0)
        return (
            f"AUC under {len(kinds)} corruptions on {plain.numbers['accuracy'].n:,} images; "
            f"lowest at the strongest {worst}, {last[worst]:.3f} against "
            f"{plain.numbers['auc'].text()} on the unchanged images"
        )

    @style()
    def draw(self) -> Figure:
        """Draw a panel a corruption, two in a row, all on one scale."""
        kinds = self._kinds()
        across = min(2, len(kinds))
        least = max(0.0, floor_of([v for row in self.found for v in point_of(row.numbers["auc"])]))
        figure = new_figure(NARROW_IN, 1.62 * math.ceil(len(kinds) / across) + 0.1, gap=0.05)
        grid = panels(figure, len(kinds), across=across, share_y=True)
        for axes, (name, rows) in zip(grid, kinds.items(), strict=True):
            self._draw_panel(axes, rows)
            axes.set_ylim(least, 1.005)
            axes.set_title(name, pad=16, size=10)
        return figure

    def _draw_panel(self, axes: Axes, rows: list[Corrupted]) -> None:
        plain = point_of(self.found[0].numbers["auc"])[0]
        middle, low, high = np.array([point_of(row.numbers["auc"]) for row in rows]).T
        x, fallen = np.arange(1, len(rows) + 1), high < plain
        axes.axhline(plain, linestyle=":", color=MUTED, linewidth=1)
        axes.vlines(x, low, high, color=BLUE, linewidth=1.4, alpha=0.6)
        axes.plot(x, middle, color=BLUE, linewidth=1.4)
        axes.plot(x[~fallen], middle[~fallen], "o", ms=4.5, color=BLUE)
        axes.plot(x[fallen], middle[fallen], "s", ms=5, color=VERMILLION)
        axes.set_xticks(x, [f"{row.amount:g}" for row in rows])
        axes.tick_params(labelsize=8.5)
        axes.set_xlim(0.6, len(x) + 0.4)
        axes.grid(axis="y")
        note(axes, rows[0].unit, up=4, size=8)

"""The figure of groups that were new in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pneumoscope.report.axes import interval, name_rows, new_figure, point_of
from pneumoscope.report.style import BLUE, MUTED, NARROW_IN, VERMILLION, style
from pneumoscope.report.tables import Table, table_of
from pneumoscope.report.words import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.new_patients import NewPatients

_PANELS = ("sensitivity", "specificity", "auc", "ece")
_EXPECTED = "expected"


@dataclass(frozen=True, slots=True, eq=False)
class NewPatientsForest:
    """Sensitivity, specificity, AUC and calibration error of each group as if it were new.

    Attributes:
        found: What was found.
    """

    found: NewPatients

    CAPTION: ClassVar[str] = (
        "Dots: each group, judged by a reader that was trained on the others and whose decision "
        "was chosen on the others, with {level} intervals by patient. Hollow squares: what a block "
        "of the others' patients promised for the same reader, at the decision chosen on it. "
        "Last row: the mean over groups with its interval, and as a thin line the range to expect "
        "of one more group."
    )

    def rows(self) -> Table:
        """Return one row a group and number, and one of what to expect."""
        header = ("group", "number", "value", "low", "high", "promised_by_block")
        rows = [
            (group.name, name, *point_of(group.found.numbers[name]),
             point_of(group.promised.numbers[name])[0])
            for name in _PANELS
            for group in self.found.groups
        ]  # fmt: skip
        rows += [
            (_EXPECTED, name, *point_of(own.mean), math.nan if own.block is None else own.block)
            for name, own in self.found.expected.items()
        ]
        return table_of(header, rows)

    def summary(self) -> str:
        """Return the ranges as a sentence."""
        told = [
            f"{NAMES[name]} from {own.lowest:.3f} to {own.highest:.3f}"
            for name in _PANELS
            for own in [self.found.expected.get(name)]
            if own is not None
        ]
        return f"{len(self.found.groups)} groups as if new: {', '.join(told)}"

    @style()
    def draw(self) -> Figure:
        """Draw four panels, a row a group."""
        names = [f"{group.name[:24]} ({group.n:,})" for group in self.found.groups] + [_EXPECTED]
        figure = new_figure(NARROW_IN, 0.54 * len(names) + 1.4, gap=0.06)
        grid = figure.subplots(2, 2, sharey=True).ravel()
        for axes, name in zip(grid, _PANELS, strict=True):
            axes.set_title(NAMES[name])
            self._draw_panel(axes, name)
            name_rows(axes, names, bold=[len(names) - 1])
        return figure

    def _draw_panel(self, axes: Axes, name: str) -> None:
        seen = []
        for row, group in enumerate(self.found.groups):
            point, promised = (point_of(one.numbers[name]) for one in (group.found, group.promised))
            interval(axes, row, point, colour=BLUE)
            if math.isfinite(promised[0]):
                axes.plot(promised[0], row, "s", ms=6, mec=MUTED, mew=1.2, mfc="none")
            seen += [*point, promised[0]]
        own = self.found.expected.get(name)
        if own is not None:
            last = len(self.found.groups)
            if own.new_low is not None and own.new_high is not None:
                axes.plot([own.new_low, own.new_high], [last, last], color=VERMILLION, lw=0.8)
                seen += [own.new_low, own.new_high]
            interval(axes, last, point_of(own.mean), colour=VERMILLION, mark="D")
        known = [value for value in seen if math.isfinite(value)] or [0.0, 1.0]
        room = 0.05 * (max(known) - min(known)) or 0.01
        axes.set_xlim(max(-0.01, min(known) - room), min(1.01, max(known) + room))

"""Figures of readers of several findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pneumoscope.evaluation.numbers import SMALL
from pneumoscope.report.axes import floor_of, interval, name_rows, new_figure, point_of
from pneumoscope.report.style import BLUE, NARROW_IN, style
from pneumoscope.report.tables import Table, table_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.multilabel.numbers import FindingNumbers

_NUMBERS = (("auc", "AUC"), ("sensitivity", "Sensitivity"), ("specificity", "Specificity"))
_LETTERS = 26


@dataclass(frozen=True, slots=True, eq=False)
class FindingForest:
    """AUC, sensitivity and specificity of each finding, with intervals.

    Attributes:
        numbers: Of the findings.
    """

    numbers: FindingNumbers

    CAPTION: ClassVar[str] = (
        "Each finding on the images that have a label of it, with {level} intervals; in brackets "
        "how many of them have the finding. Hollow marks are findings of which fewer than 20 "
        "labelled images have it, or have it not: hardly anything can be said of them."
    )

    def rows(self) -> Table:
        """Return one row a finding."""
        ends = [end for key, _ in _NUMBERS for end in (key, f"{key}_low", f"{key}_high")]
        found = self.numbers
        return table_of(
            ("finding", "labelled", "positive", *ends),
            (
                (
                    name,
                    counts.labelled,
                    counts.positive,
                    *(value for key, _ in _NUMBERS for value in point_of(own[key])),
                )
                for name, counts, own in zip(
                    found.names, found.counts, found.by_finding, strict=True
                )
            ),
        )

    def summary(self) -> str:
        """Return the areas of the findings as a sentence."""
        return "; ".join(
            f"{name}, AUC {own['auc'].text()}"
            for name, own in zip(self.numbers.names, self.numbers.by_finding, strict=True)
        )

    @style()
    def draw(self) -> Figure:
        """Draw three panels side by side, a row a finding."""
        found = self.numbers
        names = [
            f"{name if len(name) <= _LETTERS else name[: _LETTERS - 1] + '…'} ({n.positive:,})"
            for name, n in zip(found.names, found.counts, strict=True)
        ]
        small = [min(n.positive, n.labelled - n.positive) < SMALL for n in found.counts]
        figure = new_figure(NARROW_IN, 0.27 * len(names) + 0.75, gap=0.06)
        for axes, (key, title) in zip(figure.subplots(1, 3, sharey=True), _NUMBERS, strict=True):
            points = [point_of(own[key]) for own in found.by_finding]
            axes.set_title(title)
            for y, (point, hollow) in enumerate(zip(points, small, strict=True)):
                interval(axes, y, point, colour=BLUE, hollow=hollow)
            least = max(0.0, floor_of([value for point in points for value in point]))
            axes.set_xlim(least, 1.01)
            axes.set_xticks([least, (least + 1) / 2, 1], [f"{least:g}", "", "1"])
            name_rows(axes, names)
        return figure

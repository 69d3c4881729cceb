"""Single images: what a reader got wrong and why, or what readers disagree on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report._shared import Pixels, Table, as_jpeg, new_figure
from pneumoscope.report.page import Picture
from pneumoscope.report.style import MUTED, WIDE_IN, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, eq=False)
class CaseSheet:
    """Images in a grid, each under its label and what was said of it, over its evidence.

    Attributes:
        pictures: ``uint8 [N, H, W, 3]``.
        titles: What stands above each, ``N`` of them: the label.
        notes: What stands below the title: what was said.
        names: The file of each.
        evidence: The same images with the model's evidence, ``uint8 [N, H, W, 3]``; None if the
            model shows none.
        columns: Images in a row.
    """

    pictures: Pixels
    titles: tuple[str, ...]
    notes: tuple[str, ...]
    names: tuple[str, ...]
    evidence: Pixels | None = None
    columns: int = 4

    CAPTION: ClassVar[str] = (
        "The label that the data give stands above each image, and below it what was said. Look "
        "for what they have in common: a wrong label, a poor film, tubes and cables, a hard case."
    )

    def __post_init__(self) -> None:
        if self.pictures.ndim != 4 or not self.pictures.shape[0] or self.pictures.shape[3] != 3:
            raise OptionError("pictures", must="uint8 [N, H, W, 3], N > 0", was=self.pictures.shape)
        if self.evidence is not None and self.evidence.shape != self.pictures.shape:
            raise OptionError("evidence", must="shaped like pictures", was=self.evidence.shape)
        for name in ("titles", "notes", "names"):
            texts = getattr(self, name)
            if len(texts) != len(self.pictures):
                raise OptionError(name, must=f"{len(self.pictures)}, one a picture", was=texts)

    def rows(self) -> Table:
        """Return one row an image."""
        body = tuple(
            (str(place), title, note.replace("\n", "; "), name)
            for place, (title, note, name) in enumerate(
                zip(self.titles, self.notes, self.names, strict=True), 1
            )
        )
        return ("picture", "label", "said", "path"), body

    def summary(self) -> str:
        """Return the images as a sentence."""
        return "; ".join(f"{row[1]}, {row[2]}" for row in self.rows()[1])

    def pictures_of_page(self) -> tuple[Picture, ...]:
        """Return each image, with its evidence below it, for a page."""
        marked = self.evidence if self.evidence is not None else [None] * len(self.pictures)
        return tuple(
            Picture(
                tuple(as_jpeg(one) for one in (plain, evidence) if one is not None), title, note
            )
            for plain, evidence, title, note in zip(
                self.pictures, marked, self.titles, self.notes, strict=True
            )
        )

    def draw(self) -> Figure:
        """Draw the grid; where there is evidence it stands below each image."""
        n, height, width, _ = self.pictures.shape
        across, down = self.columns, math.ceil(n / self.columns)
        layers = [self.pictures] if self.evidence is None else [self.pictures, self.evidence]
        cell = WIDE_IN / across
        lines = 1 + max(note.count("\n") + 1 for note in self.notes)
        tall = down * (len(layers) * (cell * height / width + 0.05) + 0.2 * lines) + 0.12
        with style():
            figure = new_figure(WIDE_IN, tall, gap=0.015, margin_in=0.05)
            grid = figure.subplots(down * len(layers), across, squeeze=False)
            for axes in grid.ravel():
                axes.set_axis_off()
            for place in range(n):
                row, column = divmod(place, across)
                for layer, pictures in enumerate(layers):
                    axes = grid[row * len(layers) + layer][column]
                    axes.imshow(pictures[place], interpolation="none")
                self._name(grid[row * len(layers)][column], place, lines)
            return figure

    def _name(self, axes: Axes, place: int, lines: int) -> None:
        note = self.notes[place]
        missing = lines - 1 - (note.count("\n") + 1)
        axes.set_title(self.titles[place], pad=4 + 11.5 * (lines - 1), size=9, weight="bold")
        axes.annotate(
            note + "\n" * missing, (0, 1), xytext=(0, 3), xycoords="axes fraction",
            textcoords="offset points", color=MUTED, size=8.5, va="bottom", linespacing=1.25,
        )  # fmt: skip


def squared(picture: Pixels, side_px: int) -> Pixels:
    """Return a colour picture in the middle of a black square of this side, reduced to fit."""
    from PIL import Image  # noqa: PLC0415 - only pictures need it

    reduced = Image.fromarray(picture)
    reduced.thumbnail((side_px, side_px))
    square = Image.new("RGB", (side_px, side_px))
    square.paste(reduced, ((side_px - reduced.width) // 2, (side_px - reduced.height) // 2))
    return np.asarray(square)

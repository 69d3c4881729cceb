"""What the images of a data set look like: some of them, and the mean of each class.

The figures follow the contract of `pneumoscope.report.figures`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report._shared import (
    Floats,
    Pixels,
    Table,
    as_jpeg,
    new_figure,
    number,
    require_shape,
)
from pneumoscope.report.axes import show_grey
from pneumoscope.report.page import Picture
from pneumoscope.report.style import (
    WIDE_IN,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, eq=False)
class MeanImages:
    """The mean image of two classes and their difference.

    Attributes:
        classes: (negative, positive).
        means: Grey levels 0 to 255, ``[2, H, W]``.
        effect: Difference of the means in standard deviations of a pixel, positive less
            negative, ``[H, W]``.
        counts: Images of each class.
    """

    classes: tuple[str, str]
    means: Floats
    effect: Floats
    counts: tuple[int, int]

    CAPTION: ClassVar[str] = (
        "The mean of all images of each class, and the difference in units of the spread of each "
        "pixel: light where the second class is brighter, dark where it is darker, grey where both "
        "are alike, black and white being one standard deviation. A difference over the lungs may "
        "be disease; one at the border, in a corner or all over comes from how the films were made."
    )

    def __post_init__(self) -> None:
        require_shape("means", self.means, (2, *self.effect.shape))

    def rows(self) -> Table:
        """Return the means and the largest differences by region: lungs' place and border."""
        height, width = self.effect.shape
        border = np.ones(self.effect.shape, bool)
        border[height // 8 : -(height // 8), width // 8 : -(width // 8)] = False
        body = tuple(
            (
                name,
                number(self.means[0][mask].mean()),
                number(self.means[1][mask].mean()),
                number(np.abs(self.effect[mask]).mean()),
            )
            for name, mask in (("outer eighth", border), ("middle", ~border))
        )
        return ("region", "mean_negative", "mean_positive", "mean_absolute_effect"), body

    def summary(self) -> str:
        """Return the sizes of the difference as a sentence."""
        _, ((_, _, _, outside), (_, _, _, middle)) = self.rows()
        return (
            f"Mean images of {self.counts[0]:,} {self.classes[0]} and {self.counts[1]:,} "
            f"{self.classes[1]}; the mean difference is {float(middle):.2f} standard deviations in "
            f"the middle and {float(outside):.2f} in the outer eighth"
        )

    @property
    def columns(self) -> int:
        """Pictures in a row."""
        return 3

    def _shown(self) -> list[tuple[str, Floats]]:
        """Return each picture, in grey levels 0 to 255, with its title."""
        titles = (*self.classes, f"{self.classes[1]} less {self.classes[0]}")
        effect = 127.5 + 127.5 * np.clip(self.effect, -1, 1)
        return list(zip(titles, (*self.means, effect), strict=True))

    def pictures_of_page(self) -> tuple[Picture, ...]:
        """Return the two means and the difference for a page."""
        return tuple(
            Picture((as_jpeg(np.rint(image).astype(np.uint8)),), title)
            for title, image in self._shown()
        )

    def draw(self) -> Figure:
        """Draw the two means and the difference side by side."""
        with style():
            figure = new_figure(WIDE_IN, 2.65, gap=0.03)
            for axes, (title, image) in zip(figure.subplots(1, 3), self._shown(), strict=True):
                show_grey(axes, image)
                axes.set_axis_off()
                axes.set_title(title, pad=4)
            return figure


@dataclass(frozen=True, slots=True, eq=False)
class PictureSheet:
    """Images in a grid, each with a line above it.

    Attributes:
        pictures: ``uint8 [N, H, W]``.
        titles: What stands above each, ``N`` of them.
        names: The file of each.
        columns: Pictures in a row.
    """

    pictures: Pixels
    titles: tuple[str, ...]
    names: tuple[str, ...]
    columns: int = 6

    CAPTION: ClassVar[str] = "Images as a model sees them, reduced."

    def __post_init__(self) -> None:
        if self.pictures.ndim != 3 or self.pictures.shape[0] == 0:
            raise OptionError("pictures", must="uint8 [N, H, W], N > 0", was=self.pictures.shape)
        for name, texts in (("titles", self.titles), ("names", self.names)):
            if len(texts) != len(self.pictures):
                raise OptionError(name, must=f"{len(self.pictures)}, one a picture", was=texts)

    def rows(self) -> Table:
        """Return one row a picture."""
        body = tuple(
            (str(n + 1), title, name)
            for n, (title, name) in enumerate(zip(self.titles, self.names, strict=True))
        )
        return ("picture", "title", "path"), body

    def summary(self) -> str:
        """Return what the sheet shows as a sentence."""
        n = len(self.pictures)
        return f"{n} {'image' if n == 1 else 'images'}: {', '.join(dict.fromkeys(self.titles))}"

    def pictures_of_page(self) -> tuple[Picture, ...]:
        """Return each picture for a page."""
        return tuple(
            Picture((as_jpeg(picture),), "", title)
            for picture, title in zip(self.pictures, self.titles, strict=True)
        )

    def draw(self) -> Figure:
        """Draw the grid, row by row."""
        n, height, width = self.pictures.shape
        down = math.ceil(n / self.columns)
        cell = WIDE_IN / self.columns
        with style():
            tall = down * (cell * height / width + 0.24) + 0.05
            figure = new_figure(WIDE_IN, tall, gap=0.015, margin_in=0.02)
            grid = figure.subplots(down, self.columns, squeeze=False).ravel()
            for axes in grid:
                axes.set_axis_off()
            for axes, picture, title in zip(grid, self.pictures, self.titles, strict=False):
                show_grey(axes, picture)
                axes.set_title(title, pad=3, size=8.5, weight="normal")
            return figure

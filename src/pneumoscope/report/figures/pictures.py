"""Contact sheets: single images, augmented images, class means."""

from __future__ import annotations

import io
import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report.axes import new_figure, show_grey
from pneumoscope.report.page import Picture
from pneumoscope.report.style import MUTED, WIDE_IN, style
from pneumoscope.report.tables import Floats, Pixels, Table, columns_of, require_shape, table_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Cell(NamedTuple):
    """A place in a sheet: pictures of one size in a column, with title and note."""

    images: tuple[Pixels | Floats, ...]
    title: str = ""
    note: str = ""


class Sheet:
    """Pictures in a grid; a page places them individually, so that phones show fewer per row."""

    __slots__ = ()

    @property
    @abstractmethod
    def columns(self) -> int:
        """Return the number of cells per row."""

    @abstractmethod
    def cells(self) -> list[Cell]:
        """Return the cells, row by row."""

    def pictures_of_page(self) -> tuple[Picture, ...]:
        """Return the cells as files for a page."""
        return tuple(
            Picture(tuple(map(_as_jpeg, cell.images)), cell.title, cell.note)
            for cell in self.cells()
        )

    @style()
    def draw(self) -> Figure:
        """Draw the grid row by row."""
        cells, across = self.cells(), self.columns
        layers = max(len(cell.images) for cell in cells)
        lines = max(bool(cell.title) + _lines(cell.note) for cell in cells)
        height, width = cells[0].images[0].shape[:2]
        down = math.ceil(len(cells) / across)
        tall = down * (layers * (WIDE_IN / across * height / width + 0.05) + 0.2 * lines) + 0.12
        figure = new_figure(WIDE_IN, tall, gap=0.015, margin_in=0.03)
        grid = figure.subplots(down * layers, across, squeeze=False)
        for axes in grid.ravel():
            axes.set_axis_off()
        for place, cell in enumerate(cells):
            row, column = divmod(place, across)
            _name(grid[row * layers, column], cell, lines=lines)
            for layer, image in enumerate(cell.images):
                show_grey(grid[row * layers + layer, column], image)
        return figure


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _name(axes: Axes, cell: Cell, *, lines: int) -> None:
    """Write title and note above a picture; the notes of a row are aligned."""
    below = lines - bool(cell.title)
    axes.set_title(cell.title, pad=4 + 11.5 * below, size=9, weight="bold")
    axes.annotate(
        cell.note + "\n" * (below - _lines(cell.note)), (0, 1), xytext=(0, 3),
        xycoords="axes fraction", textcoords="offset points", color=MUTED, size=8.5, va="bottom",
        linespacing=1.25,
    )  # fmt: skip


def _as_jpeg(picture: Pixels | Floats) -> bytes:
    """Return a picture ``[H, W]`` or ``[H, W, 3]`` as JPEG bytes, grey if it has no colour."""
    from PIL import Image  # noqa: PLC0415 - only pictures need it

    if picture.ndim == 3 and (picture == picture[..., :1]).all():
        picture = picture[..., 0]
    image = Image.fromarray(np.ascontiguousarray(np.rint(picture).astype(np.uint8)))
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=85, optimize=True)
    return file.getvalue()


def _require_pictures(pictures: Pixels, shape: str, **texts: tuple[str, ...]) -> None:
    """Raise OptionError unless there are pictures of this shape and matching texts."""
    if pictures.ndim != shape.count(",") + 1 or not len(pictures):
        raise OptionError("pictures", must=f"uint8 {shape}, N > 0", was=pictures.shape)
    if shape.endswith("3]") and pictures.shape[-1] != 3:
        raise OptionError("pictures", must=f"uint8 {shape}, N > 0", was=pictures.shape)
    for name, own in texts.items():
        if len(own) != len(pictures):
            raise OptionError(name, must=f"{len(pictures)}, one a picture", was=own)


@dataclass(frozen=True, slots=True, eq=False)
class AugmentationSheet(Sheet):
    """Training images and augmented versions of them.

    Attributes:
        originals: ``uint8 [N, H, W]``.
        augmented: ``uint8 [N, K, H, W]``, K versions of each.
        labels: The class of each original, ``N`` of them.
    """

    originals: Pixels
    augmented: Pixels
    labels: tuple[str, ...]

    CAPTION: ClassVar[str] = (
        "Each row shows one training image (left) and augmented versions of it. The finding "
        "must remain visible in every version; if a radiologist could no longer see it, the "
        "augmentation is too strong."
    )

    def __post_init__(self) -> None:
        _require_pictures(self.originals, "[N, H, W]", labels=self.labels)
        n, height, width = self.originals.shape
        versions = self.augmented.shape[1] if self.augmented.ndim == 4 else 0
        require_shape("augmented", self.augmented, (n, max(1, versions), height, width))

    def rows(self) -> Table:
        """Return how far each version is from its original, in grey levels of 255."""
        change = np.abs(self.augmented.astype(np.int16) - self.originals[:, None]).mean(axis=(2, 3))
        return table_of(
            ("image", "label", "version", "mean_absolute_change"),
            (
                (image, label, version, f"{grey:.2f}")
                for image, (label, changes) in enumerate(zip(self.labels, change, strict=True), 1)
                for version, grey in enumerate(changes, 1)
            ),
        )

    def summary(self) -> str:
        """Return what the sheet shows, as a sentence."""
        n, versions = self.augmented.shape[:2]
        return f"{n} training images, each beside {versions} augmented versions of itself"

    @property
    def columns(self) -> int:
        """The original and its versions."""
        return 1 + int(self.augmented.shape[1])

    def cells(self) -> list[Cell]:
        """Return a row an image."""
        return [
            cell
            for original, versions, label in zip(
                self.originals, self.augmented, self.labels, strict=True
            )
            for cell in (
                Cell((original,), label, "original"),
                *(Cell((version,), "", "augmented") for version in versions),
            )
        ]


@dataclass(frozen=True, slots=True, eq=False)
class CaseSheet(Sheet):
    """Single images with label, prediction and evidence.

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
        "Above each image is its label, and below it the conclusion. Look for what these "
        "images have in common: wrong labels, poor image quality, tubes and cables, difficult "
        "cases."
    )

    def __post_init__(self) -> None:
        _require_pictures(
            self.pictures, "[N, H, W, 3]", titles=self.titles, notes=self.notes, names=self.names
        )
        if self.evidence is not None:
            require_shape("evidence", self.evidence, self.pictures.shape)

    def rows(self) -> Table:
        """Return one row an image."""
        told = (note.replace("\n", "; ") for note in self.notes)
        numbers = range(1, len(self.names) + 1)
        return columns_of(
            ("picture", "label", "said", "path"), numbers, self.titles, told, self.names
        )

    def summary(self) -> str:
        """Return the images as a sentence."""
        return "; ".join(f"{row[1]}, {row[2]}" for row in self.rows()[1])

    def cells(self) -> list[Cell]:
        """Return each image, with its evidence below it."""
        layers = [self.pictures] if self.evidence is None else [self.pictures, self.evidence]
        return [
            Cell(images, title, note)
            for images, title, note in zip(
                zip(*layers, strict=True), self.titles, self.notes, strict=True
            )
        ]


@dataclass(frozen=True, slots=True, eq=False)
class PictureSheet(Sheet):
    """Images of a data set, each with a caption.

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

    CAPTION: ClassVar[str] = "Images as the model sees them, reduced in size."

    def __post_init__(self) -> None:
        _require_pictures(self.pictures, "[N, H, W]", titles=self.titles, names=self.names)

    def rows(self) -> Table:
        """Return one row a picture."""
        numbers = range(1, len(self.names) + 1)
        return columns_of(("picture", "title", "path"), numbers, self.titles, self.names)

    def summary(self) -> str:
        """Return what the sheet shows as a sentence."""
        n = len(self.pictures)
        return f"{n} {'image' if n == 1 else 'images'}: {', '.join(dict.fromkeys(self.titles))}"

    def cells(self) -> list[Cell]:
        """Return each picture."""
        return [
            Cell((picture,), "", title)
            for picture, title in zip(self.pictures, self.titles, strict=True)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class MeanImages(Sheet):
    """The mean images of two classes and their difference.

    Attributes:
        classes: (negative, positive).
        means: Grey levels 0 to 255, ``[2, H, W]``.
        effect: Difference of the means in standard deviations of a pixel, positive less
            negative, ``[H, W]``.
        counts: Images of each class.
        columns: Pictures in a row.
    """

    classes: tuple[str, str]
    means: Floats
    effect: Floats
    counts: tuple[int, int]
    columns: int = 3

    CAPTION: ClassVar[str] = (
        "The mean image of each class, and their difference in standard deviations of each "
        "pixel: light where the second class is brighter, dark where it is darker, grey where "
        "both are equal; black and white are one standard deviation. A difference over the "
        "lungs may be disease; a difference at the border, in a corner or everywhere comes "
        "from how the images were made."
    )

    def __post_init__(self) -> None:
        require_shape("means", self.means, (2, *self.effect.shape))

    def rows(self) -> Table:
        """Return the means and the largest differences by region: lungs' place and border."""
        height, width = self.effect.shape
        border = np.ones(self.effect.shape, bool)
        border[height // 8 : -(height // 8), width // 8 : -(width // 8)] = False
        return table_of(
            ("region", "mean_negative", "mean_positive", "mean_absolute_effect"),
            (
                (name, *self.means[:, mask].mean(axis=1), np.abs(self.effect[mask]).mean())
                for name, mask in (("outer eighth", border), ("middle", ~border))
            ),
        )

    def summary(self) -> str:
        """Return the sizes of the difference as a sentence."""
        _, ((_, _, _, outside), (_, _, _, middle)) = self.rows()
        return (
            f"Mean images of {self.counts[0]:,} {self.classes[0]} and {self.counts[1]:,} "
            f"{self.classes[1]}; the mean difference is {float(middle):.2f} standard deviations in "
            f"the middle and {float(outside):.2f} in the outer eighth"
        )

    def cells(self) -> list[Cell]:
        """Return the two means and the difference, in grey levels 0 to 255."""
        titles = (*self.classes, f"{self.classes[1]} minus {self.classes[0]}")
        effect = 127.5 + 127.5 * np.clip(self.effect, -1, 1)
        images = (*self.means, effect)
        return [Cell((image,), title) for image, title in zip(images, titles, strict=True)]

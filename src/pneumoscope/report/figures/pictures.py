"""Contact sheets: single images, augmented images, class means."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report import plotting
from pneumoscope.report.figures.drawing import Cell, Drawing
from pneumoscope.report.page import Picture
from pneumoscope.report.style import WIDE_IN
from pneumoscope.report.tables import Floats, Pixels, require_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def sheet(
    kind: str,
    rows: Sequence[Sequence[object]],
    cells: Sequence[Cell],
    *,
    columns: int,
    **facts: object,
) -> Drawing:
    """Return pictures in a grid; a page places them itself, so that phones show fewer per row.

    Args:
        kind: The key of its texts.
        rows: Of the table of what they show.
        cells: Row by row, one at least.
        columns: Cells in a row.
        facts: What its summary is filled in with.
    """
    if not cells:
        raise OptionError("cells", must="at least one", was=0)
    plot = lambda: _plot_sheet(cells, columns)  # noqa: E731 - as for all figures
    return Drawing(kind, rows, plot, facts, cells=tuple(cells), columns=columns)


def pictures_of_page(drawing: Drawing) -> tuple[Picture, ...]:
    """Return the cells of a sheet as files for a page; none for other figures."""
    return tuple(
        Picture(tuple(map(_as_jpeg, cell.images)), cell.title, cell.note) for cell in drawing.cells
    )


_NOTE_PT, _LINE_PT = 8.5, 11.5
_LETTER_EM = 0.66  # mean width of words with some capitals
_GAP_IN = 0.06


def _plot_sheet(cells: Sequence[Cell], across: int) -> Figure:
    """Draw the cells at fixed places: a layout engine would shrink all pictures for one note."""
    side = (WIDE_IN - (across - 1) * _GAP_IN) / across
    letters = int(side * 72 / (_LETTER_EM * _NOTE_PT))
    cells = [cell._replace(note=_wrapped(cell.note, letters)) for cell in cells]
    layers = max(len(cell.images) for cell in cells)
    lines = max(bool(cell.title) + _lines(cell.note) for cell in cells)
    height, width = cells[0].images[0].shape[:2]
    picture = side * height / width
    words = (_LINE_PT * lines + 8) / 72
    down = math.ceil(len(cells) / across)
    tall = down * (words + layers * (picture + _GAP_IN))
    figure = plotting.new_figure(WIDE_IN, tall)
    figure.set_layout_engine("none")
    for number, cell in enumerate(cells):
        row, column = divmod(number, across)
        left = column * (side + _GAP_IN)
        for layer, image in enumerate(cell.images):
            above = (row + 1) * words + (row * layers + layer) * (picture + _GAP_IN)
            bottom = tall - above - picture
            box = (left / WIDE_IN, bottom / tall, side / WIDE_IN, picture / tall)
            place = figure.add_axes(box)
            place.set_axis_off()
            place.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="none")
            if layer == 0:
                _name(place, cell, lines=lines)
    return figure


def _wrapped(text: str, letters: int) -> str:
    return "\n".join(textwrap.fill(line, letters) for line in text.splitlines())


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _name(axes: Axes, cell: Cell, *, lines: int) -> None:
    """Write title and note above a picture; the notes of a row are aligned."""
    below = lines - bool(cell.title)
    axes.set_title(cell.title, pad=4 + _LINE_PT * below, size=9, weight="bold")
    text = cell.note + "\n" * (below - _lines(cell.note))
    plotting.note(axes, text, up=3, size=_NOTE_PT, va="bottom", linespacing=1.25)


def _as_jpeg(picture: Pixels | Floats) -> bytes:
    """Return a picture ``[H, W]`` or ``[H, W, 3]`` as JPEG bytes, grey if it has no colour."""
    from PIL import Image  # noqa: PLC0415 - only pictures need it

    if picture.ndim == 3 and (picture == picture[..., :1]).all():
        picture = picture[..., 0]
    image = Image.fromarray(np.ascontiguousarray(np.rint(picture).astype(np.uint8)))
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=85, optimize=True)
    return file.getvalue()


def augmentation_sheet(originals: Pixels, augmented: Pixels, labels: Sequence[str]) -> Drawing:
    """Return training images and augmented versions of them, one row per image.

    Args:
        originals: ``uint8 [N, H, W]``.
        augmented: ``uint8 [N, K, H, W]``, K versions of each.
        labels: The class of each original, ``N`` of them.
    """
    versions = augmented.shape[1] if augmented.ndim == 4 else 0
    require_shape("originals", originals, (len(labels), *originals.shape[1:]))
    shape = (len(labels), max(1, versions), *originals.shape[1:])
    require_shape("augmented", augmented, shape)
    change = np.abs(augmented.astype(np.int16) - originals[:, None]).mean(axis=(2, 3))
    cells = [
        cell
        for original, own, label in zip(originals, augmented, labels, strict=True)
        for cell in (
            Cell((original,), label, "original"),
            *(Cell((version,), "", "augmented") for version in own),
        )
    ]
    rows = [
        (image, label, version, f"{grey:.2f}")  # in grey levels of 255
        for image, (label, changes) in enumerate(zip(labels, change, strict=True), 1)
        for version, grey in enumerate(changes, 1)
    ]
    counts = {"n": len(labels), "versions": versions}
    return sheet("augmentation_sheet", rows, cells, columns=1 + versions, **counts)


def case_sheet(cells: Sequence[Cell], names: Sequence[str], *, columns: int = 4) -> Drawing:
    """Return single images, with the label and the prediction above each.

    Args:
        cells: Of each case the image and, where there is some, the same with its evidence.
        names: The file of each.
        columns: Images in a row.
    """
    cases = [(cell.title, cell.note.replace("\n", "; ")) for cell in cells]
    rows = [(k, *case, name) for k, (case, name) in enumerate(zip(cases, names, strict=True), 1)]
    return sheet("case_sheet", rows, cells, columns=columns, cases=cases)


def picture_sheet(
    pictures: Pixels, titles: Sequence[str], names: Sequence[str], kind: str, *, columns: int = 4
) -> Drawing:
    """Return images of a data set, each with a caption.

    Args:
        pictures: ``uint8 [N, H, W]``.
        titles: What stands above each, ``N`` of them.
        names: The file of each.
        kind: The key of title and caption.
        columns: Pictures in a row.
    """
    if len(titles) != len(pictures):
        raise OptionError("titles", must=f"{len(pictures)} texts, one per picture", was=titles)
    cells = [Cell((picture,), "", title) for picture, title in zip(pictures, titles, strict=True)]
    rows = list(zip(range(1, len(pictures) + 1), titles, names, strict=True))
    return sheet(kind, rows, cells, columns=columns, titles=titles)


def mean_images(
    classes: tuple[str, str], means: Floats, effect: Floats, counts: tuple[int, int]
) -> Drawing:
    """Return the mean images of two classes and their difference.

    Args:
        classes: (negative, positive).
        means: Grey levels 0 to 255, ``[2, H, W]``.
        effect: Difference of the means in standard deviations of a pixel, positive less
            negative, ``[H, W]``.
        counts: Images of each class.
    """
    height, width = effect.shape
    require_shape("means", means, (2, height, width))
    border = np.ones(effect.shape, bool)
    border[height // 8 : -(height // 8), width // 8 : -(width // 8)] = False
    outside, middle = (float(np.abs(effect[mask]).mean()) for mask in (border, ~border))
    shown = (*means, 127.5 + 127.5 * np.clip(effect, -1, 1))
    titles = (*classes, f"{classes[1]} minus {classes[0]}")
    rows = [
        ("outer eighth", *means[:, border].mean(axis=1), outside),
        ("middle", *means[:, ~border].mean(axis=1), middle),
    ]
    cells = [Cell((image,), title) for image, title in zip(shown, titles, strict=True)]
    facts = {"classes": classes, "counts": counts, "middle": middle, "outside": outside}
    return sheet("mean_images", rows, cells, columns=3, **facts)

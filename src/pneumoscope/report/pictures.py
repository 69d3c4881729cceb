"""Images for a page: reduced, with evidence if the reader has any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import ImageError
from pneumoscope.images.prepare import prepare
from pneumoscope.reader.overlay import Scale, coloured
from pneumoscope.reader.preprocess import native
from pneumoscope.report.figures.drawing import Cell, Drawing
from pneumoscope.report.figures.pictures import case_sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pneumoscope.reader.predictor import Predictor
    from pneumoscope.report.canvas import Canvas
    from pneumoscope.report.page import Panel
    from pneumoscope.report.tables import Pixels

_SIDE_PX = 320


@dataclass(frozen=True, slots=True)
class Case:
    """One image of a sheet: path, label and prediction."""

    path: str
    label: str
    said: str


@dataclass(frozen=True, slots=True)
class Pictures:
    """The location of images, and the reader for their evidence.

    Attributes:
        root: What the paths of scores are relative to.
        predictor: The reader; its evidence is drawn if it shows any. None draws none.
        finding: Of which evidence is drawn, where a reader knows several findings.
    """

    root: Path
    predictor: Predictor | None = None
    finding: str | None = None

    def sheet(self, cases: Sequence[Case], *, columns: int = 4) -> Drawing | None:
        """Return the cases as a figure, without those whose file is no longer readable."""
        cells, names = [], []
        for case in cases:
            try:
                images = self._of(self.root / case.path)
            except ImageError:
                continue  # moved or changed since it was scored; the table still names it
            cells.append(Cell(images, case.label, case.said))
            names.append(case.path)
        return case_sheet(cells, names, columns=columns) if cells else None

    def panels(
        self, canvas: Canvas, cases: Sequence[Case], name: str, kind: str = "", **facts: object
    ) -> tuple[Panel, ...]:
        """Return the sheet of the cases for a page; see ``Canvas.panel``."""
        sheet = self.sheet(cases)
        return () if sheet is None else (canvas.panel(sheet, name, kind=kind, **facts),)

    @property
    def draws_evidence(self) -> bool:
        """Whether each image stands above the same image with its evidence."""
        return self.predictor is not None and self.predictor.draws_evidence

    def _of(self, file: Path) -> tuple[Pixels, ...]:
        grey = _reduced(native(file))
        plain = _squared(np.repeat(grey[..., np.newaxis], 3, axis=2), _SIDE_PX)
        if self.predictor is None or not self.predictor.draws_evidence:
            return (plain,)
        pixels = prepare(file, self.predictor.info.input)[np.newaxis]
        found = self.predictor.evidence(pixels, self.finding)[0]
        scale = Scale.of_reader(self.predictor.info)
        return plain, _squared(_with_evidence(found, grey, scale), _SIDE_PX)


def _squared(picture: Pixels, side_px: int) -> Pixels:
    """Return a colour picture centred in a black square, reduced to fit."""
    from PIL import Image  # noqa: PLC0415 - only pictures need it

    reduced = Image.fromarray(picture)
    reduced.thumbnail((side_px, side_px))
    square = Image.new("RGB", (side_px, side_px))
    square.paste(reduced, ((side_px - reduced.width) // 2, (side_px - reduced.height) // 2))
    return np.asarray(square)


def _with_evidence(evidence: NDArray[np.float32], grey: Pixels, scale: Scale) -> Pixels:
    """Return the image with its evidence, uint8 [height, width, 3]."""
    drawn = coloured(evidence, grey.astype(np.float32), scale)
    return np.rint(drawn).astype(np.uint8)


def _reduced(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Pixels:
    """Return grey levels 0 to 255 reduced for the page; higher depths are scaled."""
    from PIL import Image  # noqa: PLC0415 - only pictures need it

    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels, (0.5, 99.5))
        scaled = (pixels.astype(np.float32) - low) * (255 / max(high - low, 1))
        pixels = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    scale = _SIDE_PX / max(image.size)
    image = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))),
        Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BILINEAR,
    )
    return np.asarray(image)

"""Images for a page: reduced, with evidence if the reader has any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.errors import ImageError
from pneumoscope.images.prepare import prepare
from pneumoscope.reader.model_file.metadata import ModelInfo
from pneumoscope.reader.overlay import Scale, coloured
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.preprocess import native
from pneumoscope.report.figures.drawing import Cell, Drawing
from pneumoscope.report.figures.pictures import case_sheet
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

    def sheet(self, cases: Sequence[Case], kind: str = "case_sheet") -> Drawing | None:
        """Return the cases as a figure, without those whose file is no longer readable.

        Args:
            cases: What to show.
            kind: The key of its title and caption.
        """
        cells, names = [], []
        for case in cases:
            try:
                images = self._of(self.root / case.path)
            except ImageError:
                continue  # moved or changed since it was scored; the table still names it
            cells.append(Cell(images, case.label, case.said))
            names.append(case.path)
        return replace(case_sheet(cells, names), kind=kind) if cells else None

    @property
    def reader(self) -> ModelInfo | None:
        """The reader whose evidence stands below each image; None if none is drawn."""
        draws = self.predictor is not None and self.predictor.draws_evidence
        return self.predictor.info if self.predictor and draws else None

    def _of(self, file: Path) -> tuple[Pixels, ...]:
        grey = _reduced(native(file))
        plain = _squared(np.repeat(grey[..., np.newaxis], 3, axis=2))
        info = self.reader
        if self.predictor is None or info is None:
            return (plain,)
        found = self.predictor.evidence(prepare(file, info.input)[np.newaxis], self.finding)[0]
        drawn = coloured(found, grey.astype(np.float32), Scale.of_reader(info))
        return plain, _squared(np.rint(drawn).astype(np.uint8))


def _squared(picture: Pixels) -> Pixels:
    """Return a colour picture centred in a black square."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - only pictures need it

    return np.asarray(ImageOps.pad(Image.fromarray(picture), (_SIDE_PX, _SIDE_PX)))


def _reduced(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Pixels:
    """Return grey levels 0 to 255 reduced for the page; higher depths are scaled."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - only pictures need it

    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels, (0.5, 99.5))
        scaled = (pixels.astype(np.float32) - low) * (255 / max(high - low, 1))
        pixels = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    smaller = max(pixels.shape) > _SIDE_PX
    method = Image.Resampling.LANCZOS if smaller else Image.Resampling.BILINEAR
    return np.asarray(ImageOps.contain(Image.fromarray(pixels), (_SIDE_PX, _SIDE_PX), method))

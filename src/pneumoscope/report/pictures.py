"""Images for a page, with evidence if the reader provides it, and the section of errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.errors import ImageError
from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.scores import Scores
from pneumoscope.images.prepare import prepare
from pneumoscope.reader.evidence import evidence_caveat
from pneumoscope.reader.model_file.metadata import ModelInfo
from pneumoscope.reader.overlay import Scale, coloured
from pneumoscope.reader.prediction import probability_text
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.preprocess import native
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.figures.drawing import Cell, Drawing
from pneumoscope.report.figures.pictures import case_sheet
from pneumoscope.report.page import Section
from pneumoscope.report.tables import Pixels

_SIDE_PX = 320
SHOWN_MISTAKES = 8


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
        """The reader whose evidence is drawn below each image; None if none is drawn."""
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


def mistakes(
    found: Evaluation, scores: Scores, canvas: Canvas, pictures: Pictures | None
) -> list[Section]:
    """Return a sheet of the most confident errors, and a table of all errors.

    Args:
        found: The evaluation.
        scores: Scores of the images.
        canvas: Takes the files of the sheet and the table.
        pictures: Where the images are; None leaves the sheet out.
    """
    called = scores.probability >= found.threshold.value
    wrong = np.flatnonzero(called != (scores.label == 1))
    if not wrong.size:
        return [canvas.section("no_mistakes", n=len(scores))]
    sure = np.where(called, scores.log_odds, -scores.log_odds)
    ranked = wrong[np.argsort(-sure[wrong], kind="stable")]
    said = [probability_text(float(value)) for value in scores.probability]
    label = true_names(found, scores)
    predicted = [found.classes[int(own)] for own in called]
    rows = tuple((scores.path[row], label[row], predicted[row], said[row]) for row in ranked)
    cases = [
        Case(scores.path[row], label[row], f"predicted {predicted[row]} ({said[row]})")
        for row in worst_rows(ranked, called)
    ]
    info = pictures.reader if pictures else None
    kind, facts = "case_sheet", {}
    if info is not None:
        kind = "cases_with_evidence"
        facts = {"full": f"{Scale.of_reader(info).full:g}", "caveat": evidence_caveat(info)}
    sheet = pictures.sheet(cases, kind) if pictures else None
    section = canvas.about(f"{canvas.part}-images".strip("-"), **facts).section(
        "mistakes",
        figures={"mistakes": sheet},
        table=canvas.table("mistakes", (("image", "label", "conclusion", "probability"), rows)),
        n=len(scores),
        wrong=wrong.size,
        alarms=int(called[wrong].sum()),
        positive=found.classes[1],
    )
    return [section]


def true_names(found: Evaluation, scores: Scores) -> list[str]:
    """Return the name of each image's true class, or of its group where only that is known."""
    if scores.classes is None:
        return [found.classes[int(own)] for own in scores.label]
    names = scores.classes.labels.names
    return [names[own] for own in scores.classes.number]


def worst_rows(
    ranked: NDArray[np.intp], called: NDArray[np.bool_], *, shown: int = SHOWN_MISTAKES
) -> list[int]:
    """Return the errors to show: the most confident, balanced between both kinds.

    Args:
        ranked: Rows of all mistakes, the surest first.
        called: Whether each row was called positive.
        shown: How many at most.
    """
    kinds = [[int(row) for row in ranked if called[row] == kind] for kind in (False, True)]
    half = math.ceil(shown / 2)
    room = [max(half, shown - len(other)) for other in reversed(kinds)]
    chosen = {row for rows, most in zip(kinds, room, strict=True) for row in rows[:most]}
    return [int(row) for row in ranked if int(row) in chosen][:shown]

"""The scores of a reader: path, patient, label, logit and probability."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.data.catalog import PARTS
from pneumoscope.data.patients import Patient, patient_of
from pneumoscope.errors import DataError, LeakError, OptionError, in_words
from pneumoscope.evaluation.multiclass.scores import ClassScores
from pneumoscope.images.record import DICOM_COLUMNS, DicomRecord, dicom_cells
from pneumoscope.runs import rows_of, write_csv
from pneumoscope.stats.logistic import logistic

if TYPE_CHECKING:
    from numpy.typing import NDArray


COLUMNS = ("path", "patient", "label", "logit", "probability")
REFUSED = "refused"
"""The optional column for images that the gate rejects."""
MIXED = "mixed"
"""The part of scores with rows of several sets."""

_MAY_NOT_DECIDE = ("train", "test", "all", MIXED)
_FILE_NAME = re.compile(r"scores-(train|val|test|all)\.csv")
_SMALLEST = 1e-15
"""Probabilities are clipped to this distance from 0 and 1 before computing logits."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A reader's output for labelled images; all columns have n rows.

    Attributes:
        path: The file of each image.
        patient: The patient of each image.
        label: 1 for the positive class, or one of the positive classes, otherwise 0; int64.
        logit: Logit of the positive class; for several classes the log odds of ``probability``;
            float64.
        probability: Probability of the positive class, or of all positive classes, in [0, 1];
            float64.
        part: Part of the data: ``train``, ``val``, ``test``, ``all`` or ``mixed``; empty if the
            data have no parts.
        sha256: SHA-256 of each file; empty if unknown.
        model: SHA-256 of the model file; empty if unknown.
        refused: Whether the reader's gate rejects each image (which has a probability
            nevertheless); bool, None if unknown.
        dicom: Identity and rendering of each DICOM image, None for other formats; empty if there is
            no DICOM image, or if the scores come from a table.
        classes: The scores of each class, for a reader of more than two; otherwise None.
    """

    path: tuple[str, ...]
    patient: tuple[Patient, ...]
    label: NDArray[np.int64]
    logit: NDArray[np.float64]
    probability: NDArray[np.float64]
    part: str = ""
    sha256: tuple[str, ...] = ()
    model: str = ""
    refused: NDArray[np.bool_] | None = None
    dicom: tuple[DicomRecord | None, ...] = ()
    classes: ClassScores | None = None

    def __len__(self) -> int:
        return len(self.path)

    @property
    def decided_by(self) -> NDArray[np.float64]:
        """The input of a decision policy: ``probability``, or those of each class, [n, K]."""
        return self.probability if self.classes is None else self.classes.probabilities

    def with_classes(self, classes: ClassScores) -> Scores:
        """Return the scores with those of each class, and the positive group computed from them."""
        return replace(
            self,
            label=classes.label,
            logit=classes.log_odds,
            probability=classes.probability,
            classes=classes,
        )

    @property
    def patients_known(self) -> bool:
        """Whether the patient of every image is known; others count as separate patients."""
        return all(patient.known for patient in self.patient)

    @property
    def patient_numbers(self) -> NDArray[np.int64]:
        """The number of each row's patient, in order of first occurrence; [n]."""
        numbers: dict[Patient, int] = {}
        return np.array([numbers.setdefault(name, len(numbers)) for name in self.patient], np.int64)

    @property
    def log_odds(self) -> NDArray[np.float64]:
        """The logit of ``probability``, [n], as precise as the columns allow.

        A model's probability is the logistic function of a straight line of its logit (the
        calibration). If both columns agree with such a line, the line is used, since probabilities
        near 0 and 1 have few significant digits. Otherwise the probabilities are used, clipped to
        1e-15 from 0 and 1.
        """
        own = logit_of(self.probability)
        usable = (self.probability > 1e-4) & (self.probability < 1 - 1e-4)
        if not usable.any():
            usable = np.abs(logistic(self.logit) - self.probability) < 1e-6
            return self.logit if usable.all() else own
        x, y = self.logit[usable], own[usable]
        slope, bias = (1.0, 0.0) if np.allclose(x, y, atol=2e-3) else _line(x, y)
        line = slope * self.logit + bias
        fits = np.isfinite(line).all() and np.abs(logistic(line) - self.probability).max() < 1e-5
        return line if fits else own

    def select(self, rows: Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]) -> Scores:
        """Return some rows, by number or mask."""
        wanted = np.asarray(rows)
        chosen = np.arange(len(self))[wanted if wanted.size else wanted.astype(np.int64)]
        return replace(
            self,
            path=tuple(self.path[row] for row in chosen),
            patient=tuple(self.patient[row] for row in chosen),
            label=self.label[chosen],
            logit=self.logit[chosen],
            probability=self.probability[chosen],
            sha256=tuple(self.sha256[row] for row in chosen) if self.sha256 else (),
            refused=None if self.refused is None else self.refused[chosen],
            dicom=tuple(self.dicom[row] for row in chosen) if self.dicom else (),
            classes=self.classes and self.classes.select(chosen),
        )

    def save(self, path: Path) -> None:
        """Write the table as CSV, with numbers that round-trip.

        Further columns record the origin, if known: ``split`` (the part), ``sha256`` (of each
        file), ``model_sha256`` (of the model file) and ``refused`` (1 for images that the gate
        refuses, otherwise 0); for DICOM images also the columns of ``predict`` (``DICOM_COLUMNS``);
        for readers of more than two classes the scores of each class (see ``ClassScores.columns``).
        A copy of the table thus still shows the reader it belongs to, and whether it may be used
        for decisions.
        """
        n = len(self)
        columns: dict[str, Iterable[object]] = {
            "path": self.path,
            "patient": self.patient,
            "label": self.label.tolist(),
            "logit": map(repr, self.logit.tolist()),
            "probability": map(repr, self.probability.tolist()),
        }
        if self.part:
            columns["split"] = [self.part] * n
        if self.sha256:
            columns["sha256"] = self.sha256
        if self.model:
            columns["model_sha256"] = [self.model] * n
        if self.refused is not None:
            columns[REFUSED] = self.refused.astype(int).tolist()
        if self.classes is not None:
            columns |= self.classes.columns()
        if any(self.dicom):
            cells = zip(*map(dicom_cells, self.dicom), strict=True)
            columns |= dict(zip(DICOM_COLUMNS, cells, strict=True))
        write_csv(path, tuple(columns), zip(*columns.values(), strict=True))

    @classmethod
    def load(cls, path: Path, *, part: str | None = None) -> Scores:
        """Read scores from a CSV file, also from other software.

        ``label`` is required, and ``probability`` or ``logit``, from which the other is computed.
        Without ``path``, rows are identified by their number. Without ``patient``, the patient is
        taken from the file name, if it contains one; otherwise every image counts as a separate
        patient (``patients_known`` is then False). The part is taken from the column ``split``, or
        from the file name ``scores-PART.csv``.

        Args:
            path: The file.
            part: Only read the rows of this part.

        Raises:
            DataError: The file is missing, lacks a column, or contains an invalid value.
        """
        try:
            rows = rows_of(path)
        except (OSError, ValueError, csv.Error) as fault:
            raise DataError(
                f"{path}: not a readable scores file ({in_words(fault)}); {_EXPECTED}."
            ) from fault
        return cls.of_rows(path, rows, part=part)

    @classmethod
    def of_rows(
        cls, path: Path, rows: Sequence[Mapping[str, Any]], *, part: str | None = None
    ) -> Scores:
        """Return the scores of the rows of a table; see ``load``.

        Args:
            path: Source of the rows, for messages; its name may contain the part.
            rows: Values by column, as text or numbers.
            part: Only read the rows of this part.

        Raises:
            DataError: A column is missing, or a row contains an invalid value.
        """
        try:
            scores = _parsed(path, rows, part=part)
        except (KeyError, ValueError, TypeError) as fault:
            raise DataError(
                f"{path}: not a readable scores file ({in_words(fault)}); {_EXPECTED}."
            ) from fault
        if not rows:
            raise DataError(f"{path}: contains no scores; {_EXPECTED}.")
        if not (np.isin(scores.label, (0, 1)).all() and _in_unit(scores.probability)):
            raise DataError(f"{path}: labels must be 0 or 1 and probabilities from 0 to 1.")
        if np.isnan(scores.logit).any():
            raise DataError(f"{path}: a logit is not a number.")
        return scores


_EXPECTED = (
    f"expected columns: {', '.join(COLUMNS)} (path, patient, and one of the last two may be "
    "missing)"
)


def check_may_decide(scores: Scores, *, what: str) -> None:
    """Raise an error if scores are of training or test images, before decisions on them.

    Args:
        scores: The scores that the decision would be based on.
        what: The decision, such as "an operating point".

    Raises:
        LeakError: The scores are of the training or test set, or of several sets.
        DataError: There are no scores.
    """
    if scores.part in _MAY_NOT_DECIDE:
        raise LeakError(
            f"{what} must be chosen on validation images, but these scores are from the set "
            f"{scores.part!r}; use the scores of the validation set (scores-val.csv), or of "
            "your own images that the reader was not trained on."
        )
    if not len(scores):
        raise DataError(f"{what} needs scores, but there are none.")


def logit_of(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(p / (1 - p)), with p clipped to [1e-15, 1 - 1e-15]."""
    inside = np.clip(probability, _SMALLEST, 1 - _SMALLEST)
    odds: NDArray[np.float64] = np.log(inside) - np.log1p(-inside)
    return odds


def _column(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array(values, np.float64)


def _in_unit(values: NDArray[np.float64]) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _parsed(path: Path, rows: Sequence[Mapping[str, Any]], *, part: str | None) -> Scores:
    parts = [(row.get("split") or "").strip().lower() for row in rows]
    named = _FILE_NAME.fullmatch(path.name)
    if part is not None and not any(parts) and (named is None or named[1] != part):
        raise OptionError(
            "part", must=f"omitted, because {path.name} has no column 'split'", was=part
        )
    if part is not None and any(parts):
        rows = [row for row, name in zip(rows, parts, strict=True) if name == part]
        parts = [part] * len(rows)
        if not rows:
            raise OptionError("part", must=f"a set with rows in {path}", was=part)
    distinct = set(parts) - {""}
    own = next(iter(distinct)) if len(distinct) == 1 else MIXED if distinct else ""
    if own not in {*PARTS, "all", MIXED, ""}:
        own = ""
    paths = [row.get("path") or f"row {number}" for number, row in enumerate(rows, 1)]
    patients = [
        Patient.of((row.get("patient") or "").strip() or patient_of(name), name)
        for name, row in zip(paths, rows, strict=True)
    ]
    models = {(row.get("model_sha256") or "").strip() for row in rows}
    digests = tuple((row.get("sha256") or "").strip() for row in rows)
    label = np.array([int(row["label"]) for row in rows], np.int64)
    columns = rows[0].keys() if rows else COLUMNS
    if "probability" not in columns:
        logit = _column([float(row["logit"]) for row in rows])
        probability = logistic(logit)
    else:
        probability = _column([float(row["probability"]) for row in rows])
        given = "logit" in columns
        logit = _column([float(row["logit"]) for row in rows]) if given else logit_of(probability)
    return Scores(
        tuple(paths),
        tuple(patients),
        label,
        logit,
        probability,
        own or (named[1] if named else ""),
        digests if all(digests) else (),
        models.pop() if len(models) == 1 else "",
        _refused(rows) if REFUSED in columns else None,
        classes=ClassScores.of_rows(rows),
    )


def _refused(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.bool_]:
    words = [(row.get(REFUSED) or "").strip() for row in rows]
    if not set(words) <= {"0", "1"}:
        raise ValueError(f"the column {REFUSED!r} must be 0 or 1")
    return np.array([word == "1" for word in words], np.bool_)


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and bias of the least squares line; (1, 0) if x is constant."""
    spread = float(np.var(x))
    if spread == 0:
        return 1.0, 0.0
    slope = float(np.mean((x - x.mean()) * (y - y.mean()))) / spread
    return slope, float(y.mean() - slope * x.mean())

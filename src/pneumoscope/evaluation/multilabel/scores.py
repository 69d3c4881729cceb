"""The scores of a reader of several findings: a label, a logit and a probability of each."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.data.catalog import Catalog, Unreadable
from pneumoscope.data.columns import LABEL_OF, OF_A_CLASS
from pneumoscope.data.layouts.findings import UNLABELLED
from pneumoscope.errors import DataError, OptionError, in_words, nearest
from pneumoscope.evaluation.scores import REFUSED, Scores, logit_of
from pneumoscope.images.record import DICOM_COLUMNS, dicom_cells
from pneumoscope.runs import rows_of, write_csv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.data.patients import Patient
    from pneumoscope.images.record import DicomRecord
    from pneumoscope.parallel import Progress
    from pneumoscope.reader.predictor import Predictor

LOGIT, PROBABILITY = OF_A_CLASS
"""Prefixes of the columns of each finding, besides ``LABEL_OF``, before its name."""

_EXPECTED = (
    "expected columns: for each finding 'label NAME' (1, 0 or empty) and 'probability NAME'; "
    "optionally path, patient and 'logit NAME'"
)


@dataclass(frozen=True, slots=True, eq=False)
class FindingScores:
    """A reader's output for images with labels of some findings.

    Attributes:
        names: The F findings.
        labels: 1, 0, or -1 without a label; int8 [n, F].
        logits: Logits before calibration; float64 [n, F].
        probabilities: Probabilities; float64 [n, F].
        path: The files, [n].
        patient: The patient of each image, [n].
        part: As in ``Scores``.
        sha256: SHA-256 of each file; empty if unknown.
        model: SHA-256 of the model file; empty if unknown.
        refused: Whether the reader's gate rejects each image, bool [n]; None if unknown.
        dicom: As in ``Scores``.

    Raises:
        ValueError: The shapes do not match, or a label is invalid.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int8]
    logits: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    path: tuple[str, ...]
    patient: tuple[Patient, ...]
    part: str = ""
    sha256: tuple[str, ...] = ()
    model: str = ""
    refused: NDArray[np.bool_] | None = None
    dicom: tuple[DicomRecord | None, ...] = ()

    def __post_init__(self) -> None:
        wanted = (len(self.path), len(self.names))
        for name in ("labels", "logits", "probabilities"):
            if getattr(self, name).shape != wanted:
                raise ValueError(f"{name} {getattr(self, name).shape} for {wanted}")
        if not np.isin(self.labels, (0, 1, UNLABELLED)).all():
            raise ValueError("labels must be 1, 0 or -1")

    def __len__(self) -> int:
        return len(self.path)

    @property
    def patients_known(self) -> bool:
        """Whether the patient of every image is known."""
        return all(patient.known for patient in self.patient)

    @property
    def patient_numbers(self) -> NDArray[np.int64]:
        """The number of each row's patient, in order of first occurrence; [n]."""
        numbers: dict[Patient, int] = {}
        return np.array([numbers.setdefault(name, len(numbers)) for name in self.patient], np.int64)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether each finding has a label, [n, F]."""
        found: NDArray[np.bool_] = self.labels != UNLABELLED
        return found

    def of(self, name: str) -> Scores:
        """Return the scores of one finding for the images that have a label for it.

        Raises:
            OptionError: The finding does not exist.
        """
        if name not in self.names:
            hint = nearest(name, self.names)
            raise OptionError("finding", must="a finding of these scores", was=name, hint=hint)
        place = self.names.index(name)
        rows = np.flatnonzero(self.known[:, place])
        return Scores(
            tuple(self.path[row] for row in rows),
            tuple(self.patient[row] for row in rows),
            self.labels[rows, place].astype(np.int64),
            self.logits[rows, place],
            self.probabilities[rows, place],
            self.part,
            tuple(self.sha256[row] for row in rows) if self.sha256 else (),
            self.model,
            None if self.refused is None else self.refused[rows],
            tuple(self.dicom[row] for row in rows) if self.dicom else (),
        )

    def select(self, rows: NDArray[np.int64]) -> FindingScores:
        """Return some rows, in their order."""
        n = len(self)
        taken: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                taken[item.name] = value[rows]
            elif isinstance(value, tuple) and len(value) == n and item.name != "names":
                taken[item.name] = tuple(value[row] for row in rows)
        return replace(self, **taken)

    def save(self, path: Path) -> None:
        """Write the table as CSV, with numbers that round-trip; see ``load``.

        ``split``, ``sha256``, ``model_sha256`` and ``refused`` are as in ``Scores.save``.
        """
        n = len(self)
        columns: dict[str, Iterable[object]] = {"path": self.path, "patient": self.patient}
        for place, name in enumerate(self.names):
            own = self.labels[:, place].tolist()
            columns[LABEL_OF + name] = ["" if value < 0 else value for value in own]
        for begin, values in ((LOGIT, self.logits), (PROBABILITY, self.probabilities)):
            for place, name in enumerate(self.names):
                columns[begin + name] = map(repr, values[:, place].tolist())
        if self.part:
            columns["split"] = [self.part] * n
        if self.sha256:
            columns["sha256"] = self.sha256
        if self.model:
            columns["model_sha256"] = [self.model] * n
        if self.refused is not None:
            columns[REFUSED] = self.refused.astype(int).tolist()
        if any(self.dicom):
            cells = zip(*map(dicom_cells, self.dicom), strict=True)
            columns |= dict(zip(DICOM_COLUMNS, cells, strict=True))
        write_csv(path, tuple(columns), zip(*columns.values(), strict=True))

    @classmethod
    def load(cls, path: Path, *, part: str | None = None) -> FindingScores:
        """Read scores from a CSV file, also from other software.

        Each finding has the columns ``label NAME`` (1, 0, or empty without a label), and
        ``probability NAME`` or ``logit NAME``. The others are as in ``Scores.load``.

        Args:
            path: The file.
            part: Only read the rows of this part.

        Raises:
            DataError: The file is missing, lacks a column, or contains an invalid value.
        """
        try:
            rows = rows_of(path)
            return _parsed(path, rows, part=part)
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as fault:
            raise DataError(
                f"{path}: not a readable scores file ({in_words(fault)}); {_EXPECTED}."
            ) from fault


def align_findings(all_scores: Sequence[FindingScores]) -> list[FindingScores]:
    """Return the rows of the common images in the order of the first scores.

    Raises:
        DataError: There are no common images, or findings or labels differ.
    """
    first = all_scores[0]
    rows = [{path: row for row, path in enumerate(scores.path)} for scores in all_scores]
    shared = [path for path in first.path if all(path in known for known in rows)]
    if not shared:
        raise DataError("the readers have no images in common (column path).")
    aligned = [
        scores.select(np.array([known[path] for path in shared]))
        for scores, known in zip(all_scores, rows, strict=True)
    ]
    for scores in aligned[1:]:
        if scores.names != first.names or (scores.labels != aligned[0].labels).any():
            raise DataError("the readers' scores have other findings, or other labels.")
    return aligned


def holds_findings(path: Path) -> bool:
    """Return whether a CSV file has the columns of scores of several findings."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            columns = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return any(name.startswith(LABEL_OF) for name in columns)


def _parsed(path: Path, rows: Sequence[Mapping[str, Any]], *, part: str | None) -> FindingScores:
    columns = list(rows[0]) if rows else []
    names = tuple(name.removeprefix(LABEL_OF) for name in columns if name.startswith(LABEL_OF))
    if not rows or not names:
        raise DataError(f"{path}: contains no scores of findings; {_EXPECTED}.")
    # Other columns are read like those of scores of two classes.
    blank = [{**row, "label": "0", "logit": "0", "probability": "0.5"} for row in rows]
    about = Scores.of_rows(path, blank, part=part)
    if part is not None and len(about) < len(rows):
        rows = [row for row in rows if (row.get("split") or "").strip().lower() == part]
    labels = np.array([[_label(row[LABEL_OF + name]) for name in names] for row in rows], np.int8)
    logits, probabilities = (_table(rows, names, columns, begin) for begin in (LOGIT, PROBABILITY))
    if probabilities is None:
        if logits is None:
            raise KeyError(PROBABILITY + names[0])
        probabilities = 0.5 * (1 + np.tanh(logits / 2))
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise DataError(f"{path}: probabilities must be from 0 to 1.")
    logits = logit_of(probabilities) if logits is None else logits
    if np.isnan(logits).any():
        raise DataError(f"{path}: a logit is not a number.")
    return FindingScores(
        names,
        labels,
        logits,
        probabilities,
        about.path,
        about.patient,
        about.part,
        about.sha256,
        about.model,
        about.refused,
    )


def _label(text: str | None) -> int:
    """Return the label of a cell: 1, 0, or -1 for empty and uncertain cells."""
    value = (text or "").strip().casefold()
    if value in {"", "nan", "-1", "-1.0"}:
        return UNLABELLED
    number = float(value)
    if number not in {0.0, 1.0}:
        raise ValueError(f"a label is {text!r}")
    return int(number)


def _table(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], columns: Sequence[str], begin: str
) -> NDArray[np.float64] | None:
    if not all(begin + name in columns for name in names):
        return None
    return np.array([[float(row[begin + name]) for name in names] for row in rows], np.float64)


def score_findings(
    predictor: Predictor,
    catalog: Catalog,
    *,
    part: str = "",
    progress: Progress | None = None,
) -> tuple[FindingScores, tuple[Unreadable, ...]]:
    """Score the images of a catalog with a reader of findings; see ``scoring.score``.

    Raises:
        DataError: More than 5 % of the files could not be read.
        ValueError: The predictor is gated, so that images would be missing.
    """
    if predictor.gated:
        raise ValueError("scores need a reader with gated=False; they record what its gate rejects")
    predictions = []
    paths = [catalog.file(entry) for entry in catalog.entries]
    for done, prediction in enumerate(predictor.predict_many(paths), 1):
        predictions.append(prediction)
        if progress:
            progress(done, len(paths))
    bad = tuple(
        Unreadable(entry.path, prediction.error)
        for entry, prediction in zip(catalog.entries, predictions, strict=True)
        if prediction.error
    )
    readable = catalog.without(bad)
    read = [prediction for prediction in predictions if not prediction.error]
    logits, probabilities = (
        np.array(
            [[getattr(found, name) for found in prediction.findings] for prediction in read],
            np.float64,
        ).reshape(len(read), len(predictor.info.classes))
        for name in ("logit", "probability")
    )
    dicom = tuple(prediction.dicom for prediction in read)
    return (
        FindingScores(
            predictor.info.classes,
            readable.finding_labels,
            logits,
            probabilities,
            tuple(entry.path for entry in readable.entries),
            tuple(entry.patient for entry in readable.entries),
            part,
            tuple(entry.sha256 for entry in readable.entries),
            predictor.sha256,
            np.array([bool(prediction.refused) for prediction in read], np.bool_)
            if predictor.info.gate
            else None,
            dicom if any(dicom) else (),
        ),
        bad,
    )

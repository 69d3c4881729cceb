"""The only input to everything else in this room: path, patient, label, logit, probability."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.data.catalog import Catalog, Unreadable
from pneumoscope.errors import DataError
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import rows_of, write_csv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.parallel import Progress

COLUMNS = ("path", "patient", "label", "logit", "probability")


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a reader said of labelled images; all columns have n rows.

    Attributes:
        path: The files.
        patient: Whose they are.
        label: 1 for the positive class, else 0; int64.
        logit: Of the positive class; float64.
        probability: Of the positive class, in [0, 1]; float64.
    """

    path: tuple[str, ...]
    patient: tuple[str, ...]
    label: NDArray[np.int64]
    logit: NDArray[np.float64]
    probability: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.path)

    def save(self, path: Path) -> None:
        """Write the table as CSV; numbers are written so that they read back unchanged."""
        columns = (self.path, self.patient, self.label, self.logit, self.probability)
        write_csv(
            path,
            COLUMNS,
            (
                (name, patient, int(label), repr(float(logit)), repr(float(probability)))
                for name, patient, label, logit, probability in zip(*columns, strict=True)
            ),
        )

    @classmethod
    def load(cls, path: Path) -> Scores:
        """Return the scores of a CSV file.

        Raises:
            DataError: It is missing, lacks a column, or holds a value that cannot be.
        """
        try:
            rows = rows_of(path)
            scores = cls(
                tuple(row["path"] for row in rows),
                tuple(row["patient"] for row in rows),
                np.array([int(row["label"]) for row in rows], np.int64),
                np.array([float(row["logit"]) for row in rows], np.float64),
                np.array([float(row["probability"]) for row in rows], np.float64),
            )
        except (OSError, KeyError, ValueError, TypeError, csv.Error) as fault:
            raise DataError(
                f"{path}: no scores can be read from it ({fault!r}); "
                f"expected are the columns {', '.join(COLUMNS)}."
            ) from fault
        if not (np.isin(scores.label, (0, 1)).all() and _in_unit(scores.probability)):
            raise DataError(f"{path}: labels must be 0 or 1 and probabilities from 0 to 1.")
        return scores


def score(
    predictor: Predictor, catalog: Catalog, *, progress: Progress | None = None
) -> tuple[Scores, tuple[Unreadable, ...]]:
    """Return what a reader says of the images of a catalog, from their files on.

    Returns:
        The scores in the catalog's order, and the files that could not be read, which have none.

    Raises:
        DataError: More than 5 % of the files could not be read.
    """
    said = []
    paths = [catalog.file(entry) for entry in catalog.entries]
    for done, prediction in enumerate(predictor.predict_many(paths), 1):
        said.append(prediction)
        if progress:
            progress(done, len(paths))
    bad = [
        Unreadable(entry.path, prediction.error)
        for entry, prediction in zip(catalog.entries, said, strict=True)
        if prediction.error
    ]
    readable = catalog.without(bad)
    read = [prediction for prediction in said if not prediction.error]
    return (
        Scores(
            tuple(entry.path for entry in readable.entries),
            tuple(entry.patient for entry in readable.entries),
            readable.labels,
            _column([prediction.logit for prediction in read]),
            _column([prediction.probability for prediction in read]),
        ),
        tuple(bad),
    )


def _column(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array(values, np.float64)


def _in_unit(values: NDArray[np.float64]) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())

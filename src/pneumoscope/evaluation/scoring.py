"""Score the images of a catalog with a reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.data.entries import Unreadable
from pneumoscope.evaluation.multiclass.scores import ClassScores
from pneumoscope.evaluation.scores import Scores

if TYPE_CHECKING:
    from pneumoscope.data.catalog import Catalog
    from pneumoscope.parallel import Progress
    from pneumoscope.reader.prediction import Prediction
    from pneumoscope.reader.predictor import Predictor


def score(
    predictor: Predictor,
    catalog: Catalog,
    *,
    part: str = "",
    progress: Progress | None = None,
) -> tuple[Scores, tuple[Unreadable, ...]]:
    """Score the images of a catalog, read from their files.

    Args:
        predictor: The reader, without refusals (``gated=False``); the scores record which images
            its gate rejects.
        catalog: The images.
        part: Part of the data.
        progress: Called as images are read.

    Returns:
        The scores in the order of the catalog, and the files that could not be read, which have
            none.

    Raises:
        DataError: More than 5 % of the files could not be read.
        ValueError: The predictor is gated, so that images would be missing.
    """
    if predictor.gated:
        raise ValueError(
            "scores need a reader with gated=False; the column refused records what the gate "
            "refuses"
        )
    predictions = []
    paths = [catalog.file(entry) for entry in catalog.entries]
    for done, prediction in enumerate(predictor.predict_many(paths), 1):
        predictions.append(prediction)
        if progress:
            progress(done, len(paths))
    bad = [
        Unreadable(entry.path, prediction.error)
        for entry, prediction in zip(catalog.entries, predictions, strict=True)
        if prediction.error
    ]
    readable = catalog.without(bad)
    read = [prediction for prediction in predictions if not prediction.error]
    dicom = tuple(prediction.dicom for prediction in read)
    return (
        _with_classes(
            Scores(
                tuple(entry.path for entry in readable.entries),
                tuple(entry.patient for entry in readable.entries),
                readable.labels,
                np.array([prediction.logit for prediction in read], np.float64),
                np.array([prediction.probability for prediction in read], np.float64),
                part,
                tuple(entry.sha256 for entry in readable.entries),
                predictor.sha256,
                np.array([bool(prediction.refused) for prediction in read], np.bool_)
                if predictor.info.gate
                else None,
                dicom if any(dicom) else (),
            ),
            readable,
            read,
        ),
        tuple(bad),
    )


def _with_classes(scores: Scores, catalog: Catalog, read: Sequence[Prediction]) -> Scores:
    """Return scores with those of each class, if there are more than two."""
    if len(catalog.classes) == 2 or not read:
        return scores
    logits, probabilities = (
        np.array([getattr(one, name) for one in read], np.float64)
        for name in ("logits", "probabilities")
    )
    number = catalog.class_numbers
    return replace(scores, classes=ClassScores(catalog.label_space, number, logits, probabilities))

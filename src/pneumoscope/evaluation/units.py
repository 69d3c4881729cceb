"""Aggregate scores of images to studies or patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from pneumoscope.data.patients import Patient
from pneumoscope.errors import DataError, one_of
from pneumoscope.evaluation.multiclass.scores import ClassScores
from pneumoscope.evaluation.scores import logit_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.scores import Scores

UNITS: Final = ("image", "study", "patient")
"""Units of evaluation."""

AGGREGATES: Final = ("mean", "max")
"""Methods of aggregating the probabilities of a unit's images."""

_SHOWN = 5


def unit_of_images(
    scores: Scores, *, per: str, study: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the study or the patient of each image.

    Args:
        scores: Scores of the images.
        per: ``study`` or ``patient``.
        study: Path → study.

    Raises:
        OptionError: ``per`` has another value.
        DataError: The study or the patient of an image is unknown.
    """
    one_of("per", per, UNITS)
    if per == "image":
        return scores.path
    if per == "patient":
        if not scores.patients_known:
            raise DataError(
                "the patient of some images is unknown; add a column patient, or set "
                "`columns=path=…,label=…,patient=…`."
            )
        return tuple(patient.name for patient in scores.patient)
    studies = [(study or {}).get(path, "") for path in scores.path]
    missing = [path for path, name in zip(scores.path, studies, strict=True) if not name]
    if missing:
        raise DataError(
            f"the study of {len(missing):,} of {len(scores):,} images, such as {missing[0]}, is "
            "unknown; add a column study, or set `columns=path=…,label=…,study=…`."
        )
    return tuple(
        f"{patient.name}/{name}" if patient.known else name
        for name, patient in zip(studies, scores.patient, strict=True)
    )


def aggregated(scores: Scores, unit: Sequence[str], *, how: str = "mean") -> Scores:
    """Return one row per study or patient: label, patient and probability (of each class).

    Probabilities are aggregated, not logits: they are calibrated and bounded, so that one image
    with an extreme logit does not outweigh the others. The maximum is the same for both. The logit
    is that of the aggregated probability, and ``path`` is the unit.

    Args:
        scores: Scores of n images.
        unit: The unit of each image, [n].
        how: ``mean`` or ``max``.

    Returns:
        Scores in the order of the units' first images. Images of unknown patients in the same unit
            count as one patient.

    Raises:
        OptionError: ``how`` has another value.
        DataError: A unit has images of both classes, or of several patients.
    """
    one_of("aggregate", how, AGGREGATES)
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(unit):
        rows.setdefault(name, []).append(row)
    _check_labels(scores, rows)
    combine = np.mean if how == "mean" else np.max
    probability: NDArray[np.float64] = np.array(
        [combine(scores.probability[own]) for own in rows.values()], np.float64
    )
    return replace(
        scores,
        path=tuple(rows),
        patient=tuple(_patient(scores, name, own) for name, own in rows.items()),
        label=np.array([scores.label[own[0]] for own in rows.values()], np.int64),
        logit=logit_of(probability),
        probability=probability,
        sha256=(),
        refused=None,  # the gate only applies to images
        dicom=(),
        classes=_classes(scores, list(rows.values())) if how == "mean" else None,
    )


def _classes(scores: Scores, rows: Sequence[Sequence[int]]) -> ClassScores | None:
    """Return the mean probabilities of units; None if a unit has images of several classes.

    The maxima of the class probabilities would not sum to 1.
    """
    own = scores.classes
    if own is None or any(len(set(own.number[list(unit)].tolist())) > 1 for unit in rows):
        return None
    means = np.stack([own.probabilities[list(unit)].mean(axis=0) for unit in rows])
    number = np.array([own.number[unit[0]] for unit in rows], np.int64)
    return ClassScores(own.labels, number, np.log(np.maximum(means, 1e-45)), means)


def shared_columns(
    columns: Mapping[str, Mapping[str, str]], paths: Sequence[str], unit: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return columns by study or patient; differing values become ``several``.

    Args:
        columns: Name → path → value.
        paths: Paths of the images, [n].
        unit: The unit of each image, [n].
    """
    found: dict[str, dict[str, str]] = {}
    for column, values in columns.items():
        own: dict[str, str] = {}
        for path, name in zip(paths, unit, strict=True):
            value = values.get(path, "")
            own[name] = value if own.get(name, value) == value else "several"
        found[column] = own
    return found


def _check_labels(scores: Scores, rows: Mapping[str, Sequence[int]]) -> None:
    mixed = [name for name, own in rows.items() if len(set(scores.label[list(own)].tolist())) > 1]
    if not mixed:
        return
    shown = "\n".join(
        f"  {name}: "
        + ", ".join(f"{scores.path[row]} ({scores.label[row]})" for row in rows[name][:4])
        for name in mixed[:_SHOWN]
    )
    more = f"\n  and {len(mixed) - _SHOWN} more" if len(mixed) > _SHOWN else ""
    raise DataError(
        f"{len(mixed)} of {len(rows)} have images of both classes and therefore no single "
        f"label; use `per=study` or `per=image`, or correct the labels:\n{shown}{more}"
    )


def _patient(scores: Scores, name: str, rows: Sequence[int]) -> Patient:
    known = {scores.patient[row] for row in rows if scores.patient[row].known}
    if len(known) > 1:
        raise DataError(f"study {name} has images of {len(known)} patients.")
    return known.pop() if known else Patient(name, known=False)

"""Generated scores."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pneumoscope.data.patients import Patient
from pneumoscope.evaluation.scores import Scores


def people(names: Iterable[str]) -> tuple[Patient, ...]:
    """Return known patients of these names."""
    return tuple(map(Patient, names))


def make_scores(
    n: int = 300,
    *,
    seed: int = 0,
    per_patient: float = 1.0,
    separation: float = 2.0,
    slope: float = 1.0,
    digits: int | None = None,
    part: str = "val",
) -> Scores:
    """Return scores of patients with one or several images; few digits give ties."""
    generator = np.random.default_rng(seed)
    patient = np.arange(n)
    if per_patient != 1.0:
        patient = np.sort(generator.integers(0, round(n / per_patient), n))
    count = int(patient.max()) + 1
    ill = generator.permutation(count) < count / 2  # both classes are always present
    label = ill[patient].astype(np.int64)
    own = 0.0 if per_patient == 1.0 else generator.normal(size=count)[patient]
    logit = slope * (separation * (label - 0.5) + generator.normal(size=n) + own)
    if digits is not None:
        logit = np.round(logit, digits)
    return Scores(
        tuple(f"image-{row}.png" for row in range(n)),
        people(f"patient-{number}" for number in patient),
        label,
        logit,
        1 / (1 + np.exp(-logit)),
        part,
    )

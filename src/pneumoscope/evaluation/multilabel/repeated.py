"""Compare two recipes for several findings, trained with the same seeds, by means over findings.

The intervals are those of ``evaluation.repeated``, over patients and seeds. The variance over
patients is that of the mean of the findings' influences: a patient's images count for every finding
that they have a label of, so that the correlation between findings is included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.evaluation.repeated import Contrast, Runs, contrast
from pneumoscope.stats.areas import area_influences
from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mean_area_contrast(
    first: Runs,
    second: Runs,
    *,
    labels: NDArray[np.int8],
    patient: NDArray[np.int64],
    level: float = LEVEL,
) -> Contrast:
    """Return the difference in the mean AUC over findings of runs paired by seed.

    Findings whose labelled images do not include two patients with and two without it are left out.

    Args:
        first: Runs of one recipe.
        second: Runs of another recipe, with the same seeds in the same order.
        labels: 1, 0, or -1 without a label; [n, F].
        patient: Number of each image's patient from 0, [n].
        level: Confidence level.
    """
    seeds, people = len(first.logits), int(patient.max(initial=-1)) + 1
    values, influences = [], []
    for place in range(labels.shape[1]):
        rows = np.flatnonzero(labels[:, place] >= 0)
        found = area_influences(
            labels[rows, place].astype(np.int64),
            [logits[rows, place] for logits in (*first.logits, *second.logits)],
            patient=patient[rows],
            count=people,
        )
        if found is not None:
            values.append(found.values)
            influences.append(found.positive + found.negative)
    if not values:
        return Contrast(None, None, None, None, None, (), 0, level)
    mean, influence = np.mean(values, axis=0), np.mean(influences, axis=0)
    difference = (influence[:seeds] - influence[seeds:]).mean(0)
    variance = float((difference**2).sum()) * people / (people - 1)
    return contrast(mean[:seeds] - mean[seeds:], variance, patients=people, level=level)


def mean_accuracy_contrast(
    first: Runs,
    second: Runs,
    *,
    labels: NDArray[np.int8],
    patient: NDArray[np.int64],
    level: float = LEVEL,
) -> Contrast:
    """Return the difference in the mean accuracy over findings; see ``mean_area_contrast``.

    Findings without a labelled image are left out.
    """
    people = int(patient.max(initial=-1)) + 1
    each, influences = [], []
    for place in range(labels.shape[1]):
        rows = np.flatnonzero(labels[:, place] >= 0)
        if not len(rows):
            continue
        by_seed = np.array(
            [
                a[rows, place].astype(float) - b[rows, place]
                for a, b in zip(first.right, second.right, strict=True)
            ]
        )
        image = by_seed.mean(0)
        each.append(by_seed.mean(1))
        influences.append(np.bincount(patient[rows], image - image.mean(), people) / len(rows))
    if not each:
        return Contrast(None, None, None, None, None, (), 0, level)
    influence = np.mean(influences, axis=0)
    variance = float((influence**2).sum())
    if people > 1:
        variance *= people / (people - 1)
    return contrast(np.mean(each, axis=0), variance, patients=people, level=level)

"""Proportions of images, with intervals by patient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.evaluation.bootstrap import block_size, draw_counts, percentiles
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.stats.intervals import LEVEL, WILSON_PATIENTS, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


def share(
    hits: Mask,
    of: Mask,
    patient: NDArray[np.int64],
    *,
    draws: NDArray[np.float64] | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Return a proportion of images; undefined if there are none.

    If each patient has one image, the interval is Wilson's. If patients have several images, which
    are correlated, the interval is by resampling patients; if that has zero width (100 of 100), or
    without resampling, it is Wilson's with the number of patients. Intervals by other methods are
    in ``also``.

    Args:
        hits: Whether each image counts in the numerator, [n].
        of: Whether each image counts in the denominator, [n].
        patient: Number of each image's patient, [n].
        draws: The share in resamples of the patients; the result of ``share_draws``.
        level: Confidence level.
    """
    count, total = int((hits & of).sum()), int(of.sum())
    if not total:
        return Estimate(None, 0)
    value, plain = count / total, wilson(count, total, level=level)
    by_patient = percentiles(draws, level=level)
    people = len(np.unique(patient[of]))
    if people == total:
        return Estimate.of(value, total, plain, by_patient)
    if by_patient is None or by_patient.low == by_patient.high:
        fewer = wilson(value * people, people, level=level, method=WILSON_PATIENTS)
        return Estimate.of(value, total, fewer, plain)
    return Estimate.of(value, total, by_patient, plain)


def share_draws(
    hits: Mask, of: Mask, patient: NDArray[np.int64], *, resamples: int, seed: int = 0
) -> NDArray[np.float64] | None:
    """Return the proportion in resamples by patient, [resamples]; None if there are none.

    The draws are those of ``resampled``, so that shares and metrics vary together.
    """
    found = many_share_draws([(hits, of)], patient, resamples=resamples, seed=seed)
    return None if found is None else found[:, 0]


def many_share_draws(
    pairs: Sequence[tuple[Mask, Mask]],
    patient: NDArray[np.int64],
    *,
    resamples: int,
    seed: int = 0,
) -> NDArray[np.float64] | None:
    """Return several shares in the same resamples of the patients, [resamples, shares].

    Args:
        pairs: Numerators and denominators, [n] each.
        patient: Number of each image's patient, [n].
        resamples: Number of resamples; 0 gives None.
        seed: Seed of the resampling.
    """
    if not resamples or not pairs:
        return None
    people = int(patient.max(initial=-1)) + 1
    masks = [hits & of for hits, of in pairs] + [of for _, of in pairs]
    sums = np.stack([np.bincount(patient, mask, people) for mask in masks], axis=1)
    found = [
        counts @ sums
        for counts in draw_counts(
            people, resamples=resamples, seed=seed, block=block_size(len(patient))
        )
    ]
    hit, total = np.split(np.concatenate(found), 2, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: NDArray[np.float64] = hit / total
    return ratio

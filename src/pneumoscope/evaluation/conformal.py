"""Which images to set aside: class-conditional split conformal prediction.

For each class the probabilities that validation images of that class got tell how low the
probability of the true class may be. An image's prediction set holds each class that is not below
that. Of new images like the validation ones, at most the error level have a set without their true
class, in each class separately (Vovk, ACML 2012, "conditional validity"). An image whose set is not
exactly one class is UNCERTAIN: both classes are credible, or none is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.scores import check_may_decide
from pneumoscope.evaluation.shares import share, share_draws
from pneumoscope.reader.conformal import Conformal
from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.scores import Scores

UNCERTAIN = "UNCERTAIN"
ERROR_LEVEL = 0.1


@dataclass(frozen=True, slots=True)
class Coverage:
    """How prediction sets fare on labelled images.

    Attributes:
        coverage: Share of images whose set holds their true class.
        coverage_negative: The same of negative images.
        coverage_positive: The same of positive images.
        set_aside: Share of images that are UNCERTAIN.
        accuracy_of_the_rest: Share of right conclusions among the others.
    """

    coverage: Estimate
    coverage_negative: Estimate
    coverage_positive: Estimate
    set_aside: Estimate
    accuracy_of_the_rest: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return {name: getattr(self, name).to_dict() for name in self.__slots__}


def fit_conformal(scores: Scores, *, level: float = ERROR_LEVEL) -> Conformal:
    """Return the quantiles that validation scores give.

    The quantile of a class with n images is the ⌈(n + 1)(1 - level)⌉-th smallest of one minus the
    probability of the true class. Where n is too small for that (fewer than 1 / level - 1), the
    class is always credible: its quantile is 1.

    Raises:
        OptionError: The level is not between 0 and 1.
        LeakError: The scores are of training or test images.
        DataError: A class is missing.
    """
    if not 0 < level < 1:
        raise OptionError("the error level", must="between 0 and 1, such as 0.1", was=level)
    check_may_decide(scores, what="an uncertain zone")
    quantiles, counts = [], []
    for label in (0, 1):
        chosen = scores.probability[scores.label == label]
        if not len(chosen):
            raise DataError("an uncertain zone needs images of both classes; one is missing.")
        strangeness = np.sort(chosen if label == 0 else 1 - chosen)
        rank = math.ceil((len(chosen) + 1) * (1 - level) - 1e-9)
        quantiles.append(float(strangeness[rank - 1]) if rank <= len(chosen) else 1.0)
        counts.append(len(chosen))
    return Conformal(level, (quantiles[0], quantiles[1]), (counts[0], counts[1]))


def coverage(
    conformal: Conformal,
    scores: Scores,
    *,
    level: float = LEVEL,
    resamples: int = 0,
    seed: int = 0,
) -> Coverage:
    """Return how the prediction sets fare on labelled images, with intervals by patient.

    Args:
        conformal: The sets.
        scores: Of the images.
        level: Confidence level.
        resamples: Of the patients; 0 leaves the intervals to closed forms.
        seed: Of the resampling.

    Raises:
        DataError: There are no scores.
    """
    if not len(scores):
        raise DataError("there are no images to measure coverage on.")
    sets = conformal.sets(scores.probability)
    covered = sets[np.arange(len(scores)), scores.label]
    aside = sets.sum(axis=1) != 1
    right = covered & ~aside
    positive = scores.label == 1

    patient = scores.patient_numbers

    def part(hits: NDArray[np.bool_], of: NDArray[np.bool_]) -> Estimate:
        draws = share_draws(hits, of, patient, resamples=resamples, seed=seed)
        return share(hits, of, patient, draws=draws, level=level)

    everything = np.ones(len(scores), bool)
    return Coverage(
        part(covered, everything),
        part(covered, ~positive),
        part(covered, positive),
        part(aside, everything),
        part(right, ~aside),
    )

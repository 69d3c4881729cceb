"""Coverage and size of prediction sets, and the conclusions from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.evaluation.bootstrap import RESAMPLES
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.shares import many_share_draws, share
from pneumoscope.reader.policy import NEGATIVE_CODE, POSITIVE_CODE, UNCERTAIN_CODE
from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.multiclass.scores import ClassScores
    from pneumoscope.reader.policy import DecisionPolicy


@dataclass(frozen=True, slots=True)
class SetNumbers:
    """The coverage and size of prediction sets, before the gate.

    Attributes:
        error_level: The error level: the maximum share of each class whose set lacks the true
            class; None for a policy without sets, which always concludes one class.
        coverage: Share of images whose set contains the true class.
        coverage_by_class: The same for the images of each class.
        sizes: Share of images with one plausible class, with two, and so on up to K.
        named: Share of images for which one class is concluded.
        kind_uncertain: Share for which a group is concluded, but its kind is uncertain.
        uncertain: Share that is UNCERTAIN.
        right: Among images for which one class is concluded, the share of correct ones.
    """

    error_level: float | None
    coverage: Estimate
    coverage_by_class: tuple[Estimate, ...]
    sizes: tuple[Estimate, ...]
    named: Estimate
    kind_uncertain: Estimate
    uncertain: Estimate
    right: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; each share as ``Estimate.to_dict`` gives it."""
        return {
            "error_level": self.error_level,
            "coverage": self.coverage.to_dict(),
            "coverage_by_class": [one.to_dict() for one in self.coverage_by_class],
            "sizes": [one.to_dict() for one in self.sizes],
            "named": self.named.to_dict(),
            "kind_uncertain": self.kind_uncertain.to_dict(),
            "uncertain": self.uncertain.to_dict(),
            "right": self.right.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SetNumbers:
        """Return the numbers written by ``to_dict``.

        Raises:
            KeyError, TypeError: A field is missing or has the wrong type.
        """

        def one(name: str) -> Estimate:
            return Estimate.from_dict(values[name])

        return cls(
            values["error_level"],
            one("coverage"),
            tuple(map(Estimate.from_dict, values["coverage_by_class"])),
            tuple(map(Estimate.from_dict, values["sizes"])),
            one("named"),
            one("kind_uncertain"),
            one("uncertain"),
            one("right"),
        )


def set_numbers(
    policy: DecisionPolicy,
    scores: ClassScores,
    patient: NDArray[np.int64],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> SetNumbers:
    """Evaluate the prediction sets of a policy, with intervals by patient.

    Args:
        policy: The decision policy of the reader.
        scores: Scores of labelled images.
        patient: Number of each image's patient, [n].
        level: Confidence level.
        resamples: Number of resamples of the patients; 0 uses closed-form intervals only.
        seed: Seed of the resampling.
    """
    code, possible, _ = policy.decide_many(scores.probabilities)
    n, classes = possible.shape
    everything = np.ones(n, bool)
    covered = possible[np.arange(n), scores.number]
    size = possible.sum(axis=1)
    named = code >= 0
    kind = (code == POSITIVE_CODE) | (code == NEGATIVE_CODE)
    pairs = [(covered, everything)]
    pairs += [(covered, scores.number == k) for k in range(classes)]
    pairs += [(size == k + 1, everything) for k in range(classes)]
    pairs += [(of, everything) for of in (named, kind, code == UNCERTAIN_CODE)]
    pairs.append((code == scores.number, named))
    draws = many_share_draws(pairs, patient, resamples=resamples, seed=seed)
    found = [
        share(hits, of, patient, draws=None if draws is None else draws[:, place], level=level)
        for place, (hits, of) in enumerate(pairs)
    ]
    return SetNumbers(
        None if policy.conformal is None else policy.conformal.level,
        found[0],
        tuple(found[1 : 1 + classes]),
        tuple(found[1 + classes : 1 + 2 * classes]),
        *found[1 + 2 * classes :],
    )

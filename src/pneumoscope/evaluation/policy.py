"""Evaluate a decision policy: at the threshold alone, and as deployed.

"As deployed" means as in ``predict``: images in the uncertain zone and images that the gate rejects
are set aside, and only the others have a conclusion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pneumoscope.errors import DataError
from pneumoscope.evaluation.bootstrap import RESAMPLES
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.shares import share, share_draws
from pneumoscope.reader.policy import (
    NEGATIVE_CODE,
    POSITIVE_CODE,
    REFUSED_CODE,
    UNCERTAIN_CODE,
)
from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.reader.policy import DecisionPolicy

    Mask = NDArray[np.bool_]


class _Shares:
    """Named proportions of images."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return each proportion as ``Estimate.to_dict`` does."""
        return {field.name: getattr(self, field.name).to_dict() for field in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the proportions written by ``to_dict``.

        Raises:
            KeyError, TypeError: A field is missing or has the wrong type.
        """
        return cls(*(Estimate.from_dict(values[field.name]) for field in fields(cls)))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class AtThreshold(_Shares):
    """The performance of the threshold alone, on all images.

    Attributes:
        sensitivity: Share of positive images that are called positive.
        specificity: Share of negative images that are called negative.
        accuracy: Share of images that are classified correctly.
    """

    sensitivity: Estimate
    specificity: Estimate
    accuracy: Estimate


@dataclass(frozen=True, slots=True)
class Deployed(_Shares):
    """The performance with the uncertain zone and the gate.

    Attributes:
        set_aside: Share of images without a conclusion, UNCERTAIN or refused.
        uncertain: Share of images that are UNCERTAIN.
        uncertain_negative: The same among negative images.
        uncertain_positive: The same among positive images.
        refused: Share of images that the gate rejects; undefined if unknown.
        refused_negative: The same among negative images.
        refused_positive: The same among positive images.
        sensitivity: Among positive images with a conclusion, the share of positive conclusions.
        specificity: Among negative images with a conclusion, the share of negative conclusions.
        accuracy: Among images with a conclusion, the share of correct ones.
        error: Among images with a conclusion, the share of wrong ones.
        detected: Among all positive images, the share of positive conclusions: the sensitivity if
            images that are set aside count as not detected.
        missed: Among all positive images, the share of negative conclusions; the error level of the
            zone is an upper bound of it for images similar to the validation images.
        false_alarms: Among all negative images, the share of positive conclusions; bounded in the
            same way.
    """

    set_aside: Estimate
    uncertain: Estimate
    uncertain_negative: Estimate
    uncertain_positive: Estimate
    refused: Estimate
    refused_negative: Estimate
    refused_positive: Estimate
    sensitivity: Estimate
    specificity: Estimate
    accuracy: Estimate
    error: Estimate
    detected: Estimate
    missed: Estimate
    false_alarms: Estimate


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """The performance of a decision policy on labelled images.

    Attributes:
        n: Number of images.
        patients: Number of patients.
        threshold: Probability at or above which the conclusion is the positive class.
        rule: Rule that chose the threshold.
        error_level: Error level of the uncertain zone: the maximum share of each class that is
            concluded to be the other class. None without a zone.
        zone: The probabilities between which an image is UNCERTAIN; None if there are none.
        gate_known: Whether it is known which images the gate rejects.
        at_threshold: The threshold alone, on all images.
        deployed: With the uncertain zone and the gate.
    """

    n: int
    patients: int
    threshold: float
    rule: str
    error_level: float | None
    zone: tuple[float, float] | None
    gate_known: bool
    at_threshold: AtThreshold
    deployed: Deployed

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON values; numbers as ``Estimate.to_dict`` does."""
        return {
            "n": self.n,
            "patients": self.patients,
            "threshold": self.threshold,
            "rule": self.rule,
            "error_level": self.error_level,
            "zone": None if self.zone is None else list(self.zone),
            "gate_known": self.gate_known,
            "at_threshold": self.at_threshold.to_dict(),
            "deployed": self.deployed.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PolicyResult:
        """Return the result written by ``to_dict``.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or invalid.
        """
        zone = values["zone"]
        return cls(
            values["n"],
            values["patients"],
            values["threshold"],
            values["rule"],
            values["error_level"],
            None if zone is None else (float(zone[0]), float(zone[1])),
            values["gate_known"],
            AtThreshold.from_dict(values["at_threshold"]),
            Deployed.from_dict(values["deployed"]),
        )


SUMMARY = ("set_aside", "uncertain", "refused", "sensitivity", "specificity", "error")
"""The metrics of ``Deployed`` that a model file contains."""


def summary(policy: DecisionPolicy, scores: Scores) -> dict[str, Any]:
    """Return the performance as deployed, as stored in a model file under ``reference.policy``.

    Each metric is a share with its interval, as in an evaluation; undefined metrics are omitted.

    Args:
        policy: The decision policy of the reader.
        scores: Scores of the images that the policy was chosen on.

    Raises:
        DataError: There are no scores.
    """
    found = evaluate_policy(policy, scores)
    numbers = {name: getattr(found.deployed, name) for name in SUMMARY}
    return {
        "part": scores.part or "unknown",
        "n": found.n,
        "patients": found.patients,
        **{
            name: {"value": one.value, "low": one.low, "high": one.high, "n": one.n}
            for name, one in numbers.items()
            if one.value is not None
        },
    }


def evaluate_policy(
    policy: DecisionPolicy,
    scores: Scores,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PolicyResult:
    """Evaluate a decision policy on scores, with intervals by patient.

    Args:
        policy: The decision policy of the reader.
        scores: Scores of labelled images, and which of them the gate rejects; if that is unknown
            (``Scores.refused`` is None), the gate is ignored.
        level: Confidence level of the intervals.
        resamples: Number of resamples of the patients; 0 uses closed-form intervals only.
        seed: Seed of the resampling.

    Raises:
        DataError: There are no scores.
    """
    if not len(scores):
        raise DataError("there are no images to evaluate.")
    outcomes = policy.decide_many(scores.decided_by, scores.refused)
    patient = scores.patient_numbers
    inside = np.array(policy.labels.is_positive)
    positive = scores.label == 1

    def part(hits: Mask, of: Mask) -> Estimate:
        draws = share_draws(hits, of, patient, resamples=resamples, seed=seed)
        return share(hits, of, patient, draws=draws, level=level)

    called = inside[outcomes.at_threshold]
    return PolicyResult(
        len(scores),
        int(patient.max()) + 1,
        policy.threshold,
        policy.operating_point.rule,
        None if policy.conformal is None else policy.conformal.level,
        policy.zone,
        scores.refused is not None,
        AtThreshold(
            sensitivity=part(called, positive),
            specificity=part(~called, ~positive),
            accuracy=part(called == positive, np.ones(len(scores), bool)),
        ),
        _deployed(outcomes.code, inside, positive, part, gate_known=scores.refused is not None),
    )


def _deployed(
    code: NDArray[np.int64],
    inside: Mask,
    positive: Mask,
    part: Callable[[Mask, Mask], Estimate],
    *,
    gate_known: bool,
) -> Deployed:
    everything = np.ones(len(code), bool)
    named = code >= 0
    concluded = named | (code == POSITIVE_CODE) | (code == NEGATIVE_CODE)
    called = (named & inside[np.maximum(code, 0)]) | (code == POSITIVE_CODE)
    cleared = concluded & ~called
    uncertain, refused = code == UNCERTAIN_CODE, code == REFUSED_CODE

    def gate(of: Mask) -> Estimate:
        return part(refused, of) if gate_known else Estimate(None, 0)

    return Deployed(
        set_aside=part(~concluded, everything),
        uncertain=part(uncertain, everything),
        uncertain_negative=part(uncertain, ~positive),
        uncertain_positive=part(uncertain, positive),
        refused=gate(everything),
        refused_negative=gate(~positive),
        refused_positive=gate(positive),
        sensitivity=part(called, positive & concluded),
        specificity=part(cleared, ~positive & concluded),
        accuracy=part(called == positive, concluded),
        error=part(called != positive, concluded),
        detected=part(called, positive),
        missed=part(cleared, positive),
        false_alarms=part(called, ~positive),
    )

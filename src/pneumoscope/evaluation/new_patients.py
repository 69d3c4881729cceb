"""Expected performance on new patients, estimated by holding out each group of the data in turn.

Every group is scored by a model that was trained on the other groups and whose threshold,
calibration and uncertain zone were chosen on the other groups. The result is compared with the
performance of the same model on a validation block of the other groups' patients: the difference is
the optimism of such a validation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.numbers import numbers_of
from pneumoscope.evaluation.policy import evaluate_policy
from pneumoscope.stats.intervals import LEVEL, normal_quantile
from pneumoscope.stats.random_effects import random_effects

if TYPE_CHECKING:
    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.reader.policy import DecisionPolicy

NUMBERS: Final = ("sensitivity", "specificity", "auc", "ece")
"""The metrics of the threshold alone."""
DEPLOYED: Final = ("set_aside", "error")
"""The metrics of the decision policy: the share without a conclusion, and the share of wrong ones
among the rest."""

RESAMPLES = 500

ESTIMATOR: Final = (
    "random effects over groups: DerSimonian and Laird's variance between groups, Hartung and "
    "Knapp's interval of the mean, Higgins' prediction interval for one more group; shares and "
    "areas on the logit scale"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The performance of a decision policy on images.

    Attributes:
        threshold: Probability at or above which the conclusion is the positive class.
        numbers: ``NUMBERS`` and ``DEPLOYED``, with intervals by patient.
    """

    threshold: float
    numbers: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        numbers = {name: number.to_dict() for name, number in self.numbers.items()}
        return {"threshold": self.threshold, "numbers": numbers}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """Return the outcome written by ``to_dict``."""
        numbers = values["numbers"].items()
        return cls(
            values["threshold"], {name: Estimate.from_dict(number) for name, number in numbers}
        )


@dataclass(frozen=True, slots=True)
class AsNew:
    """The results of one held-out group.

    Attributes:
        name: Name of the group.
        n: Number of scored images, including those that complete a missing class.
        own: Number of images of the group itself.
        patients: Number of patients of all scored images.
        positives: Number of positive images.
        completed: Description of the images that complete it; empty if it has all classes.
        taught: Number of training images.
        found: Performance with the decision chosen over the other groups.
        at_block: Performance with the decision chosen on a block of the other groups' patients.
        promised: Performance on that block with the same decision.
        notes: Decisions that could not be made over the other groups.
    """

    name: str
    n: int
    own: int
    patients: int
    positives: int
    completed: str
    taught: int
    found: Outcome
    at_block: Outcome
    promised: Outcome
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "name": self.name,
            "n": self.n,
            "own": self.own,
            "patients": self.patients,
            "positives": self.positives,
            "completed": self.completed,
            "taught": self.taught,
            "found": self.found.to_dict(),
            "at_block": self.at_block.to_dict(),
            "promised": self.promised.to_dict(),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AsNew:
        """Return the group written by ``to_dict``."""
        outcomes = {
            name: Outcome.from_dict(values[name]) for name in ("found", "at_block", "promised")
        }
        return cls(**{**values, **outcomes, "notes": tuple(values["notes"])})


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected value of a metric on new patients.

    Attributes:
        mean: Random-effects mean over groups, with the interval ``low`` to ``high``.
        new_low: Lower end of the prediction interval for a new group; None for fewer than three
            groups.
        new_high: Its upper end.
        lowest: The lowest value of a group.
        highest: The highest.
        worst: The group with the worst performance.
        block: The mean on validation blocks.
        optimism: Mean over groups of the difference between a validation block and the group, with
            the decision chosen on the block.
    """

    mean: Estimate
    new_low: float | None
    new_high: float | None
    lowest: float
    highest: float
    worst: str
    block: float | None
    optimism: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "mean": self.mean.to_dict(),
            "new_low": self.new_low,
            "new_high": self.new_high,
            "lowest": self.lowest,
            "highest": self.highest,
            "worst": self.worst,
            "block": self.block,
            "optimism": self.optimism,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Expected:
        """Return the expectation written by ``to_dict``."""
        return cls(**{**values, "mean": Estimate.from_dict(values["mean"])})


@dataclass(frozen=True, slots=True)
class NewPatients:
    """The results of all held-out groups, and the expected performance on new patients.

    Attributes:
        by: Kind of groups: ``series``, ``blocks``, ``acquisition`` or a column.
        rule: Rule that chooses thresholds.
        share: Share of the groups for which decisions are chosen; 1 includes the worst.
        nested: Whether decisions for a group only depend on models trained without that group;
            otherwise only the scores of the group itself are excluded.
        groups: The groups.
        expected: Name of a metric → its expected value.
        level: Confidence level of all intervals.
        note: Explanation of how the groups were formed, if needed.
    """

    by: str
    rule: str
    share: float
    nested: bool
    groups: tuple[AsNew, ...]
    expected: Mapping[str, Expected]
    level: float = LEVEL
    note: str = ""

    @classmethod
    def of(
        cls,
        groups: Sequence[AsNew],
        *,
        by: str,
        rule: str,
        share: float,
        nested: bool,
        note: str = "",
        level: float = LEVEL,
    ) -> NewPatients:
        """Return the groups with the expected performance."""
        names = (*NUMBERS, *DEPLOYED)
        expected = {name: _expected(name, groups, level=level) for name in names}
        kept = {name: own for name, own in expected.items() if own is not None}
        return cls(by, rule, share, nested, tuple(groups), kept, level, note)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "by": self.by,
            "rule": self.rule,
            "share": self.share,
            "nested": self.nested,
            "level": self.level,
            "note": self.note,
            "estimator": ESTIMATOR,
            "groups": [group.to_dict() for group in self.groups],
            "expected": {name: own.to_dict() for name, own in self.expected.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NewPatients:
        """Return the value written by ``to_dict``.

        Raises:
            KeyError, TypeError: A field is missing or has the wrong type.
        """
        return cls(
            values["by"],
            values["rule"],
            values["share"],
            values["nested"],
            tuple(map(AsNew.from_dict, values["groups"])),
            {name: Expected.from_dict(own) for name, own in values["expected"].items()},
            values["level"],
            values["note"],
        )


def outcome(scores: Scores, policy: DecisionPolicy, *, level: float = LEVEL) -> Outcome:
    """Return the performance of a decision on calibrated scores, with intervals by patient.

    Raises:
        DataError: There are no scores.
    """
    alone = numbers_of(
        scores, threshold=policy.threshold, level=level, resamples=RESAMPLES, curves=False
    )
    deployed = evaluate_policy(policy, scores, level=level, resamples=RESAMPLES).deployed
    return Outcome(
        policy.threshold,
        {
            **{name: alone[name] for name in NUMBERS},
            **{name: getattr(deployed, name) for name in DEPLOYED},
        },
    )


def _expected(name: str, groups: Sequence[AsNew], *, level: float) -> Expected | None:
    """Return the expected value of a metric; None if fewer than two groups have it."""
    known = [
        (group, number)
        for group in groups
        for number in [group.found.numbers[name]]
        if number.value is not None and number.low is not None and number.high is not None
    ]
    if len(known) < 2:
        return None
    values = [number.value or 0.0 for _, number in known]
    bent = name != "ece"
    points = [_on_scale(number, bent=bent) for _, number in known]
    found = random_effects(*zip(*points, strict=True), level=level)

    def back(value: float | None) -> float | None:
        if value is None:
            return None
        return 1 / (1 + math.exp(-value)) if bent else min(1.0, max(0.0, value))

    mean = Estimate(
        back(found.mean),
        sum(number.n for _, number in known),
        back(found.low),
        back(found.high),
        "random effects (DerSimonian-Laird, Hartung-Knapp)",
        level,
    )
    falls = name in {"ece", *DEPLOYED}
    worst = (max if falls else min)(range(len(known)), key=values.__getitem__)
    promised = [group.promised.numbers[name].value for group in groups]
    kept = [group.at_block.numbers[name].value for group in groups]
    pairs = [
        (before, after)
        for before, after in zip(promised, kept, strict=True)
        if before is not None and after is not None
    ]
    sign = -1 if falls else 1
    return Expected(
        mean,
        back(found.new_low),
        back(found.new_high),
        min(values),
        max(values),
        known[worst][0].name,
        sum(before for before, _ in pairs) / len(pairs) if pairs else None,
        sign * sum(before - after for before, after in pairs) / len(pairs) if pairs else None,
    )


def _on_scale(number: Estimate, *, bent: bool) -> tuple[float, float]:
    """Return a number and its standard error, on the logit scale if ``bent``.

    The standard error is derived from the interval on that scale; values and limits at 0 and 1 are
    moved by half an image, so that their logits are finite.
    """
    z = 2 * normal_quantile(number.level)
    value, low, high = (float(end or 0.0) for end in (number.value, number.low, number.high))
    least = 0.5 / max(1, number.n)
    if bent:
        value, low, high = (
            math.log(end / (1 - end))
            for end in (min(1 - least, max(least, one)) for one in (value, low, high))
        )
    return value, max((high - low) / z, 1e-6 if bent else least)

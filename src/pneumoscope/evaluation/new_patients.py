"""What to expect on new patients: each group of the data in turn as if it were new.

Every group is judged by a reader that was trained on the others and whose threshold, calibration
and uncertain zone were chosen on the others. Beside it stands what a block of the others' own
patients promised for the same reader: the difference is the optimism of such a validation.
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
"""The numbers of the threshold alone."""
DEPLOYED: Final = ("set_aside", "error")
"""The numbers of the whole decision: the share without a conclusion, and the share of wrong ones
among the rest."""

RESAMPLES = 500

ESTIMATOR: Final = (
    "random effects over groups: DerSimonian and Laird's variance between groups, Hartung and "
    "Knapp's interval of the mean, Higgins' prediction interval for one more group; shares and "
    "areas on the logit scale"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a decision achieves on images.

    Attributes:
        threshold: The probability from which the positive class is concluded.
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
    """One group as if it were new.

    Attributes:
        name: What the group is called.
        n: Images that were judged, those that complete a missing class included.
        own: Images of the group itself.
        patients: Of all of them.
        positives: Positive images.
        completed: What completes it; empty where it has all classes.
        taught: Images that the reader learnt from.
        found: At the decision that was chosen over the other groups.
        at_block: At the decision that was chosen on a block of the others' patients.
        promised: What that block promised: its own numbers at that decision.
        notes: What could not be decided over the others.
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
    """What to expect of a number on new patients.

    Attributes:
        mean: Over groups, by random effects; ``low`` and ``high`` are of this mean.
        new_low: Lower end of the prediction interval for one more group; None for fewer than three.
        new_high: Its upper end.
        lowest: The lowest value of a group.
        highest: The highest.
        worst: The group that fares worst.
        block: The mean of what blocks promised.
        optimism: How much better blocks promised than the same readers kept, at the decisions that
            were chosen on blocks; the mean over groups.
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
    """What was found on each group as if it were new, and what follows.

    Attributes:
        by: What makes a group: ``series``, ``blocks``, ``acquisition`` or a column.
        rule: How thresholds are chosen.
        share: The share of groups in which decisions must keep their promise; 1 is the worst case.
        nested: Whether no reader that a decision for a group rests on had learnt from that group;
            else only its own scores had no say.
        groups: Each of them.
        expected: Name of a number → what to expect of it.
        level: Of all intervals.
        note: How the groups were made, where that needs words.
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
        """Return the groups with what to expect."""
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
            KeyError, TypeError: Something is missing or of the wrong kind.
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
    """Return what a decision achieves on calibrated scores, with intervals by patient.

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
    """Return what to expect of a number; None where fewer than two groups have it."""
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

    The error is that of the interval, whose ends are read on the scale; values and ends at 0 and 1
    are moved by half an image, so that they have a logit.
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

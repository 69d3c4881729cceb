"""The decision policy: gate, threshold and uncertain zone.

Everything that turns a probability into a conclusion goes through ``DecisionPolicy``: prediction,
evaluation, model cards and reports.

The plausible classes of an image are its conformal prediction set (see ``reader.conformal``) and
the class given by the threshold alone, so the set is never empty. An image is UNCERTAIN if two or
more classes are plausible, unless all of them are positive or all are negative: the conclusion is
then that group, and its kind is uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pneumoscope.labels import LabelSpace
    from pneumoscope.reader.conformal import Conformal
    from pneumoscope.reader.model_file.metadata import OperatingPoint

NOT_ASSESSABLE = "NOT_ASSESSABLE"
"""The conclusion about an image that cannot be assessed."""

UNCERTAIN = "UNCERTAIN"
"""The conclusion about an image for which several classes are plausible."""

OUTSIDE = ("note", "uncertain", "refuse")
"""Ways to handle an image outside the intended use: conclude and add a note, set it aside as
UNCERTAIN, or refuse it as NOT_ASSESSABLE."""

REFUSED_CODE, UNCERTAIN_CODE = -2, -1
"""Codes of ``Outcomes.code`` for NOT_ASSESSABLE and UNCERTAIN."""

POSITIVE_CODE, NEGATIVE_CODE = -3, -4
"""Codes for a group of classes whose kind is uncertain; codes from 0 are numbers of classes."""


class Outcome(NamedTuple):
    """The conclusion of a policy for one image.

    Attributes:
        conclusion: A class, the name of a group of them, ``UNCERTAIN`` or ``NOT_ASSESSABLE``.
        possible: The plausible classes, in the order of the label space; None if the image was
            refused, or if the policy has no uncertain zone and concluded a class.
        reasons: Why the image was set aside, and facts outside the intended use.
    """

    conclusion: str
    possible: tuple[str, ...] | None
    reasons: tuple[str, ...]


class Outcomes(NamedTuple):
    """The conclusions of a policy for n images.

    Attributes:
        code: The number of the concluded class, or one of ``POSITIVE_CODE``, ``NEGATIVE_CODE``,
            ``UNCERTAIN_CODE`` and ``REFUSED_CODE``; int64 [n].
        possible: Whether each class is plausible, before any refusal; bool [n, K].
        at_threshold: The number of the class given by the threshold alone; int64 [n].
    """

    code: NDArray[np.int64]
    possible: NDArray[np.bool_]
    at_threshold: NDArray[np.int64]


@dataclass(frozen=True)
class DecisionPolicy:
    """The rule from probabilities to conclusions.

    Attributes:
        labels: The K classes, and which of them count as positive.
        operating_point: The operating point of the positive group.
        conformal: The rule of the uncertain zone; None for a policy that always concludes.
        outside: How images outside the intended use are handled, one of ``OUTSIDE``.

    Raises:
        ValueError: ``outside`` has another value, or the zone has another number of classes.
    """

    labels: LabelSpace
    operating_point: OperatingPoint
    conformal: Conformal | None = None
    outside: str = "note"

    def __post_init__(self) -> None:
        if self.outside not in OUTSIDE:
            raise ValueError(f"outside must be one of {', '.join(OUTSIDE)}, got {self.outside!r}")
        if self.conformal is not None and len(self.conformal.quantiles) != len(self.labels):
            raise ValueError(
                f"the uncertain zone has {len(self.conformal.quantiles)} classes, but there are "
                f"{len(self.labels)} labels"
            )

    @property
    def threshold(self) -> float:
        """The decision threshold for the probability of the positive group."""
        return self.operating_point.threshold

    @property
    def zone(self) -> tuple[float, float] | None:
        """The probabilities (low, high) between which a two-class policy is uncertain.

        None if there are none: without a conformal rule, with one whose sets always have one class,
        and for more than two classes, whose zone is not an interval of one probability. Below
        ``low``, the conclusion is the negative class, above ``high`` the positive class.
        """
        if self.conformal is None or self.labels.positive != self.labels.names[1:2]:
            return None
        negative, positive = self.conformal.quantiles
        low, high = min(1 - positive, self.threshold), max(negative, self.threshold)
        return None if low == self.threshold > negative else (low, high)

    def decide(
        self,
        probability: float | Sequence[float],
        *,
        refused: Sequence[str] = (),
        outside: Sequence[str] = (),
    ) -> Outcome:
        """Return the conclusion for one image.

        Args:
            probability: Probability of the second of two classes, or of each class, [K].
            refused: Why the gate rejects the image; empty if it does not.
            outside: Facts of the image outside the intended use.
        """
        outside = tuple(outside)
        if refused or (outside and self.outside == "refuse"):
            return Outcome(NOT_ASSESSABLE, None, (*refused, *outside))
        each = self._each(probability)
        concluded = self._at_threshold(each)
        if outside and self.outside == "uncertain":
            return Outcome(UNCERTAIN, self.labels.names, outside)
        if self.conformal is None:
            return Outcome(self.labels.names[concluded], None, outside)
        held = self.conformal.holds(tuple(1 - one for one in each) if len(each) > 2 else each[::-1])
        possible = tuple(
            name
            for number, (name, holds) in enumerate(zip(self.labels.names, held, strict=True))
            if holds or number == concluded
        )
        if len(possible) == 1:
            return Outcome(possible[0], possible, outside)
        group = self._group(possible)
        return Outcome(group or UNCERTAIN, possible, (self._why(possible), *outside))

    def decide_many(
        self,
        probability: NDArray[np.float64],
        refused: NDArray[np.bool_] | None = None,
    ) -> Outcomes:
        """Return the conclusions for n images, equal to those of ``decide``.

        Args:
            probability: Probability of the second of two classes, [n], or of each class, [n, K].
            refused: Whether the gate rejects each image, [n]; None if it refuses none.
        """
        import numpy as np  # noqa: PLC0415 - a single decision needs no numpy

        given = np.asarray(probability, np.float64)
        if given.shape[1:] == (2,):
            given = given[:, 1]
        each = np.stack([1 - given, given], axis=-1) if given.ndim == 1 else given
        inside = np.array(self.labels.is_positive)
        side = (each[:, inside].sum(axis=1) >= self.threshold)[:, np.newaxis] == inside
        at_threshold = np.where(side, each, -np.inf).argmax(axis=1)
        possible = np.zeros(each.shape, np.bool_)
        possible[np.arange(len(each)), at_threshold] = True
        if self.conformal is not None:
            possible |= self.conformal.sets(given)
        code = np.where(possible.sum(axis=1) > 1, UNCERTAIN_CODE, at_threshold)
        if each.shape[1] > 2:
            several = code == UNCERTAIN_CODE
            code[several & ~possible[:, ~inside].any(axis=1)] = POSITIVE_CODE
            code[several & ~possible[:, inside].any(axis=1)] = NEGATIVE_CODE
        if refused is not None:
            code = np.where(refused, REFUSED_CODE, code)
        return Outcomes(code.astype(np.int64), possible, at_threshold.astype(np.int64))

    def _group(self, possible: tuple[str, ...]) -> str:
        """Return the name of the group of all given classes; empty if they are of both."""
        positive = [name in self.labels.positive for name in possible]
        if any(positive) and not all(positive):
            return ""
        return self.labels.pair[positive[0]]

    def _each(self, probability: float | Sequence[float]) -> tuple[float, ...]:
        if not isinstance(probability, Sequence):
            return 1 - probability, probability
        if len(probability) == 2:
            return 1 - probability[1], probability[1]
        return tuple(probability)

    def _at_threshold(self, each: tuple[float, ...]) -> int:
        """Return the most probable class of the group chosen by the threshold."""
        positive = 0.0  # not sum(), which rounds differently from numpy since Python 3.12
        for one, inside in zip(each, self.labels.is_positive, strict=True):
            positive += one if inside else 0.0
        wanted = positive >= self.threshold
        return max(
            (number for number, inside in enumerate(self.labels.is_positive) if inside == wanted),
            key=each.__getitem__,
        )

    def _why(self, possible: tuple[str, ...]) -> str:
        names = f"{', '.join(possible[:-1])} and {possible[-1]}"
        if group := self._group(possible):
            return f"{group}, kind uncertain: {names} are possible"
        zone = self.zone
        if zone is None:
            return f"{names} are possible; the reader cannot decide between them"
        low, high = zone
        return (
            f"{names} are both possible: the probability is in the uncertain zone from "
            f"{_digits(low)} to {_digits(high)}"
        )


def _digits(probability: float) -> str:
    """Return a probability with three decimals, or more if needed to differ from 0 and 1."""
    for digits in range(3, 8):
        text = f"{probability:.{digits}f}"
        if 0 < float(text) < 1:
            return text
    return f"{probability:g}"

"""Fit the uncertain zone by class-conditional split conformal prediction.

For each class, a lower limit of the probability of the true class is determined from validation
images of that class. The prediction set of an image contains each class that reaches its limit
(Vovk, ACML 2012, "conditional validity"), and the class given by the threshold. For new images
similar to the validation images, the share of each class that is concluded to be another class is
at most the error level: in ``reader.policy``, an image with several plausible classes is UNCERTAIN.

With a level at or above the error rates of the threshold alone, no image would be set aside.
``fit_zone`` refuses such a level, and levels too low for the number of images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.scores import check_may_decide
from pneumoscope.labels import LabelSpace
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.reader.policy import DecisionPolicy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.scores import Scores

AUTO: Literal["auto"] = "auto"
"""The value for which ``fit_zone`` chooses the error level."""

LEVELS = (0.1, 0.05, 0.02, 0.01, 0.005)
"""Candidates of ``auto``, the largest first."""

CAUGHT = 1 / 3
"""Minimum share of the threshold's wrong conclusions on validation images that a zone chosen by
``auto`` sets aside. A zone sets aside a share of about one minus its level divided by the error
rate, so a level just below the error rate would have almost no effect."""

ROUNDING = 1e-6
"""Amount added to quantiles: a model file computes in float32, and the image that determines a
quantile must not be excluded from its set by rounding."""

TWO_GROUPS = LabelSpace(("negative", "positive"), ("positive",))
"""The label space of scores with unknown class names."""


@dataclass(frozen=True, slots=True)
class Zone:
    """The result of ``fit_zone``.

    Attributes:
        conformal: The rule of the uncertain zone; None if no level gives a meaningful zone.
        note: Why there is no zone; empty if there is one.
    """

    conformal: Conformal | None
    note: str = ""


class Fit(Protocol):
    """A method of determining the quantiles of a level."""

    def __call__(self, scores: Scores, *, level: float) -> Conformal:
        """Return the quantiles of validation scores at an error level."""


def fit_zone(
    scores: Scores,
    *,
    threshold: float,
    level: float | Literal["auto"] = AUTO,
    fit: Fit | None = None,
) -> Zone:
    """Fit the uncertain zone around a threshold.

    ``auto`` selects the largest of ``LEVELS`` that the number of validation images supports (at
    least 1 / (n + 1), for n images of each class) and whose zone sets aside at least a third of the
    images that the threshold alone gets wrong. If there is none, there is no zone, and the note
    explains why.

    Args:
        scores: Scores of validation images.
        threshold: Probability at or above which the conclusion is the positive class.
        level: Maximum share of each class that may be concluded to be the other class.
        fit: Method of determining the quantiles of a level; ``fit_conformal`` if None.

    Raises:
        OptionError: The level is not between 0 and 1.
        LeakError: The scores are of training or test images.
        DataError: A class is missing, or the level is meaningless for this reader; the message
            states its error rates and meaningful levels.
    """
    fit = fit or fit_conformal
    if level != AUTO:
        conformal = fit(scores, level=level)
        fault = _fault(conformal, scores, threshold)
        if fault:
            raise DataError(f"no uncertain zone at error level {level:g}: {fault}.")
        return Zone(conformal)
    check_may_decide(scores, what="an uncertain zone")
    _check_classes(scores)
    wrong = _wrong(scores, threshold)
    if not wrong.any():
        return Zone(None, "all validation images are classified correctly at the threshold")
    for one in LEVELS:
        conformal = fit(scores, level=one)
        if max(conformal.quantiles) >= 1:
            break  # smaller levels need even more images
        aside = _set_aside(conformal, scores, threshold)
        if (aside & wrong).sum() >= CAUGHT * wrong.sum():
            return Zone(conformal)
    fewest = min(_counts(scores))
    return Zone(
        None,
        f"{_rates(scores, threshold)}; {fewest} validation images of a class allow levels of "
        f"{_smallest(fewest):.2g} or higher, and none of "
        f"{', '.join(f'{one:g}' for one in LEVELS)} sets aside a third of the wrong conclusions",
    )


def fit_conformal(scores: Scores, *, level: float) -> Conformal:
    """Return the conformal quantiles of validation scores at an error level.

    The quantile of a class with n images is the ⌈(n + 1)(1 - level)⌉-th smallest of one minus the
    probability of the true class. If n is too small for that (below 1 / level - 1), the quantile is
    1 and the class is always plausible. ``ROUNDING`` is added. ``fit_zone`` refuses meaningless
    levels.

    Raises:
        OptionError: The level is not between 0 and 1.
        LeakError: The scores are of training or test images.
        DataError: A class is missing.
    """
    if not 0 < level < 1:
        raise OptionError("the error level", must="between 0 and 1, such as 0.02", was=level)
    check_may_decide(scores, what="an uncertain zone")
    _check_classes(scores)
    quantiles = []
    for label in range(len(_labels(scores))):
        nonconformity = np.sort(_nonconformity(scores, label))
        count = len(nonconformity)
        rank = math.ceil((count + 1) * (1 - level) - 1e-9)
        quantile = float(nonconformity[rank - 1]) if rank <= count else 1.0
        quantiles.append(min(1.0, quantile + ROUNDING))
    return Conformal(level, tuple(quantiles), _counts(scores))


def _fault(conformal: Conformal, scores: Scores, threshold: float) -> str:
    """Return why a level is meaningless; empty if it is valid."""
    counts = _counts(scores)
    smallest, rates = _smallest(min(counts)), _error_rates(scores, threshold)
    sense = f"use a level from {smallest:.2g} to below {max(rates):.2g}"
    if smallest >= max(rates):
        sense = "no level works for these images"
    if conformal.level < smallest - 1e-12:
        return (
            f"with {min(counts)} validation images of a class, levels below 1 / ({min(counts)} "
            f"+ 1) make that class plausible for every image; {_rates(scores, threshold)}; {sense}"
        )
    if not _set_aside(conformal, scores, threshold).any():
        return f"no image would be set aside; {_rates(scores, threshold)}; {sense}"
    return ""


def _rates(scores: Scores, threshold: float) -> str:
    if scores.classes is not None:
        rates = zip(_error_rates(scores, threshold), scores.classes.labels.names, strict=True)
        listed = ", ".join(f"{rate:.2%} ({name})" for rate, name in rates)
        return f"at the threshold, the error rates on validation images are {listed}"
    negative, positive = _error_rates(scores, threshold)
    return (
        f"at the threshold, the error rates on validation images are {negative:.2%} (negative) "
        f"and {positive:.2%} (positive)"
    )


def _labels(scores: Scores) -> LabelSpace:
    return TWO_GROUPS if scores.classes is None else scores.classes.labels


def _numbers(scores: Scores) -> NDArray[np.int64]:
    """Return the number of each image's true class, [n]."""
    return scores.label if scores.classes is None else scores.classes.number


def _nonconformity(scores: Scores, label: int) -> NDArray[np.float64]:
    """Return one minus the probability of the true class of the images of a class."""
    own = _numbers(scores) == label
    each = scores.probability if scores.classes is None else scores.classes.probabilities[:, label]
    chosen: NDArray[np.float64] = each[own]
    return chosen if scores.classes is None and label == 0 else 1 - chosen


def _wrong(scores: Scores, threshold: float) -> NDArray[np.bool_]:
    """Return whether the threshold alone is wrong on each image, [n]."""
    code = _policy(None, scores, threshold).decide_many(scores.decided_by).code
    found: NDArray[np.bool_] = code != _numbers(scores)
    return found


def _error_rates(scores: Scores, threshold: float) -> tuple[float, ...]:
    wrong, number = _wrong(scores, threshold), _numbers(scores)
    return tuple(float(wrong[number == label].mean()) for label in range(len(_labels(scores))))


def _set_aside(conformal: Conformal, scores: Scores, threshold: float) -> NDArray[np.bool_]:
    """Return whether each image has no single concluded class, [n]."""
    code = _policy(conformal, scores, threshold).decide_many(scores.decided_by).code
    found: NDArray[np.bool_] = code < 0
    return found


def _policy(conformal: Conformal | None, scores: Scores, threshold: float) -> DecisionPolicy:
    point = OperatingPoint(f"probability={threshold:g}", threshold)
    return DecisionPolicy(_labels(scores), point, conformal)


def _counts(scores: Scores) -> tuple[int, ...]:
    return tuple(np.bincount(_numbers(scores), minlength=len(_labels(scores))).tolist())


def _smallest(count: int) -> float:
    """Return the smallest level that a number of images per class supports."""
    return 1 / (count + 1)


def _check_classes(scores: Scores) -> None:
    if not all(_counts(scores)):
        which = "both classes" if scores.classes is None else "all classes"
        raise DataError(f"an uncertain zone needs images of {which}.")

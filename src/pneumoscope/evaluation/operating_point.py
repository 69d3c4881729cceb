"""Choose the decision threshold by a named rule on validation scores.

A rule is a string such as ``youden``, ``sensitivity>=0.95``, ``specificity>=0.9``, ``cost fn=5
fp=1`` or ``probability=0.5``. ``parse_rule`` parses it, ``choose`` finds its threshold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DataError, OptionError, did_you_mean
from pneumoscope.evaluation.bootstrap import RESAMPLES
from pneumoscope.evaluation.scores import check_may_decide
from pneumoscope.evaluation.shares import share, share_draws
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.stats.roc import roc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.scores import Scores

FORMS = ("youden", "sensitivity>=0.95", "specificity>=0.9", "cost fn=5 fp=1", "probability=0.5")
"""An example of each kind of rule."""

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_PATTERNS = {
    "youden": re.compile("youden"),
    "sensitivity": re.compile(rf"sensitivity>={_NUMBER}"),
    "specificity": re.compile(rf"specificity>={_NUMBER}"),
    "cost": re.compile(rf"cost(?:fn={_NUMBER}fp={_NUMBER}|fp={_NUMBER}fn={_NUMBER})"),
    "probability": re.compile(rf"probability={_NUMBER}"),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that chooses a threshold.

    Attributes:
        kind: ``youden``, ``sensitivity``, ``specificity``, ``cost`` or ``probability``.
        value: The required sensitivity, specificity or probability; otherwise 0.
        fn: For ``cost``: cost of a missed positive image.
        fp: For ``cost``: cost of a false alarm.
    """

    kind: str
    value: float = 0.0
    fn: float = 1.0
    fp: float = 1.0

    def __str__(self) -> str:
        match self.kind:
            case "youden":
                return "youden"
            case "cost":
                return f"cost fn={self.fn:g} fp={self.fp:g}"
            case "probability":
                return f"probability={self.value:g}"
            case "sensitivity" | "specificity":
                return f"{self.kind}>={self.value:g}"
            case other:
                raise AssertionError(other)


def parse_rule(text: str) -> Rule:
    """Parse a rule; spaces and letter case are ignored.

    Raises:
        OptionError: It is not a rule, or has an invalid value.

    >>> parse_rule("Sensitivity >= .95")
    Rule(kind='sensitivity', value=0.95, fn=1.0, fp=1.0)
    >>> str(parse_rule("cost fp=1 fn=5"))
    'cost fn=5 fp=1'
    """
    plain = re.sub(r"\s+", "", text.lower())
    for kind, pattern in _PATTERNS.items():
        found = pattern.fullmatch(plain)
        if not found:
            continue
        numbers = [float(number) for number in found.groups() if number is not None]
        match kind:
            case "youden":
                return Rule("youden")
            case "cost":
                fn, fp = numbers if found[1] is not None else reversed(numbers)
                if fn <= 0 or fp <= 0:
                    raise OptionError("the costs of a rule", must="above 0", was=text)
                return Rule("cost", fn=fn, fp=fp)
            case _:
                if not 0 <= numbers[0] <= 1:
                    raise OptionError(f"the {kind} of a rule", must="from 0 to 1", was=text)
                return Rule(kind, numbers[0])
    raise OptionError(
        "the rule of an operating point",
        must=f"like one of: {'; '.join(FORMS)}",
        was=text,
        hint=_hint(plain),
    )


def choose(rule: Rule, scores: Scores, *, model: str = "") -> OperatingPoint:
    """Return the operating point that a rule chooses on validation scores.

    The threshold is the midpoint between two neighbouring probabilities, where small changes do not
    alter a conclusion; only ``probability=…`` sets it directly. Ties between thresholds are
    resolved as follows. ``youden`` and ``cost`` take the one with the higher sensitivity;
    ``sensitivity>=…`` takes the highest threshold that reaches the sensitivity, which has the
    highest specificity; ``specificity>=…`` takes the lowest threshold that reaches the specificity.

    Args:
        rule: The result of ``parse_rule``.
        scores: Scores of the validation images, or of a site's images, of both classes.
        model: SHA-256 of the model file that gave the scores.

    Returns:
        The operating point. ``achieved`` contains ``sensitivity`` and ``specificity`` on these
            scores with intervals, as in an evaluation, and n. The rule only guarantees its target
            on these images; the interval indicates the values to expect on others.

    Raises:
        LeakError: The scores are of training or test images.
        DataError: A class is missing.
    """
    check_may_decide(scores, what="an operating point")
    positive = scores.label == 1
    if positive.all() or not positive.any():
        raise DataError("an operating point needs images of both classes.")
    if rule.kind == "probability":
        threshold = rule.value
    else:
        cuts, tp, fp = _candidates(scores.probability, positive)
        threshold = float(cuts[_best(rule, tp, fp, share=float(positive.mean()))])
    return OperatingPoint(str(rule), threshold, achieved=achieved(scores, threshold), model=model)


def achieved(scores: Scores, threshold: float) -> dict[str, Any]:
    """Return sensitivity and specificity at a threshold, with intervals, as JSON values."""
    positive = scores.label == 1
    right = (scores.probability >= threshold) == positive
    found: dict[str, Any] = {"part": scores.part or "unknown"}
    patient = scores.patient_numbers
    for name, rows in (("sensitivity", positive), ("specificity", ~positive)):
        draws = share_draws(right, rows, patient, resamples=RESAMPLES)
        estimate = replace(share(right, rows, patient, draws=draws), also=())
        found[name] = estimate.to_dict()
    return found


def candidates(scores: Scores) -> NDArray[np.float64]:
    """Return the candidate thresholds of ``choose``, decreasing, of scores with both classes.

    Raises:
        DataError: A class is missing.
    """
    positive = scores.label == 1
    if positive.all() or not positive.any():
        raise DataError("an operating point needs images of both classes; one of them is missing.")
    return _candidates(scores.probability, positive)[0]


def _candidates(
    probability: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return decreasing thresholds from "none positive" to "all positive", with their rates.

    The rates are the true and the false positive rate. The outermost thresholds are halfway between
    the outermost probabilities and 1 and 0.
    """
    curve = roc(positive.astype(np.int64), probability)
    assert curve is not None  # noqa: S101 - checked by choose
    falling, tp, fp = curve.thresholds[1:], curve.sensitivity, curve.false_positive_rate
    edges = np.concatenate([[1.0], falling, [0.0]])
    cuts = (edges[:-1] + edges[1:]) / 2
    # If there is no number between two neighbours, their midpoint may be rounded to the lower one.
    cuts = np.where(cuts <= edges[1:], edges[:-1], cuts)
    if falling[0] == 1.0:  # no threshold gives "none positive"
        cuts, tp, fp = cuts[1:], tp[1:], fp[1:]
    return cuts, tp, fp


def _best(rule: Rule, tp: NDArray[np.float64], fp: NDArray[np.float64], *, share: float) -> int:
    slack = 1e-12  # 0.95 of 20 must be 19, despite rounding errors
    match rule.kind:
        case "youden":
            gain = tp - fp
            return _last(gain >= gain.max() - slack)
        case "cost":
            loss = rule.fn * share * (1 - tp) + rule.fp * (1 - share) * fp
            return _last(loss <= loss.min() + slack)
        case "sensitivity":
            return int(np.argmax(tp >= rule.value - slack))
        case "specificity":
            kept = fp <= 1 - rule.value + slack
            if not kept.any():
                raise DataError(
                    f"{rule} cannot be reached: negative images have the highest probability, 1."
                )
            return _last(kept)
        case other:
            raise AssertionError(other)


def _last(kept: NDArray[np.bool_]) -> int:
    return int(len(kept) - 1 - np.argmax(kept[::-1]))


def _hint(plain: str) -> str:
    word = re.match(r"[a-z]*", plain)
    return did_you_mean(word[0] if word else plain, _PATTERNS)

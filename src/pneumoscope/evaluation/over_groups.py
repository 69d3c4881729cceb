"""Threshold, calibration and uncertain zone that reach their targets over groups of images.

A decision chosen on one block of images is valid for similar images. Here every group is scored by
a model trained without it, and a decision must be good in the worst group, or in a given share of
the groups: for each candidate, the groups are ordered by performance, and the value of the last
group of that share counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pneumoscope.errors import DataError
from pneumoscope.evaluation.calibration import SCALES, Calibration, described
from pneumoscope.evaluation.conformal import AUTO, Zone, fit_conformal, fit_zone
from pneumoscope.evaluation.multiclass.calibration import (
    VectorCalibration,
    cross_entropy,
    fit_classes,
)
from pneumoscope.evaluation.multiclass.scores import ClassScores
from pneumoscope.evaluation.operating_point import Rule, achieved, candidates
from pneumoscope.evaluation.scores import Scores, check_may_decide
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.stats.logistic import fit_line, log_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST = 10
"""A group with fewer images of a class is ignored for that class."""

_GRID = 25  # values of a parameter per grid
_ROUNDS = 5  # each grid refines the best value of the previous one
_BIAS = 8.0
_SLACK = 1e-12


def pooled(groups: Sequence[Scores]) -> Scores:
    """Return the scores of all groups in one table."""
    first = groups[0]
    classes = None
    if first.classes is not None:
        each = [group.classes for group in groups if group.classes is not None]
        classes = ClassScores(
            first.classes.labels,
            *(
                np.concatenate([getattr(one, name) for one in each])
                for name in ("number", "logits", "probabilities")
            ),
        )
    return replace(
        first,
        path=tuple(path for group in groups for path in group.path),
        patient=tuple(patient for group in groups for patient in group.patient),
        label=np.concatenate([group.label for group in groups]),
        logit=np.concatenate([group.logit for group in groups]),
        probability=np.concatenate([group.probability for group in groups]),
        sha256=tuple(sha256 for group in groups for sha256 in group.sha256),
        refused=None,
        dicom=(),
        classes=classes,
    )


def must_hold(groups: int, share: float) -> int:
    """Return the number of groups in which a target must be reached.

    >>> must_hold(4, 1.0), must_hold(5, 0.8), must_hold(3, 0.1)
    (4, 4, 1)
    """
    return max(1, math.ceil(share * groups - 1e-9))


def choose_over(rule: Rule, groups: Sequence[Scores], *, share: float = 1.0) -> OperatingPoint:
    """Return the operating point that a rule chooses over groups.

    ``sensitivity>=X`` takes the highest threshold at which the share of the groups has that
    sensitivity, ``specificity>=X`` the lowest with that specificity; ``youden`` and ``cost`` take
    the threshold with the best value in the last group of that share (costs use the share of
    positive images over all groups). Groups with fewer than 10 images of a class are ignored for
    it.

    Args:
        rule: The result of ``parse_rule``.
        groups: Calibrated scores of each group, by models trained without it.
        share: Share of groups in which the target must be reached; 1 is all of them.

    Raises:
        LeakError: The scores are of training or test images.
        DataError: No group has enough images of a class.
    """
    everything = pooled(groups)
    check_may_decide(everything, what="an operating point")
    if rule.kind == "probability":
        threshold = rule.value
    else:
        cuts = candidates(everything)
        found = {label: _rates(groups, cuts, label) for label in (1, 0)}
        if not (len(found[1]) and len(found[0])):
            raise DataError(
                f"an operating point over groups requires groups with at least {FEWEST} images of "
                "each class."
            )
        threshold = float(cuts[_best(rule, groups, found, share, float(everything.label.mean()))])
    performance = achieved(everything, threshold)
    performance["groups"] = _achieved(groups, threshold, share)
    return OperatingPoint(str(rule), threshold, achieved=performance)


def _rates(groups: Sequence[Scores], cuts: NDArray[np.float64], label: int) -> NDArray[np.float64]:
    """Return the share of images of a class that each cut calls positive, [groups, cuts]."""
    rates = []
    for group in groups:
        own = np.sort(group.probability[group.label == label])
        if len(own) >= FEWEST:
            rates.append(1 - np.searchsorted(own, cuts, side="left") / len(own))
    return np.array(rates)


def _served(values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Return the value of the last group of the share, ordered from the best, [cuts]."""
    place = must_hold(len(values), share) - 1
    found: NDArray[np.float64] = -np.sort(-values, axis=0)[place]
    return found


def _best(
    rule: Rule,
    groups: Sequence[Scores],
    found: dict[int, NDArray[np.float64]],
    share: float,
    positives: float,
) -> int:
    """Return the number of the best cut; cuts decrease, so sensitivity increases."""
    if rule.kind == "sensitivity":
        return int(np.argmax(_served(found[1], share) >= rule.value - _SLACK))
    if rule.kind == "specificity":
        kept = _served(1 - found[0], share) >= rule.value - _SLACK
        if not kept.any():
            raise DataError(f"{rule} cannot be reached in the required number of groups.")
        return _last(kept)
    whole = [
        place
        for place, group in enumerate(groups)
        if min(np.bincount(group.label, minlength=2)) >= FEWEST
    ]
    if not whole:
        raise DataError(
            f"{rule} over groups requires a group with at least {FEWEST} images of each class."
        )
    of_class = {
        label: [
            place for place, group in enumerate(groups) if (group.label == label).sum() >= FEWEST
        ]
        for label in (1, 0)
    }
    tp, fp = (found[label][[of_class[label].index(place) for place in whole]] for label in (1, 0))
    gain = tp - fp
    if rule.kind == "cost":
        gain = -(rule.fn * positives * (1 - tp) + rule.fp * (1 - positives) * fp)
    served = _served(gain, share)
    return _last(served >= served.max() - _SLACK)


def _last(kept: NDArray[np.bool_]) -> int:
    return int(len(kept) - 1 - np.argmax(kept[::-1]))


def _achieved(groups: Sequence[Scores], threshold: float, share: float) -> dict[str, Any]:
    """Return the lowest and the highest sensitivity and specificity of the groups."""
    found: dict[str, Any] = {"n": len(groups), "share": share}
    for name, label in (("sensitivity", 1), ("specificity", 0)):
        rates = _rates(groups, np.array([threshold]), label).ravel()
        right = rates if label else 1 - rates
        if len(right):
            found[name] = {"lowest": float(right.min()), "highest": float(right.max())}
    return found


def calibrate_over(
    groups: Sequence[Scores], *, method: str, share: float = 1.0
) -> Calibration | VectorCalibration:
    """Return the calibration with the smallest excess loss in the last group of the share.

    The excess loss of a group is its mean cross-entropy minus that of its own optimal calibration.
    It is minimised on successively finer grids. Vector scaling of more than two classes is fitted
    on all groups together.

    Args:
        groups: Uncalibrated scores of each group, by models trained without it.
        method: ``temperature`` or ``platt``.
        share: Share of groups in which the target must be reached; 1 is all of them.

    Raises:
        LeakError: The scores are of training or test images.
        DataError: No group has 10 images of each class, or the scores rank the classes in reverse.
    """
    everything = pooled(groups)
    check_may_decide(everything, what="a calibration")
    if everything.classes is not None:
        return _classes_over(groups, everything.classes, method=method, share=share)
    useful = [group for group in groups if min(np.bincount(group.label, minlength=2)) >= FEWEST]
    if not useful:
        raise DataError(
            f"a calibration over groups requires a group with at least {FEWEST} images of each "
            "class."
        )
    if not all(np.isfinite(group.logit).all() for group in useful):
        raise DataError("a calibration needs finite logits; some are infinite.")
    least = []
    for group in useful:
        scale, bias = fit_line(group.logit, group.label.astype(np.float64))
        least.append(float(log_loss(scale * group.logit + bias, group.label).mean()))
    offset = np.array(least)

    def excess(scale: float, bias: float) -> NDArray[np.float64]:
        losses = [float(log_loss(scale * one.logit + bias, one.label).mean()) for one in useful]
        found: NDArray[np.float64] = np.array(losses) - offset
        return found

    scale, bias = _sought(excess, share, with_bias=method == "platt")
    if scale <= SCALES[0] * 1.01:
        raise DataError(
            "higher logits are not more often positive in these groups, so calibration cannot help."
        )
    return described(scale, bias, method, everything.logit, everything.label.astype(np.float64))


def _sought(excess: Any, share: float, *, with_bias: bool) -> tuple[float, float]:
    """Return scale and bias with the smallest excess loss, on successively finer grids."""
    low, high = (math.log(end) for end in SCALES)
    bias_low, bias_high = (-_BIAS, _BIAS) if with_bias else (0.0, 0.0)
    best, scale, bias = math.inf, 0.0, 0.0
    for _ in range(_ROUNDS):
        scales = np.linspace(low, high, _GRID)
        biases = np.linspace(bias_low, bias_high, _GRID) if with_bias else np.zeros(1)
        for one in scales:
            for other in biases:
                losses = np.sort(excess(math.exp(one), float(other)))
                reached = float(losses[must_hold(len(losses), share) - 1])
                if reached < best:
                    best, scale, bias = reached, float(one), float(other)
        step = 2 * (high - low) / (_GRID - 1)
        low = max(scale - step, math.log(SCALES[0]))
        high = min(scale + step, math.log(SCALES[1]))
        step = 2 * (bias_high - bias_low) / (_GRID - 1)
        bias_low, bias_high = bias - step, bias + step
    return math.exp(scale), bias


def _classes_over(
    groups: Sequence[Scores], everything: ClassScores, *, method: str, share: float
) -> VectorCalibration:
    """Return the calibration of more than two classes."""
    found = fit_classes(everything, method=method)
    if method == "platt":
        return found
    each = [group.classes for group in groups if group.classes is not None]

    def losses(scale: float) -> NDArray[np.float64]:
        return np.array(
            [float(cross_entropy(scale * one.logits, one.number).mean()) for one in each]
        )

    tried = [losses(float(scale)) for scale in np.geomspace(*SCALES, _GRID * _ROUNDS)]
    least = np.min(tried, axis=0)
    scale, _ = _sought(lambda one, _: losses(one) - least, share, with_bias=False)
    k = len(everything.labels)
    after = float(cross_entropy(scale * everything.logits, everything.number).mean())
    return replace(found, scales=(scale,) * k, biases=(0.0,) * k, loss_after=after)


def zone_over(
    groups: Sequence[Scores],
    *,
    threshold: float,
    level: float | Literal["auto"] = AUTO,
    share: float = 1.0,
) -> Zone:
    """Fit the uncertain zone whose error level is reached in the given share of groups.

    For each class, the quantile of the last group of the share is used; groups with too few images
    of a class for the level are ignored for that class.

    Args:
        groups: Calibrated scores of each group, by models trained without it.
        threshold: Probability at or above which the conclusion is the positive class.
        level: As for ``fit_zone``.
        share: Share of groups in which the target must be reached; 1 is all of them.

    Raises:
        OptionError, LeakError, DataError: As for ``fit_zone``.
    """

    def fitted(scores: Scores, *, level: float) -> Conformal:
        whole = fit_conformal(scores, level=level)
        found: list[list[float]] = [[] for _ in whole.quantiles]
        for group in groups:
            numbers = group.label if group.classes is None else group.classes.number
            counts = np.bincount(numbers, minlength=len(whole.quantiles))
            if not counts.all():
                continue
            own = fit_conformal(group, level=level)
            for label, (quantile, count) in enumerate(zip(own.quantiles, counts, strict=True)):
                if count + 1 >= 1 / level - 1e-9:
                    found[label].append(quantile)
        quantiles = tuple(
            sorted(own)[must_hold(len(own), share) - 1] if own else 1.0 for own in found
        )
        return replace(whole, quantiles=quantiles)

    return fit_zone(pooled(groups), threshold=threshold, level=level, fit=fitted)

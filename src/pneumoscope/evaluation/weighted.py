"""All metrics as functions of row weights, for many weightings at once.

Resampling patients with replacement is equivalent to weighting each row by the number of times that
its patient was drawn. Rows are sorted once; each metric is then a product of weights with fixed
columns, or computed from cumulative sums of the weights along the sorted rows. Resampling needs no
further sorting, and the unweighted metric is the case of weights of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.evaluation.ece import bins_of, calibration_errors
from pneumoscope.stats.logistic import log_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.scores import Scores


FALSE_POSITIVE_RATES = np.linspace(0, 1, 101)
RECALLS = np.linspace(0.01, 1, 100)
ODDS_THRESHOLDS = np.linspace(0.01, 0.99, 99)

_LINEAR = ("positives", "negatives", "tp", "fp", "loss", "brier", "probability")
_SLACK = 1e-9  # 0.9 of 20 must be 18, despite rounding errors
_NEWTON_STEPS = 30


@dataclass(frozen=True, slots=True)
class TableOptions:
    """The options of the metrics.

    Attributes:
        threshold: Probability at or above which an image is called positive.
        prevalence: Share of positive patients in the intended population, for predictive values
            there; if None, only those of the data themselves are computed.
        fixed: Specificities at which sensitivity is computed, and the reverse.
        partial_from: Lower limit of the sensitivity for the partial area.
        bins: Bins of equal mass for calibration.
        curves: Whether to compute curves as well.
    """

    threshold: float = 0.5
    prevalence: float | None = None
    fixed: tuple[float, ...] = (0.9, 0.95)
    partial_from: float = 0.9
    bins: int = 15
    curves: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Scores in decreasing order of the logit, with everything that does not depend on weights.

    Attributes:
        ask: Options of the metrics.
        patient: Number of each row's patient, [n].
        patients: Number of patients.
        positive: 1 for positive rows, otherwise 0; [n].
        log_odds: Logit of each row's probability, [n].
        ends: The last row of each sequence of equal logits, [u].
        columns: Columns that are summed, [n, k].
        order: Index of each row in the scores, [n].
        start: Initial slope and intercept of the recalibration.
    """

    ask: TableOptions
    patient: NDArray[np.int64]
    patients: int
    positive: NDArray[np.float64]
    log_odds: NDArray[np.float64]
    ends: NDArray[np.int64]
    columns: NDArray[np.float64]
    order: NDArray[np.int64]
    start: tuple[float, float] = (1.0, 0.0)

    @classmethod
    def of(cls, scores: Scores, ask: TableOptions) -> Table:
        """Return the table of scores."""
        order = np.argsort(-scores.logit, kind="stable")
        logit, probability = scores.logit[order], scores.probability[order]
        positive = (scores.label[order] == 1).astype(np.float64)
        log_odds = scores.log_odds[order]
        called = probability >= ask.threshold
        columns = [
            positive,
            1 - positive,
            positive * called,
            (1 - positive) * called,
            log_loss(log_odds, positive),
            (probability - positive) ** 2,
            probability,
        ]
        members = bins_of(probability, ask.bins)[:, np.newaxis] == np.arange(ask.bins)
        for values in (np.ones(len(order)), positive, probability):
            columns += list((members * values[:, np.newaxis]).T)
        if ask.curves:
            above = probability[:, np.newaxis] >= ODDS_THRESHOLDS
            for values in (positive, 1 - positive):
                columns += list((above * values[:, np.newaxis]).T)
        patient = scores.patient_numbers[order]
        return cls(
            ask,
            patient,
            int(patient.max()) + 1 if len(patient) else 0,
            positive,
            log_odds,
            np.flatnonzero(np.append(logit[1:] != logit[:-1], True)),
            np.ascontiguousarray(np.stack(columns, axis=1)),
            order,
        )

    def weights_of(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return row weights [b, n] from the number of times each patient was drawn, [b, P]."""
        return np.take(counts, self.patient, axis=1)


def statistics(table: Table, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return all metrics under each of b weightings; NaN if undefined.

    Args:
        table: The result of ``Table.of``.
        weights: Row weights, [b, n], in the order of the table.

    Returns:
        Metrics by name, [b] each, and, if curves are requested: ``roc`` [b, 101],
        ``precision_recall`` [b, 100], ``net_benefit`` [b, 99]. ``bin_n``, ``bin_positive`` and
        ``bin_probability`` are [b, bins].
    """
    ask = table.ask
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = weights @ table.columns
        found = dict(zip(_LINEAR, sums.T, strict=False))
        found = {**found, **_at_threshold(found, ask)}
        rest = sums[:, len(_LINEAR) :]
        count, hits, mass = (rest[:, i * ask.bins : (i + 1) * ask.bins] for i in range(3))
        found |= {"bin_n": count, "bin_positive": hits, "bin_probability": mass}
        found |= _calibration(found)
        slope, intercept = _recalibration(table, weights)
        found |= {"calibration_slope": slope, "calibration_intercept": intercept}
        found |= _ranking(table, weights, found["positives"], found["negatives"])
        if ask.curves:
            rest = rest[:, 3 * ask.bins :]
            found["net_benefit"] = _net_benefit(rest, found["positives"] + found["negatives"])
    return found


def _at_threshold(
    sums: dict[str, NDArray[np.float64]], ask: TableOptions
) -> dict[str, NDArray[np.float64]]:
    positives, negatives, tp, fp = (sums[name] for name in _LINEAR[:4])
    fn, tn, n = positives - tp, negatives - fp, positives + negatives
    sensitivity, specificity = tp / positives, tn / negatives
    found = {
        "n": n,
        "prevalence": positives / n,
        "accuracy": (tp + tn) / n,
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": tp / (tp + fp),
        "npv": tn / (tn + fn),
        "lr_positive": sensitivity / (1 - specificity),
        "lr_negative": (1 - sensitivity) / specificity,
        "f1": 2 * tp / (2 * tp + fp + fn),
        "mcc": (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),
        "loss": sums["loss"] / n,
        "brier": sums["brier"] / n,
        "calibration_in_the_large": (sums["probability"] - positives) / n,
    }
    if ask.prevalence is not None:
        ill, well = ask.prevalence, 1 - ask.prevalence
        found["ppv_at_prevalence"] = (
            sensitivity * ill / (sensitivity * ill + (1 - specificity) * well)
        )
        found["npv_at_prevalence"] = (
            specificity * well / (specificity * well + (1 - sensitivity) * ill)
        )
    return found


def _calibration(found: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return calibration errors and the decomposition of the Brier score.

    The parts are Murphy's (J Appl Meteorol 12, 1973). Their sum is the score if probabilities are
    equal within each bin; the contribution of differences within bins is a separate value.
    """
    count, hits, mass = found["bin_n"], found["bin_positive"], found["bin_probability"]
    n = count.sum(axis=1)
    base = hits.sum(axis=1) / n
    observed = np.where(count > 0, hits / np.maximum(count, 1), 0)
    probability = np.where(count > 0, mass / np.maximum(count, 1), 0)
    reliability = (count * (probability - observed) ** 2).sum(axis=1) / n
    resolution = (count * (observed - base[:, np.newaxis]) ** 2).sum(axis=1) / n
    uncertainty = base * (1 - base)
    return {
        **calibration_errors(count, observed, probability),
        "brier_reliability": reliability,
        "brier_resolution": resolution,
        "brier_uncertainty": uncertainty,
        "brier_within_bins": found["brier"] - (reliability - resolution + uncertainty),
    }


def _ranking(
    table: Table,
    weights: NDArray[np.float64],
    positives: NDArray[np.float64],
    negatives: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """Return the metrics that depend on the order only, from cumulative sums."""
    gained = weights * table.positive
    total, tp = np.cumsum(weights, axis=1), np.cumsum(gained, axis=1)
    if len(table.ends) < weights.shape[1]:  # equal scores form one step
        total, tp = total[:, table.ends], tp[:, table.ends]
        gained = np.diff(tp, axis=1, prepend=0)
        lost = np.diff(total, axis=1, prepend=0) - gained
        tied = np.einsum("bu,bu->b", lost, gained) / 2
    else:
        lost = weights - gained
        tied = np.zeros(len(weights))
    fp = total - tp
    area = (np.einsum("bu,bu->b", lost, tp) - tied) / (positives * negatives)
    np.divide(tp, total, out=total, where=total > 0)  # becomes the precision
    found = {"auc": area, "average_precision": np.einsum("bu,bu->b", gained, total) / positives}
    return found | _read_off(table.ask, tp, fp, positives, negatives)


def _read_off(
    ask: TableOptions,
    tp: NDArray[np.float64],
    fp: NDArray[np.float64],
    positives: NDArray[np.float64],
    negatives: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """Return points of the curves: the best value over thresholds, without interpolation."""
    rows = len(tp)
    rates = np.array([1 - share for share in ask.fixed])
    shares = np.array(ask.fixed)
    if ask.curves:
        rates = np.concatenate([rates, FALSE_POSITIVE_RATES])
        shares = np.concatenate([shares, RECALLS])
    sensitivity = np.full((rows, len(rates)), np.nan)
    false_alarms = np.full((rows, len(shares)), np.nan)
    reached = np.full((rows, len(shares)), np.nan)
    for row in range(rows):
        p, n = positives[row], negatives[row]
        if not (p > 0 and n > 0):
            continue
        last = np.searchsorted(fp[row], rates * n + _SLACK, side="right")
        sensitivity[row] = np.where(last > 0, tp[row, np.maximum(last - 1, 0)], 0) / p
        first = np.searchsorted(tp[row], shares * p - _SLACK, side="left")
        false_alarms[row], reached[row] = fp[row, first], tp[row, first]
    partial = _partial_area(tp, fp, positives, negatives, ask.partial_from)
    k = len(ask.fixed)
    specificity = 1 - false_alarms[:, :k] / negatives[:, np.newaxis]
    found = {"partial_auc": partial, "partial_auc_standardised": partial}
    low, high = (1 - ask.partial_from) ** 2 / 2, 1 - ask.partial_from
    found["partial_auc_standardised"] = (1 + (partial - low) / (high - low)) / 2
    for i, share in enumerate(ask.fixed):
        found[f"sensitivity_at_specificity_{share:g}"] = sensitivity[:, i]
        found[f"specificity_at_sensitivity_{share:g}"] = specificity[:, i]
    if ask.curves:
        found["roc"] = sensitivity[:, k:]
        found["precision_recall"] = reached[:, k:] / (reached[:, k:] + false_alarms[:, k:])
    return found


def _partial_area(
    tp: NDArray[np.float64],
    fp: NDArray[np.float64],
    positives: NDArray[np.float64],
    negatives: NDArray[np.float64],
    start: float,
) -> NDArray[np.float64]:
    """Return the areas of specificity over sensitivity from ``start`` to 1, [b]; tp, fp [b, u]."""
    bottom = start * positives
    steps = np.maximum(tp, bottom[:, np.newaxis])
    steps[:, 1:] -= steps[:, :-1].copy()
    steps[:, 0] -= bottom  # now the increase of tp above the start
    widths = np.einsum("bu,bu->b", steps, fp)
    widths += np.einsum("bu,bu->b", steps[:, 1:], fp[:, :-1])
    # The first step begins within a section of the curve.
    rows, first = np.arange(len(tp)), np.argmax(steps > 0, axis=1)
    before = np.maximum(first - 1, 0)
    before_tp, before_fp = (np.where(first > 0, one[rows, before], 0) for one in (tp, fp))
    share = (bottom - before_tp) / (tp[rows, first] - before_tp)
    widths += steps[rows, first] * share * (fp[rows, first] - before_fp)
    area: NDArray[np.float64] = 1 - start - widths / (2 * positives * negatives)
    return area


def _net_benefit(counts: NDArray[np.float64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return net benefit at each threshold, [b, 99] (Vickers and Elkin, 2006)."""
    tp, fp = np.split(counts, 2, axis=1)
    odds = ODDS_THRESHOLDS / (1 - ODDS_THRESHOLDS)
    benefit: NDArray[np.float64] = (tp - fp * odds) / n[:, np.newaxis]
    return benefit


def _recalibration(
    table: Table, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slope and intercept of the logistic recalibration (Cox).

    Newton's method on all weightings at once.
    """
    rows = len(weights)
    slope, intercept = (np.full(rows, value) for value in table.start)
    x = np.clip(table.log_odds, -40, 40)
    design = np.stack([np.ones_like(x), x, x * x], axis=1)
    truth = weights @ (design[:, :2] * table.positive[:, np.newaxis])
    moving = np.arange(rows)
    done = np.zeros(rows, bool)
    for _ in range(_NEWTON_STEPS):
        part = weights if len(moving) == rows else weights[moving]
        line = slope[moving, np.newaxis] * x
        line += intercept[moving, np.newaxis]
        line *= 0.5
        np.tanh(line, out=line)
        line += 1
        line *= 0.5  # becomes the fitted probability
        weighted = part * line
        gradient = truth[moving] - weighted @ design[:, :2]
        line -= 1
        weighted *= line  # becomes minus the weight in the information matrix
        a, b, c = -(weighted @ design).T
        determinant = a * c - b * b
        step_intercept = (c * gradient[:, 0] - b * gradient[:, 1]) / determinant
        step_slope = (a * gradient[:, 1] - b * gradient[:, 0]) / determinant
        largest = np.maximum(np.abs(step_intercept), np.abs(step_slope))
        lost = ~np.isfinite(largest) | (np.abs(slope[moving]) > 1e3)
        damped = np.where(lost, 0, np.minimum(1, 4 / np.maximum(largest, 1e-300)))
        intercept[moving] += np.where(lost, np.nan, damped * step_intercept)
        slope[moving] += np.where(lost, np.nan, damped * step_slope)
        done[moving[~lost & (largest < 1e-9)]] = True
        moving = moving[~lost & (largest >= 1e-9)]
        if not len(moving):
            break
    return np.where(done, slope, np.nan), np.where(done, intercept, np.nan)

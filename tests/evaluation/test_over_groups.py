"""Decisions that reach their targets over groups, and the expectation for a new group."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pneumoscope.data.patients import Patient
from pneumoscope.errors import DataError, LeakError
from pneumoscope.evaluation.calibration import Calibration, fit_calibration
from pneumoscope.evaluation.conformal import fit_zone
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.new_patients import AsNew, NewPatients, Outcome, outcome
from pneumoscope.evaluation.operating_point import choose, parse_rule
from pneumoscope.evaluation.over_groups import (
    calibrate_over,
    choose_over,
    must_hold,
    pooled,
    zone_over,
)
from pneumoscope.evaluation.scores import Scores
from pneumoscope.labels import LabelSpace
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.reader.policy import DecisionPolicy

RULES = ("youden", "sensitivity>=0.9", "specificity>=0.9", "cost fn=5 fp=1")


def group(
    shift: float, *, n: int = 400, seed: int = 0, name: str = "g", part: str = "val"
) -> Scores:
    """Return scores whose logits are shifted as a whole; unshifted they are calibrated."""
    generator = np.random.default_rng(seed)
    label = (np.arange(n) % 2).astype(np.int64)
    logit = generator.normal(np.where(label == 1, 1.5, -1.5), np.sqrt(3), n) + shift
    return Scores(
        tuple(f"{name}{row}.png" for row in range(n)),
        tuple(Patient(f"{name}{row}") for row in range(n)),
        label,
        logit,
        Calibration().apply(logit),
        part,
        tuple(f"{name}{row}" for row in range(n)),
    )


def rates(scores: Scores, threshold: float) -> tuple[float, float]:
    called = scores.probability >= threshold
    return float(called[scores.label == 1].mean()), float((~called)[scores.label == 0].mean())


GROUPS = [group(shift, seed=k, name=f"g{k}-") for k, shift in enumerate((-1.0, 0.0, 0.5, 2.0))]


@pytest.mark.parametrize("rule", RULES)
def test_one_group_decides_as_validation_does(rule: str) -> None:
    alone = choose_over(parse_rule(rule), GROUPS[:1])
    assert alone.threshold == choose(parse_rule(rule), GROUPS[0]).threshold


def test_a_promised_sensitivity_holds_in_every_group_or_in_the_stated_share() -> None:
    rule = parse_rule("sensitivity>=0.9")
    worst = choose_over(rule, GROUPS)
    assert min(rates(one, worst.threshold)[0] for one in GROUPS) >= 0.9
    some = choose_over(rule, GROUPS, share=0.75)
    kept = [rates(one, some.threshold)[0] >= 0.9 for one in GROUPS]
    assert kept == [False, True, True, True]
    assert some.threshold > worst.threshold
    # The pooled images would promise it, and the group that lies lowest would not have it.
    together = choose(rule, pooled(GROUPS))
    assert min(rates(one, together.threshold)[0] for one in GROUPS) < 0.9
    told = worst.achieved["groups"]
    assert (told["n"], told["share"]) == (4, 1.0)
    assert told["sensitivity"]["lowest"] >= 0.9


def test_a_promised_specificity_holds_in_every_group() -> None:
    found = choose_over(parse_rule("specificity>=0.9"), GROUPS)
    assert min(rates(one, found.threshold)[1] for one in GROUPS) >= 0.9


def test_youden_serves_the_worst_group_best() -> None:
    rule = parse_rule("youden")
    found = choose_over(rule, GROUPS).threshold

    def worst(threshold: float) -> float:
        return min(sum(rates(one, threshold)) for one in GROUPS)

    assert all(worst(found) >= worst(other) - 1e-12 for other in np.linspace(0.001, 0.999, 400))
    assert worst(found) > worst(choose(rule, GROUPS[0]).threshold)


def test_a_group_without_a_class_has_no_say_on_it() -> None:
    negatives = GROUPS[3].select(GROUPS[3].label == 0)
    found = choose_over(parse_rule("sensitivity>=0.9"), [*GROUPS[:3], negatives])
    assert found.threshold == choose_over(parse_rule("sensitivity>=0.9"), GROUPS[:3]).threshold
    with pytest.raises(DataError, match="10 images of each class"):
        choose_over(parse_rule("youden"), [negatives, GROUPS[0].select(GROUPS[0].label == 1)])


def test_scores_of_other_parts_decide_nothing() -> None:
    test = [group(0, part="test")]
    for decide in (
        lambda: choose_over(parse_rule("youden"), test),
        lambda: calibrate_over(test, method="platt"),
        lambda: zone_over(test, threshold=0.5, level=0.1),
    ):
        with pytest.raises(LeakError):
            decide()


def test_the_calibration_lies_between_the_groups() -> None:
    low, high = group(-1.0, n=4000), group(1.0, n=4000, seed=1)
    found = calibrate_over([low, high], method="platt")
    assert isinstance(found, Calibration)
    alone = [fit_calibration(one, method="platt").bias for one in (low, high)]
    assert found.bias == pytest.approx(sum(alone) / 2, abs=0.1)
    # A hundred times as many images of one group draw the pooled fit to it, and not this one.
    many = calibrate_over([low, high, *[group(1.0, n=4000, seed=k) for k in range(2, 8)]],
                          method="platt")  # fmt: skip
    assert isinstance(many, Calibration)
    assert many.bias == pytest.approx(found.bias, abs=0.1)
    for method in ("temperature", "platt"):
        one, as_always = calibrate_over([low], method=method), fit_calibration(low, method=method)
        assert isinstance(one, Calibration)
        assert one.scale == pytest.approx(as_always.scale, rel=0.02)
        assert one.bias == pytest.approx(as_always.bias, abs=0.03)


def test_the_error_level_holds_in_the_worst_group() -> None:
    zone = zone_over(GROUPS, threshold=0.5, level=0.05).conformal
    assert zone is not None
    policy = DecisionPolicy(LabelSpace.of(("N", "P")), OperatingPoint(threshold=0.5), zone)
    for one in GROUPS:
        code = policy.decide_many(one.probability).code
        for label in (0, 1):
            own = one.label == label
            assert (code[own] == 1 - label).mean() <= 0.05
    pooled_zone = fit_zone(pooled(GROUPS), threshold=0.5, level=0.05).conformal
    assert pooled_zone is not None
    assert zone.quantiles[0] > pooled_zone.quantiles[0]
    assert zone_over(GROUPS, threshold=0.5, level=0.05, share=0.5).conformal != zone


def test_a_share_says_in_how_many_groups() -> None:
    assert [must_hold(5, share) for share in (1.0, 0.8, 0.79, 0.01)] == [5, 4, 4, 1]


def new_patients() -> NewPatients:
    labels = LabelSpace.of(("NORMAL", "PNEUMONIA"))
    policy = DecisionPolicy(
        labels, OperatingPoint(threshold=0.5), Conformal(0.05, (0.7, 0.7), (200, 200))
    )
    promised = outcome(group(0, seed=9), policy)
    found = [
        AsNew(
            f"series {k}", len(one), len(one), len(one), 200, "", 1200,
            outcome(one, policy), outcome(one, policy), promised,
        )
        for k, one in enumerate(GROUPS)
    ]  # fmt: skip
    return NewPatients.of(found, by="series", rule="youden", share=1.0, nested=True)


def test_what_to_expect_has_range_worst_group_and_optimism() -> None:
    found = new_patients()
    own = found.expected["specificity"]
    values = [rates(one, 0.5)[1] for one in GROUPS]
    assert (own.lowest, own.highest) == pytest.approx((min(values), max(values)))
    assert own.worst == "series 3"
    assert own.mean.low is not None
    assert own.new_low is not None
    assert own.new_low <= own.mean.low < own.mean.value  # type: ignore[operator]
    promised = rates(group(0, seed=9), 0.5)[1]
    assert own.block == pytest.approx(promised)
    assert own.optimism == pytest.approx(promised - np.mean(values))
    # A calibration error that is larger than promised is optimism as well.
    ece = found.expected["ece"]
    assert ece.optimism is not None
    assert ece.optimism > 0
    assert ece.worst == "series 3"


def test_it_reads_back() -> None:
    found = new_patients()
    again = NewPatients.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.to_dict() == found.to_dict()
    assert again.expected["auc"].mean.value == found.expected["auc"].mean.value


def test_a_number_that_is_one_everywhere_has_a_finite_expectation() -> None:
    perfect = Outcome(0.5, {name: Estimate(1.0, 50, 0.93, 1.0, "wilson") for name in (
        "sensitivity", "specificity", "auc", "ece", "set_aside", "error")})  # fmt: skip
    one = AsNew("a", 50, 50, 50, 25, "", 10, perfect, perfect, perfect)
    found = NewPatients.of([one, one, one], by="x", rule="youden", share=1, nested=False)
    mean = found.expected["sensitivity"].mean
    assert mean.value is not None
    assert mean.low is not None
    assert 0.9 < mean.low < mean.value < 1

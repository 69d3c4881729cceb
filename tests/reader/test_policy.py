"""From probabilities to conclusions: one policy for one image and for many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.tiny_model import tiny_info
from pneumoscope.labels import LabelSpace
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.reader.policy import (
    NOT_ASSESSABLE,
    POSITIVE_CODE,
    REFUSED_CODE,
    UNCERTAIN,
    UNCERTAIN_CODE,
    DecisionPolicy,
)

UNIT = st.floats(0, 1)
TWO = LabelSpace.of(["NORMAL", "PNEUMONIA"])
THREE = LabelSpace.of(["NORMAL", "BACTERIA", "VIRUS"], ["BACTERIA", "VIRUS"])
CODES = {NOT_ASSESSABLE: REFUSED_CODE, UNCERTAIN: UNCERTAIN_CODE}


def policy(
    *quantiles: float, threshold: float = 0.5, labels: LabelSpace = TWO, outside: str = "note"
) -> DecisionPolicy:
    zone = Conformal(0.1, quantiles) if quantiles else None
    return DecisionPolicy(labels, OperatingPoint(threshold=threshold), zone, outside)


@pytest.mark.parametrize(
    ("quantiles", "probability", "conclusion", "possible", "says"),
    [
        ((0.7, 0.7), 0.9, "PNEUMONIA", ("PNEUMONIA",), ""),
        ((0.7, 0.7), 0.1, "NORMAL", ("NORMAL",), ""),
        (
            (0.7, 0.7),
            0.6,
            UNCERTAIN,
            ("NORMAL", "PNEUMONIA"),
            (
                "NORMAL and PNEUMONIA are both possible: the probability is in the uncertain "
                "zone from 0.300 to 0.700"
            ),
        ),
        # Nothing is in the conformal set: the threshold decides.
        ((0.2, 0.2), 0.6, "PNEUMONIA", ("PNEUMONIA",), ""),
        ((0.077, 0.018), 0.95, "PNEUMONIA", ("PNEUMONIA",), ""),
        # NORMAL alone is in it, and the threshold concludes PNEUMONIA: both are possible.
        ((0.6, 0.2), 0.55, UNCERTAIN, ("NORMAL", "PNEUMONIA"), "the uncertain zone from 0.500"),
    ],
)
def test_uncertain_where_two_classes_are_possible(
    quantiles: tuple[float, float],
    probability: float,
    conclusion: str,
    possible: tuple[str, ...],
    says: str,
) -> None:
    said, found, reasons = policy(*quantiles).decide(probability)
    assert (said, found) == (conclusion, possible)
    assert says in "".join(reasons)
    assert bool(reasons) == (said == UNCERTAIN)
    assert policy().decide(probability)[1:] == (None, ())


@given(probability=UNIT, first=UNIT, second=UNIT, threshold=UNIT, refused=st.booleans())
def test_one_and_many_agree_and_no_set_is_empty(
    probability: float, first: float, second: float, threshold: float, refused: bool
) -> None:
    for one in (policy(first, second, threshold=threshold), policy(threshold=threshold)):
        alone = one.decide(probability, refused=("turned",) * refused)
        code, possible, said = one.decide_many(np.array([probability]), np.array([refused]))
        names = [*TWO.names]
        assert code[0] == CODES.get(alone.conclusion, names.index(alone.conclusion)
                                    if alone.conclusion in names else None)  # fmt: skip
        assert possible.any()
        assert possible[0, said[0]]
        assert names[said[0]] == ("PNEUMONIA" if probability >= threshold else "NORMAL")
        if alone.possible is not None:
            assert alone.possible == tuple(np.array(names)[possible[0]])
            assert (len(alone.possible) > 1) == (alone.conclusion == UNCERTAIN)
        zone = one.zone
        if zone is not None and not refused and zone[0] < probability < zone[1]:
            assert alone.conclusion == UNCERTAIN
        elif not refused and (zone is None or not zone[0] <= probability <= zone[1]):
            assert alone.conclusion == names[said[0]]


@given(
    st.lists(st.floats(0.001, 1), min_size=3, max_size=3),
    st.lists(UNIT, min_size=3, max_size=3),
    UNIT,
)
def test_three_classes_are_decided_by_the_same_rules(
    weights: list[float], quantiles: list[float], threshold: float
) -> None:
    each = np.array(weights) / sum(weights)
    one = policy(*quantiles, threshold=threshold, labels=THREE)
    alone = one.decide(each.tolist())
    code, possible, said = one.decide_many(each[np.newaxis])
    assert alone.possible == tuple(np.array(THREE.names)[possible[0]])
    assert possible[0, said[0]]
    several, kind = possible.sum() > 1, not possible[0, 0]
    assert (code[0] == UNCERTAIN_CODE) == (alone.conclusion == UNCERTAIN) == (several and not kind)
    assert (code[0] == POSITIVE_CODE) == (several and kind)
    if several and kind:
        assert alone.conclusion == THREE.pair[1]
        assert "kind uncertain" in alone.reasons[0]
    positive = each[1] + each[2] >= threshold
    assert said[0] == (1 + each[1:].argmax() if positive else 0)
    assert one.zone is None


def test_three_possible_classes_are_named() -> None:
    found = policy(1, 1, 1, labels=THREE).decide([0.2, 0.4, 0.4])
    assert found.conclusion == UNCERTAIN
    assert found.reasons[0].startswith("NORMAL, BACTERIA and VIRUS are possible")


@given(probability=UNIT, quantile=UNIT, threshold=st.floats(0.01, 0.99))
def test_sets_do_not_change_with_a_monotone_change_of_the_probabilities(
    probability: float, quantile: float, threshold: float
) -> None:
    # Quantiles move with the probabilities, so what is possible does not depend on calibration.
    before = policy(quantile, 1 - threshold, threshold=threshold)
    after = policy(quantile**3, 1 - threshold**3, threshold=threshold**3)
    if min(abs(probability - each) for each in (quantile, threshold)) > 1e-3:
        assert before.decide(probability).possible == after.decide(probability**3).possible


@pytest.mark.parametrize(
    ("outside", "conclusion", "possible"),
    [
        ("note", "NORMAL", None),
        ("uncertain", UNCERTAIN, ("NORMAL", "PNEUMONIA")),
        ("refuse", NOT_ASSESSABLE, None),
    ],
)
def test_what_is_outside_the_intended_use_is_noted_set_aside_or_refused(
    outside: str, conclusion: str, possible: tuple[str, ...] | None
) -> None:
    one = policy(outside=outside)
    said = one.decide(0.1, outside=("the patient is 64 years old",))
    assert said == (conclusion, possible, ("the patient is 64 years old",))
    assert one.decide(0.1).conclusion == "NORMAL"
    refused = one.decide(0.1, refused=("turned",), outside=("old",))
    assert refused == (NOT_ASSESSABLE, None, ("turned", "old"))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="outside must be one of note, uncertain, refuse"):
        policy(outside="ignore")
    with pytest.raises(ValueError, match="has 2 classes, but there are 3 labels"):
        policy(0.1, 0.1, labels=THREE)
    with pytest.raises(ValueError, match="come from"):
        Conformal(0.1, (0.1, 0.1), (5,))


def test_a_model_file_gives_its_policy() -> None:
    info = tiny_info(
        operating_point=OperatingPoint("youden", 0.3), conformal=Conformal(0.02, (0.4, 0.8))
    )
    found = info.policy()
    assert (found.threshold, found.operating_point.rule) == (0.3, "youden")
    assert found.zone == pytest.approx((0.2, 0.4))
    assert found.labels == TWO
    assert info.policy(threshold=0.6).operating_point.rule == "probability=0.6"
    assert info.policy(threshold=0.6).zone == pytest.approx((0.2, 0.6))
    assert info.policy(threshold=0.3).operating_point.rule == "youden"


def test_limits_of_a_zone_never_look_certain() -> None:
    reason = policy(0.9999996, 0.9999, threshold=0.5).decide(0.5).reasons[0]
    assert "the uncertain zone from 0.0001 to 0.9999996" in reason

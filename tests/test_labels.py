"""Tests of the label space."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.labels import LabelSpace


def test_the_positive_group_keeps_the_order_of_the_classes() -> None:
    space = LabelSpace.of(["NORMAL", "BACTERIA", "VIRUS"], ["VIRUS", "BACTERIA"])
    assert space.positive == ("BACTERIA", "VIRUS")
    assert space.negative == ("NORMAL",)
    assert space.pair == ("NORMAL", "BACTERIA or VIRUS")
    assert space.is_positive == (False, True, True)


def test_the_probability_of_the_group_is_the_sum() -> None:
    space = LabelSpace.of(["NORMAL", "BACTERIA", "VIRUS"], ["BACTERIA", "VIRUS"])
    given = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
    assert space.positive_probability(given) == pytest.approx([0.8, 0.0])
    with pytest.raises(ValueError, match="2 probabilities for 3 classes"):
        space.positive_probability(given[:, :2])


@pytest.mark.parametrize(
    ("names", "positive"),
    [
        (["A"], []),
        (["A", "A"], []),
        (["A", ""], []),
        (["A", "B"], ["A", "B"]),
        (["A", "B"], ["C"]),
    ],
)
def test_a_label_space_that_cannot_be_is_refused(names: list[str], positive: list[str]) -> None:
    with pytest.raises(ValueError, match="classes"):
        LabelSpace.of(names, positive)

"""Comparisons of readers of several classes, by class."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from helpers.made_classes import as_scores, make_class_scores, space_of
from pneumoscope.cli.numbers import comparison_text
from pneumoscope.errors import DataError
from pneumoscope.evaluation.compare import Comparison, Contender, compare
from pneumoscope.evaluation.multiclass.calibration import softmax
from pneumoscope.evaluation.multiclass.compare import compare_classes, equal_shares
from pneumoscope.evaluation.multiclass.scores import ClassScores
from pneumoscope.evaluation.paired import mcnemar
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.comparison_page import (
    class_comparison_sections,
    write_comparison_page,
)
from pneumoscope.runs import provenance
from pneumoscope.stats.areas import areas


def two(classes: int = 3, n: int = 300, *, better: float = 1.0, per_patient: int = 1) -> Comparison:
    first = make_class_scores(n, classes, seed=1, truth_seed=9, sharp=1.5 + better)
    second = make_class_scores(n, classes, seed=2, truth_seed=9, sharp=1.5)
    return compare(
        [
            Contender("runs/a", as_scores(first, per_patient=per_patient)),
            Contender("runs/b", as_scores(second, per_patient=per_patient)),
        ],
        resamples=200,
    )


def test_the_clearly_better_reader_is_better_in_each_class() -> None:
    found = two(better=2.0).by_class
    assert found is not None
    (pair,) = found.pairs
    assert found.tests == 3
    for one in pair.by_class:
        assert one.auc.value is not None
        assert one.auc.low is not None
        assert one.auc.low > 0
        assert one.auc.method == "paired delong"
        assert one.auc.also[0].method == "paired bootstrap"
        assert one.auc_p_holm is not None
        assert one.auc_p is not None
        assert one.auc_p <= one.auc_p_holm < 0.05
        assert one.only_first > one.only_second
    assert pair.overall["macro_auc"].low is not None
    assert pair.overall["macro_auc"].low > 0
    assert pair.overall["loss"].high is not None
    assert pair.overall["loss"].high < 0
    assert "differences in the AUC of NORMAL" in found.verdict(pair)


def test_a_reader_against_itself_differs_in_no_class() -> None:
    scores = as_scores(make_class_scores(200, 4))
    found = compare([Contender("a", scores), Contender("b", scores)], resamples=100).by_class
    assert found is not None
    (pair,) = found.pairs
    for one in pair.by_class:
        assert one.auc.value == one.sensitivity.value == 0
        assert (one.auc_p_holm, one.sensitivity_p_holm) == (1.0, 1.0)
    assert (
        "do not differ significantly in the AUC of any class, after Holm's correction for 4 tests"
        in found.verdict(pair)
    )


def test_the_differences_are_those_of_the_numbers() -> None:
    comparison = two(4, 240, per_patient=2)
    found = comparison.by_class
    assert found is not None
    first, second = found.numbers.values()
    (pair,) = found.pairs
    for name, one in zip(found.labels.names, pair.by_class, strict=True):
        for key in ("auc", "sensitivity", "ppv"):
            apart = (first.of(name)[key].value or 0) - (second.of(name)[key].value or 0)
            assert getattr(one, key).value == pytest.approx(apart), key
        assert one.auc.method == "paired delong by patient"
    for key, overall in pair.overall.items():
        assert overall.value == pytest.approx((first[key].value or 0) - (second[key].value or 0)), (
            key
        )


def test_holm_is_over_all_classes_and_pairs() -> None:
    readers = [make_class_scores(200, 3, seed=k, truth_seed=9, sharp=1 + k) for k in range(3)]
    found = compare_classes(
        ["a", "b", "c"], readers, np.arange(200), [str(k) for k in range(200)], resamples=100
    )
    assert found is not None
    assert found.tests == 9
    every = [one for pair in found.pairs for one in pair.by_class]
    least = min(one.auc_p for one in every if one.auc_p is not None)
    corrected = min(one.auc_p_holm for one in every if one.auc_p_holm is not None)
    assert corrected == pytest.approx(9 * least)


def test_the_area_test_is_that_of_two_readers_of_one_class() -> None:
    first, second = (make_class_scores(150, 3, seed=k, truth_seed=9) for k in (1, 2))
    found = compare_classes(["a", "b"], [first, second], np.arange(150), ["x"] * 150, resamples=100)
    assert found is not None
    both = areas(
        (first.number == 1).astype(np.int64),
        [first.probabilities[:, 1], second.probabilities[:, 1]],
    )
    assert both is not None
    apart = both.values[0] - both.values[1]
    variance = both.covariance[0, 0] + both.covariance[1, 1] - 2 * both.covariance[0, 1]
    wanted = 2 * stats.norm.sf(abs(apart) / np.sqrt(variance))
    assert found.pairs[0].by_class[1].auc_p == pytest.approx(wanted)


def test_equal_shares_by_hand() -> None:
    first = np.array([1, 1, 1, 0, 1, 0], bool)
    second = np.array([0, 0, 1, 1, 1, 0], bool)
    alone = np.arange(6)
    assert equal_shares(first, second, alone) == (mcnemar(2, 1)[1], (2, 1))
    # Patients of two images: their sums of first less second are +2, -1, +0; z = 1 / sqrt(5).
    p, only = equal_shares(first, second, np.array([0, 0, 1, 1, 2, 2]))
    assert only == (2, 1)
    assert p == pytest.approx(2 * stats.norm.sf(1 / np.sqrt(5)))
    assert equal_shares(first, first, np.array([0, 0, 1, 1, 2, 2])) == (1.0, (0, 0))
    assert equal_shares(first[:0], second[:0], alone[:0]) == (None, (0, 0))


def test_copies_of_a_patient_s_image_are_no_evidence() -> None:
    """Each image ten times under one patient tells no more than once."""
    rng = np.random.default_rng(0)
    first, second = rng.random(40) < 0.8, rng.random(40) < 0.5
    alone = equal_shares(first, second, np.arange(40))[0]
    repeated = equal_shares(np.repeat(first, 10), np.repeat(second, 10), np.arange(400) // 10)[0]
    assert alone is not None
    assert repeated is not None
    assert repeated == pytest.approx(alone, rel=0.6)  # one exact, one by the normal distribution
    assert repeated > 100 * mcnemar(10 * int((first & ~second).sum()),
                                    10 * int((second & ~first).sum()))[1]  # fmt: skip


def test_classes_in_another_order_are_the_same_readers() -> None:
    first, second = (make_class_scores(120, 3, seed=k, truth_seed=9) for k in (1, 2))
    order = [2, 0, 1]
    names = [second.labels.names[k] for k in order]
    moved = ClassScores(
        replace(second.labels, names=tuple(names), positive=("VIRUS", "BACTERIA")),
        np.argsort(order)[second.number],
        second.logits[:, order],
        second.probabilities[:, order],
    )
    patient, path = np.arange(120), ["x"] * 120
    one = compare_classes(["a", "b"], [first, second], patient, path, resamples=100)
    other = compare_classes(["a", "b"], [first, moved], patient, path, resamples=100)
    assert one is not None
    assert other is not None
    assert one.to_dict() == other.to_dict()


def test_what_cannot_be_compared_class_by_class() -> None:
    three, four = make_class_scores(40, 3, truth_seed=9), make_class_scores(40, 4)
    patient, path = np.arange(40), [f"{k}.png" for k in range(40)]
    assert compare_classes(["a", "b"], [three, None], patient, path) is None
    assert compare_classes(["a", "b"], [None, three], patient, path) is None
    assert compare_classes(["a", "b"], [three, four], patient, path) is None
    number = three.number.copy()
    number[7] = (number[7] + 1) % 3
    other = ClassScores(three.labels, number, three.logits, three.probabilities)
    with pytest.raises(DataError, match=r"7\.png: .* different true classes"):
        compare_classes(["a", "b"], [three, other], patient, path)


def test_a_class_without_images() -> None:
    first, second = (make_class_scores(80, 3, seed=k, truth_seed=9) for k in (1, 2))
    rows = np.flatnonzero(first.number != 2)
    found = compare_classes(
        ["a", "b"], [first.select(rows), second.select(rows)], np.arange(len(rows)),
        ["x"] * len(rows), resamples=100,
    )  # fmt: skip
    assert found is not None
    missing = found.pairs[0].by_class[2]
    assert missing.auc.value is missing.auc_p is missing.auc_p_holm is None
    assert missing.sensitivity_p_holm is None


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("classes", [3, 14])
def test_text_json_and_page(classes: int, tmp_path: Path) -> None:
    found = two(classes, 40 * classes, better=1.5)
    assert found.by_class is not None
    text = comparison_text(found)
    assert "AUC, each class against the rest" in text
    assert "after Holm's correction for" in text
    told = json.loads(json.dumps(found.to_dict()))["classes"]
    assert tuple(told["pairs"][0]["by_class"]) == space_of(classes).names
    assert told["holm_tests"] == classes
    sections = class_comparison_sections(
        found, {"runs/a": "a", "runs/b": "b"}, Canvas(tmp_path / "figures")
    )
    assert len(sections) == 3
    assert (tmp_path / "figures" / "class-differences.png").is_file()
    page = write_comparison_page(tmp_path / "page", found, facts=provenance())
    assert "Differences by class" in page.read_text(encoding="utf-8")


def test_two_classes_are_compared_as_before() -> None:
    own = make_class_scores(60, 2)
    plain = replace(as_scores(own), classes=None, logit=own.log_odds, probability=softmax(
        own.logits)[:, 1])  # fmt: skip
    found = compare([Contender("a", plain), Contender("b", plain)], resamples=100)
    assert found.by_class is None
    assert "classes" not in found.to_dict()

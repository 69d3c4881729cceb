"""Metrics of several classes: by hand, against scikit-learn and torchmetrics, and properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from pneumoscope.data.patients import Patient
from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.conformal import fit_conformal
from pneumoscope.evaluation.evaluation import Evaluation, evaluate
from pneumoscope.evaluation.multiclass.calibration import VectorCalibration, fit_classes, softmax
from pneumoscope.evaluation.multiclass.numbers import OF_CLASS, ClassNumbers, class_numbers
from pneumoscope.evaluation.multiclass.scores import ClassScores
from pneumoscope.evaluation.multiclass.sets import set_numbers
from pneumoscope.evaluation.question import Question, Reader
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.units import aggregated
from pneumoscope.labels import LabelSpace
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.reader.policy import NEGATIVE_CODE, POSITIVE_CODE, DecisionPolicy

NAMES = ("NORMAL", "BACTERIA", "VIRUS", "FUNGUS", "OTHER", "MORE")
LOOSE = settings(deadline=None, max_examples=25)


def space(classes: int) -> LabelSpace:
    return LabelSpace.of(NAMES[:classes], NAMES[1:classes])


def made(n: int, classes: int, *, seed: int = 0, sharp: float = 1.5) -> ClassScores:
    """Return scores of a reader that is right more often than by chance."""
    rng = np.random.default_rng(seed)
    number = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    logits = rng.normal(size=(n, classes)) + sharp * np.eye(classes)[number]
    return ClassScores(space(classes), number, logits, softmax(logits))


def patients(n: int, *, of: int = 1) -> NDArray[np.int64]:
    return np.arange(n) // of


def measured(scores: ClassScores, *, resamples: int = 0, of: int = 1) -> ClassNumbers:
    return class_numbers(scores, patients(len(scores), of=of), resamples=resamples)


def policy(classes: int, scores: Scores | None = None, *, level: float = 0.2) -> DecisionPolicy:
    rule = None if scores is None else fit_conformal(scores, level=level)
    return DecisionPolicy(space(classes), OperatingPoint(), rule)


def as_scores(own: ClassScores, *, part: str = "val") -> Scores:
    n = len(own)
    empty = np.zeros(n)
    names = tuple(f"{row}.png" for row in range(n))
    people = tuple(Patient.of(f"p{row}", name) for row, name in enumerate(names))
    return Scores(names, people, own.label, empty, empty, part).with_classes(own)


def test_five_images_by_hand() -> None:
    said = np.array(
        [[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1], [0.1, 0.7, 0.2]]
    )
    scores = ClassScores(space(3), np.array([0, 1, 2, 1, 2]), np.log(said), said)
    found = measured(scores)
    assert found.confusion == ((1, 0, 0), (1, 1, 0), (0, 1, 1))
    assert found.counts == (1, 2, 2)
    assert found["accuracy"].value == pytest.approx(3 / 5)
    assert found["balanced_accuracy"].value == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    # Agreement by chance: (1 * 2 + 2 * 2 + 2 * 1) / 25.
    assert found["kappa"].value == pytest.approx((3 / 5 - 8 / 25) / (1 - 8 / 25))
    assert found["top_2"].value == pytest.approx(1.0)
    assert found.of("BACTERIA")["sensitivity"].value == pytest.approx(1 / 2)
    assert found.of("BACTERIA")["ppv"].value == pytest.approx(1 / 2)
    assert found.of("BACTERIA")["specificity"].value == pytest.approx(2 / 3)
    # Of 2 * 3 pairs, BACTERIA ranks above the rest in (0.5, 0.4) > (0.1, 0.3): 4.
    assert found.of("BACTERIA")["auc"].value == pytest.approx(4 / 6)
    assert found.shares[2][1].value == pytest.approx(1 / 2)
    assert found.shares[1][0].method == "wilson"
    assert found["loss"].value == pytest.approx(-np.log([0.8, 0.5, 0.6, 0.4, 0.2]).mean())
    brier = ((said - np.eye(3)[scores.number]) ** 2).sum(axis=1).mean()
    assert found["brier"].value == pytest.approx(brier)


@pytest.mark.parametrize("classes", [2, 3, 4, 6])
@pytest.mark.parametrize("ties", [False, True])
def test_as_scikit_learn_says(classes: int, ties: bool) -> None:
    scores = made(300, classes, seed=classes)
    if ties:
        rough = np.round(scores.logits)
        scores = ClassScores(scores.labels, scores.number, rough, softmax(rough))
    found, said = measured(scores), scores.probabilities
    called = said.argmax(axis=1)
    truth = scores.number
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(truth, called))
    for name, wanted in (
        ("accuracy", metrics.accuracy_score(truth, called)),
        ("balanced_accuracy", metrics.balanced_accuracy_score(truth, called)),
        ("kappa", metrics.cohen_kappa_score(truth, called)),
        ("macro_f1", metrics.f1_score(truth, called, average="macro")),
        ("macro_ppv", metrics.precision_score(truth, called, average="macro")),
        ("loss", metrics.log_loss(truth, said)),
    ):
        assert found[name].value == pytest.approx(wanted, abs=1e-9), name
    areas = [metrics.roc_auc_score(truth == k, said[:, k]) for k in range(classes)]
    assert [own["auc"].value for own in found.by_class] == pytest.approx(areas)
    assert found["macro_auc"].value == pytest.approx(np.mean(areas))
    recall = metrics.recall_score(truth, called, average=None)
    assert [own["sensitivity"].value for own in found.by_class] == pytest.approx(recall)
    if classes == 2:
        assert found["top_2"].value == 1
    elif not ties:
        top = metrics.top_k_accuracy_score(truth, said, k=2, labels=np.arange(classes))
        assert found["top_2"].value == pytest.approx(top)


def test_as_torchmetrics_says() -> None:
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.functional.classification")
    scores = made(200, 4, seed=9)
    said, truth = torch.from_numpy(scores.probabilities), torch.from_numpy(scores.number)
    found = measured(scores)
    area = classification.multiclass_auroc(said, truth, 4, average="macro")
    assert found["macro_auc"].value == pytest.approx(float(area), abs=1e-6)
    kappa = classification.multiclass_cohen_kappa(said, truth, 4)
    assert found["kappa"].value == pytest.approx(float(kappa), abs=1e-6)


def test_intervals_count_patients_and_hold_the_value() -> None:
    scores = made(400, 3, seed=1)
    alone = measured(scores, resamples=300)
    several = measured(scores, resamples=300, of=4)
    for found in (alone, several):
        for name in ("balanced_accuracy", "macro_auc", "kappa", "top_2", "loss", "brier"):
            one = found[name]
            assert one.value is not None
            assert one.low is not None
            assert one.high is not None
            assert one.low < one.value < one.high, name
    assert alone["accuracy"].method == "wilson"
    assert several["accuracy"].method == "bootstrap by patient"
    assert several.patients == 100
    by_class = several.of("VIRUS")["auc"]
    assert "delong" in by_class.method
    assert by_class.also
    twice = measured(scores, resamples=300, of=4)
    assert twice.to_dict() == several.to_dict()


@pytest.mark.parametrize("seed", range(5))
def test_few_images_of_a_calibrated_reader_leave_its_error_open(seed: int) -> None:
    """The interval of a calibration error begins at 0 where chance alone explains it."""
    scores = made(40, 3, seed=seed)
    rng = np.random.default_rng(seed)
    drawn = (rng.random(40)[:, np.newaxis] > scores.probabilities.cumsum(axis=1)).sum(axis=1)
    drawn[:3] = range(3)
    own = ClassScores(scores.labels, drawn, scores.logits, scores.probabilities)
    found = class_numbers(own, patients(40), resamples=300)["classwise_ece"]
    assert found.value is not None
    assert found.low == 0
    assert found.high is not None
    assert found.value <= found.high


@LOOSE
@given(st.integers(2, 6), st.integers(0, 1000))
def test_permuting_the_classes_permutes_the_numbers(classes: int, seed: int) -> None:
    scores = made(80, classes, seed=seed)
    order = np.random.default_rng(seed).permutation(classes)
    back = np.argsort(order)
    names = [scores.labels.names[k] for k in order]
    moved = ClassScores(
        LabelSpace.of(names, scores.labels.positive),
        back[scores.number],
        scores.logits[:, order],
        scores.probabilities[:, order],
    )
    one, other = measured(scores), measured(moved)
    np.testing.assert_array_equal(np.array(one.confusion)[np.ix_(order, order)], other.confusion)
    for name in names:
        for key in OF_CLASS:
            assert one.of(name)[key].value == pytest.approx(other.of(name)[key].value, nan_ok=True)
    for key, value in one.values.items():
        assert value.value == pytest.approx(other[key].value), key


@LOOSE
@given(st.integers(2, 6), st.integers(0, 1000))
def test_permuting_the_classes_permutes_the_sets(classes: int, seed: int) -> None:
    own = made(90, classes, seed=seed)
    order = np.random.default_rng(seed).permutation(classes)
    names = [own.labels.names[k] for k in order]
    moved = ClassScores(
        LabelSpace.of(names, own.labels.positive),
        np.argsort(order)[own.number],
        own.logits[:, order],
        own.probabilities[:, order],
    )
    found = []
    for scores in (own, moved):
        rule = fit_conformal(as_scores(scores), level=0.2)
        how = DecisionPolicy(scores.labels, OperatingPoint(), rule)
        possible = how.decide_many(as_scores(scores).decided_by).possible
        numbers = set_numbers(how, scores, patients(90), resamples=0)
        found.append((possible, numbers))
    (sets, one), (others, other) = found
    if classes > 2:  # of two classes the sets are one interval of the positive one's probability
        np.testing.assert_array_equal(sets[:, order], others)
    coverage = [one.coverage_by_class[k].value for k in order]
    assert coverage == pytest.approx([each.value for each in other.coverage_by_class])
    assert [each.value for each in one.sizes] == pytest.approx([e.value for e in other.sizes])
    for name in ("coverage", "named", "kind_uncertain", "uncertain", "right"):
        assert getattr(one, name).value == pytest.approx(getattr(other, name).value, nan_ok=True)


@LOOSE
@given(
    st.integers(2, 6),
    st.integers(0, 1000),
    st.sampled_from(["temperature", "platt"]),
)
def test_calibrated_probabilities_sum_to_one(classes: int, seed: int, method: str) -> None:
    own = made(40 * classes, classes, seed=seed)
    balanced = ClassScores(own.labels, np.arange(len(own)) % classes, own.logits, own.probabilities)
    logits = balanced.logits + 1.5 * np.eye(classes)[balanced.number]
    fitted = fit_classes(
        ClassScores(own.labels, balanced.number, logits, softmax(logits)), method=method
    )
    said = fitted.apply(own.logits)
    assert said.sum(axis=1) == pytest.approx(1)
    assert ((said >= 0) & (said <= 1)).all()
    group = ClassScores(own.labels, own.number, own.logits, said)
    assert group.probability == pytest.approx(said[:, 1:].sum(axis=1))


@LOOSE
@given(st.integers(2, 6), st.integers(0, 1000), st.floats(0.2, 4))
def test_the_area_does_not_change_by_a_monotone_map(classes: int, seed: int, power: float) -> None:
    scores = made(60, classes, seed=seed)
    bent = scores.probabilities**power / classes  # no longer probabilities: only their order counts
    moved = ClassScores(scores.labels, scores.number, scores.logits, bent)
    for one, other in zip(measured(scores).by_class, measured(moved).by_class, strict=True):
        assert one["auc"].value == pytest.approx(other["auc"].value)


@LOOSE
@given(st.integers(2, 6), st.integers(0, 1000))
def test_shares_sum_to_one(classes: int, seed: int) -> None:
    scores = made(70, classes, seed=seed)
    own = as_scores(scores)
    found = class_numbers(scores, patients(70), policy=policy(classes, own), resamples=0)
    for row in found.shares:
        assert sum(cell.value or 0 for cell in row) == pytest.approx(1)
    assert found.sets is not None
    assert sum(one.value or 0 for one in found.sets.sizes) == pytest.approx(1)
    concluded = (found.sets.named, found.sets.kind_uncertain, found.sets.uncertain)
    assert sum(one.value or 0 for one in concluded) == pytest.approx(1)
    assert sum(found.counts) == 70


@LOOSE
@given(st.integers(2, 6), st.integers(0, 1000), st.floats(0.05, 0.3), st.floats(0.05, 0.3))
def test_sets_are_nested_in_the_level_and_never_empty(
    classes: int, seed: int, one: float, other: float
) -> None:
    own = as_scores(made(120, classes, seed=seed))
    small, large = sorted((one, other))
    sets = [
        policy(classes, own, level=level).decide_many(own.decided_by).possible
        for level in (small, large)
    ]
    assert (sets[0] >= sets[1]).all()
    assert sets[1].any(axis=1).all()


@LOOSE
@given(st.integers(3, 6), st.integers(0, 1000))
def test_one_image_is_decided_as_many_are(classes: int, seed: int) -> None:
    own = as_scores(made(60, classes, seed=seed))
    how = policy(classes, own)
    outcomes = how.decide_many(own.decided_by)
    groups = {POSITIVE_CODE: how.labels.pair[1], NEGATIVE_CODE: how.labels.pair[0], -1: "UNCERTAIN"}
    for row, code in zip(own.decided_by.tolist(), outcomes.code.tolist(), strict=True):
        assert how.decide(row).conclusion == (how.labels.names[code] if code >= 0 else groups[code])


def test_each_class_keeps_its_promise_on_new_images() -> None:
    """Class-conditional coverage: of each class, at most the level misses its true class."""
    level = 0.1
    how = policy(4, as_scores(made(4000, 4, seed=1)), level=level)
    new = made(8000, 4, seed=2)
    found = set_numbers(how, new, patients(8000), resamples=0)
    for one in found.coverage_by_class:
        assert one.high is not None
        assert one.high > 1 - level
        assert one.value == pytest.approx(1 - level, abs=0.03)
    assert found.error_level == level


def test_sure_of_the_group_and_not_of_the_kind() -> None:
    labels = LabelSpace.of(NAMES[:3], NAMES[1:3], "PNEUMONIA")
    own = as_scores(made(300, 3, seed=4))
    rule = fit_conformal(own, level=0.1)
    how = DecisionPolicy(labels, OperatingPoint(), rule)
    said = how.decide((0.02, 0.5, 0.48))
    assert said.conclusion == "PNEUMONIA"
    assert said.possible == ("BACTERIA", "VIRUS")
    assert said.reasons == ("PNEUMONIA, kind uncertain: BACTERIA and VIRUS are possible",)
    assert how.decide((0.01, 0.98, 0.01)).conclusion == "BACTERIA"
    assert how.decide((0.35, 0.33, 0.32)).conclusion == "UNCERTAIN"


@pytest.mark.parametrize("method", ["temperature", "platt"])
@pytest.mark.parametrize("classes", [3, 5])
def test_calibration_mends_what_was_bent(method: str, classes: int) -> None:
    true = made(4000, classes, seed=8)
    rng = np.random.default_rng(0)
    drawn = (rng.random(4000)[:, np.newaxis] > true.probabilities.cumsum(axis=1)).sum(axis=1)
    scales = 2.5 if method == "temperature" else np.linspace(1.5, 3, classes)
    biases = 0.0 if method == "temperature" else np.linspace(-1, 1, classes)
    bent = true.logits * scales + biases
    scores = ClassScores(true.labels, drawn, bent, softmax(bent))
    found = fit_classes(scores, method=method)
    assert found.loss_before is not None
    assert found.loss_after is not None
    assert found.loss_after < found.loss_before
    assert found.apply(bent).sum(axis=1) == pytest.approx(1)
    assert np.abs(found.apply(bent) - true.probabilities).mean() < 0.02
    if method == "temperature":
        assert found.temperature == pytest.approx(2.5, rel=0.1)
    assert VectorCalibration.from_dict(found.to_dict()) == found


def test_calibration_that_cannot_be() -> None:
    scores = made(60, 3, seed=3)
    with pytest.raises(DataError, match="10 images of each class"):
        fit_classes(made(20, 3), method="temperature")
    wrong = ClassScores(scores.labels, scores.number, -scores.logits, softmax(-scores.logits))
    with pytest.raises(DataError, match="not higher"):
        fit_classes(wrong)
    sure = 50.0 * np.eye(3)[scores.number]
    found = fit_classes(ClassScores(scores.labels, scores.number, sure, softmax(sure)))
    assert "separate the classes" in found.note


def test_the_group_is_the_sum_and_its_odds_keep_their_digits() -> None:
    logits = np.array([[0.0, 80.0, 79.0], [90.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    scores = ClassScores(space(3), np.array([1, 0, 2]), logits, softmax(logits))
    assert scores.label.tolist() == [1, 0, 1]
    assert scores.probability == pytest.approx([1, 0, 2 / 3])
    assert scores.log_odds[0] == pytest.approx(80 + np.log1p(np.exp(-1)))
    assert scores.log_odds[1] == pytest.approx(1 - 90 + np.log1p(np.exp(-1)))


def test_scores_come_back_from_their_file(tmp_path: Path) -> None:
    labels = LabelSpace.of(NAMES[:3], NAMES[1:3], "PNEUMONIA")
    own = made(40, 3, seed=5)
    own = ClassScores(labels, own.number, own.logits, own.probabilities)
    scores = as_scores(own)
    scores.save(tmp_path / "scores-val.csv")
    again = Scores.load(tmp_path / "scores-val.csv")
    assert again.classes is not None
    assert again.classes.labels == labels
    np.testing.assert_array_equal(again.classes.number, own.number)
    np.testing.assert_array_equal(again.classes.logits, own.logits)
    np.testing.assert_array_equal(again.classes.probabilities, own.probabilities)
    np.testing.assert_array_equal(again.label, own.label)
    assert again.select([3, 1]).classes is not None
    text = (tmp_path / "scores-val.csv").read_text().replace(",VIRUS,", ",VIRIS,")
    (tmp_path / "wrong.csv").write_text(text)
    with pytest.raises(DataError, match="VIRIS"):
        Scores.load(tmp_path / "wrong.csv")


def test_an_evaluation_holds_both_and_comes_back() -> None:
    scores = as_scores(made(200, 3, seed=6), part="test")
    labels = space(3)
    reader = Reader("r", labels, policy=policy(3, as_scores(made(200, 3, seed=7))))
    found = evaluate(scores, Question(resamples=100), reader=reader)
    assert found.by_class is not None
    assert found.confusion == (
        tuple(np.bincount(scores.probability[scores.label == 0] >= 0.5, minlength=2).tolist()),
        tuple(np.bincount(scores.probability[scores.label == 1] >= 0.5, minlength=2).tolist()),
    )
    again = Evaluation.from_dict(found.to_dict())
    assert again.by_class is not None
    assert again.by_class.to_dict() == found.by_class.to_dict()
    assert again.labels == labels
    two = evaluate(Scores(scores.path, scores.patient, scores.label, scores.logit,
                          scores.probability), Question(resamples=0))  # fmt: skip
    assert two.by_class is None
    assert two["auc"].value == pytest.approx(found["auc"].value)
    assert "classes" not in two.to_dict()


def test_patients_get_the_mean_of_each_class() -> None:
    own = made(6, 3, seed=1)
    own = ClassScores(own.labels, np.array([0, 0, 1, 1, 2, 2]), own.logits, own.probabilities)
    unit = ("a", "a", "b", "b", "c", "c")
    scores = as_scores(own)
    alone = Scores(
        scores.path,
        tuple(Patient.of(name, name) for name in unit),
        scores.label,
        scores.logit,
        scores.probability,
        classes=own,
    )
    found = aggregated(alone, unit)
    assert found.classes is not None
    assert found.classes.number.tolist() == [0, 1, 2]
    assert found.classes.probabilities[0] == pytest.approx(own.probabilities[:2].mean(axis=0))
    assert found.classes.probability == pytest.approx(found.probability)
    assert aggregated(alone, unit, how="max").classes is None
    mixed = ("a", "a", "b", "b", "b", "b")
    people = tuple(Patient.of(name, name) for name in mixed)
    both = Scores(alone.path, people, alone.label, alone.logit, alone.probability, classes=own)
    assert aggregated(both, mixed).classes is None


def test_what_cannot_be_measured() -> None:
    scores = made(30, 3)
    with pytest.raises(DataError, match="no images"):
        measured(scores.select(np.array([], np.int64)))
    with pytest.raises(OptionError, match="resamples"):
        measured(scores, resamples=10)
    with pytest.raises(ValueError, match="numbers of classes"):
        ClassScores(space(3), np.array([3]), np.zeros((1, 3)), np.full((1, 3), 1 / 3))
    with pytest.raises(ValueError, match="images of 3 classes"):
        ClassScores(space(3), np.array([1]), np.zeros((1, 2)), np.full((1, 3), 1 / 3))
    one = scores.select(np.flatnonzero(scores.number != 2))
    found = measured(one)
    assert found.of("VIRUS")["auc"].value is None
    assert found["macro_auc"].value is None

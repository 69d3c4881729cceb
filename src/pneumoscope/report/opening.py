"""The opening of a page about an evaluation: what was asked, what was found, what to know.

Readers of two classes, of more, and of several findings have one each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pneumoscope.data.generated import GENERATED
from pneumoscope.evaluation.decision import sets_aside
from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
from pneumoscope.report.page import Statement
from pneumoscope.report.words import (
    CLASS_NAMES,
    FINDINGS_NAMES,
    NAMES,
    images_of,
    short_pair,
    statement,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pneumoscope.labels import LabelSpace

Judged: TypeAlias = Evaluation | FindingsEvaluation
"""An evaluation of a reader of classes, or of several findings."""

SHOWN_CAVEATS = 3
"""So many are shown, and all grave ones."""

_ALWAYS = {"other-hospitals", "labels"}  # notes that hold of any evaluation


class Opening(NamedTuple):
    """The sentences and numbers that a page begins with."""

    question: str
    answer: str
    caveats: tuple[str, ...]
    headline: tuple[Statement, ...]


def opening_of(found: Judged, *, more: Sequence[str] = (), generated: bool = False) -> Opening:
    """Return the opening of a page.

    Args:
        found: The evaluation.
        more: Further caveats.
        generated: Whether the images were drawn by this package.
    """
    first = (GENERATED,) if generated else ()
    if isinstance(found, FindingsEvaluation):
        question, answer = findings_question(found.numbers.names), findings_answer(found)
        return Opening(question, answer, (*first, *found.notes, *more), findings_headline(found))
    return Opening(
        question_of(found.labels),
        f"{answer_of(found)} {class_answer(found)}".rstrip(),
        (*first, *caveats(found, more=more)),
        (*headline(found), *class_headline(found)),
    )


def question_of(labels: LabelSpace) -> str:
    """Return the question of a page: which groups, and which classes, are to be told apart.

    >>> from pneumoscope.labels import LabelSpace
    >>> question_of(LabelSpace.of(["NORMAL", "BACTERIA", "VIRUS"], ["BACTERIA", "VIRUS"], "ILL"))
    'Can a chest X-ray alone tell ILL from NORMAL, and each of 3 classes from the others?'
    """
    negative, positive = short_pair(labels)
    several = f", and each of {len(labels)} classes from the others" if len(labels) > 2 else ""
    return f"Can a chest X-ray alone tell {positive} from {negative}{several}?"


def findings_question(names: Sequence[str]) -> str:
    """Return what a reader of findings is to find out."""
    if len(names) == 1:
        return f"Does a chest X-ray alone show {names[0]}?"
    return f"Which of {len(names)} findings does a chest X-ray alone show?"


def answer_of(found: Evaluation) -> str:
    """Return the result in a few sentences, with intervals and baselines."""
    deployed = found.policy.deployed if found.policy is not None and sets_aside(found) else None
    if deployed is None:
        text = (
            f"Based on the image alone, {found['accuracy'].percent()} of {found.n:,} "
            f"{images_of(found)} were classified correctly"
        )
    else:
        text = (
            f"Based on the image alone, {deployed.set_aside.percent()} of {found.n:,} "
            f"{images_of(found)} were set aside, and {deployed.accuracy.percent()} of the "
            "others were classified correctly. Without setting any aside, the accuracy is "
            f"{found['accuracy'].percent()}"
        )
    naive = found.baseline("majority class")
    if naive is not None and naive.accuracy.value is not None:
        text += f"; always predicting the majority class gives {naive.accuracy.value:.1%}"
    area = found["auc"]
    if area.value is None:
        return f"{text}. All are of one class, so discrimination cannot be evaluated."
    return (
        f"{text}. The AUC, the probability that a positive image ranks above a negative one, is "
        f"{area.with_range()}."
    )


def class_answer(found: Evaluation) -> str:
    """Return what a reader of several classes achieves in a sentence; empty for two classes."""
    own = found.by_class
    if own is None:
        return ""
    text = (
        f"The most probable of its {len(own.labels)} classes is the true one for "
        f"{own['accuracy'].percent()} of the {images_of(found)}"
    )
    area = own["macro_auc"]
    if area.value is not None:
        text += f"; the mean of the AUCs of each class against the rest is {area.with_range()}"
    return f"{text}."


def findings_answer(found: FindingsEvaluation) -> str:
    """Return what was found, in a sentence or two."""
    numbers = found.numbers
    areas = [
        (own["auc"].value, name)
        for name, own in zip(numbers.names, numbers.by_finding, strict=True)
        if own["auc"].value is not None
    ]
    text = (
        f"On {numbers.n:,} {images_of(found)} of {numbers.patients:,} patients the mean AUC over "
        f"{len(areas)} findings is {numbers['macro_auc'].with_range()}"
    )
    if len(areas) < 2:
        return f"{text}."
    (low, worst), (high, best) = min(areas), max(areas)
    return f"{text}: from {low:.3f} for {worst} to {high:.3f} for {best}."


def headline(found: Evaluation) -> tuple[Statement, ...]:
    """Return the four main metrics, of the decision as deployed if images are set aside.

    ``decision_rows`` has those of the threshold alone beside them.
    """
    note = f"at probability ≥ {found.threshold.value:.3g}"
    if found.policy is None or not sets_aside(found):
        rates = ("sensitivity", "specificity", "balanced_accuracy")
        return (statement(found, "auc"), *(statement(found, key, note) for key in rates))
    now, alone = found.policy.deployed, found.policy.at_threshold
    return (
        statement(found, "auc"),
        *(
            Statement(
                f"{NAMES[key]}, as deployed", value.with_range(), value.n,
                f"on all images, {note}: {other.with_range()}",
            )
            for key, value, other in (
                ("sensitivity", now.sensitivity, alone.sensitivity),
                ("specificity", now.specificity, alone.specificity),
            )
        ),
        Statement("Set aside", now.set_aside.with_range(), now.set_aside.n),
    )  # fmt: skip


def class_headline(found: Evaluation) -> tuple[Statement, ...]:
    """Return the two main numbers of a reader of several classes; none for two classes."""
    own = found.by_class
    if own is None:
        return ()
    note = f"{len(own.labels)} classes"
    shown = {
        "balanced_accuracy": "Balanced accuracy by class", "macro_auc": CLASS_NAMES["macro_auc"],
    }  # fmt: skip
    return tuple(Statement(name, own[key].with_range(), own.n, note) for key, name in shown.items())


def findings_headline(found: FindingsEvaluation, n: int = 3) -> tuple[Statement, ...]:
    """Return the first ``n`` means over the findings."""
    return tuple(
        Statement(title, found.numbers[key].with_range(), found.numbers[key].n)
        for key, title in list(FINDINGS_NAMES.items())[:n]
    )


def caveats(found: Evaluation, *, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the most severe caveats: three, or all severe ones.

    Args:
        found: The evaluation.
        more: What else there is to say, if there is room; what always holds comes after it.
    """
    special = [note for note in found.notes if note.code not in _ALWAYS]
    always = [note.text for note in found.notes if note.code in _ALWAYS]
    grave = [note.text for note in special if note.grave]
    rest = [note.text for note in special if not note.grave]
    shown = [*grave, *rest, *more, *always]
    return tuple(shown[: max(SHOWN_CAVEATS, len(grave))])

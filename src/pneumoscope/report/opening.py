"""The opening of a page about an evaluation: question, answer and caveats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from pneumoscope.data.generated import GENERATED
from pneumoscope.evaluation.decision import sets_aside
from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
from pneumoscope.report.class_sections import classes_held
from pneumoscope.report.page import Statement
from pneumoscope.report.rendering import texts
from pneumoscope.report.words import (
    CLASS_NAMES,
    FINDINGS_NAMES,
    NAMES,
    facts_of,
    images_of,
    statements_of,
)

Judged: TypeAlias = Evaluation | FindingsEvaluation
"""An evaluation of a reader of classes, or of several findings."""

SHOWN_CAVEATS = 3
"""The maximum number of caveats shown, unless more are severe."""

_MEANS = ("macro_auc", "macro_sensitivity", "macro_specificity")
_ALWAYS = {"other-hospitals", "labels"}  # notes that apply to any evaluation


def opening_of(
    found: Judged, *, more: Sequence[str] = (), generated: bool = False
) -> dict[str, Any]:
    """Return the opening of a page: its question, answer, caveats and headline.

    Args:
        found: The evaluation.
        more: Further caveats.
        generated: Whether the images were drawn by this package.
    """
    first = (GENERATED,) if generated else ()
    if isinstance(found, FindingsEvaluation):
        numbers = found.numbers
        each = zip(numbers.by_finding, numbers.names, strict=True)
        areas = [(own["auc"].value, name) for own, name in each]
        return {
            **texts(
                "pages.yaml",
                "findings",
                numbers=numbers,
                names=numbers.names,
                images=images_of(found),
                areas=sorted(pair for pair in areas if pair[0] is not None),
            ),
            "caveats": (*first, *found.notes, *more),
            "headline": statements_of(numbers, dict.fromkeys(_MEANS, ""), FINDINGS_NAMES),
        }
    facts = facts_of(found)
    by_class = texts("pages.yaml", "by_class", **facts)["answer"]
    held = ", ".join(f"{n:,} {name}" for name, n in zip(*classes_held(found), strict=True))
    return {
        **texts("pages.yaml", "evaluation", by_class=by_class, held=held, **facts),
        "caveats": (*first, *caveats(found, more=more)),
        "headline": (*headline(found), *class_headline(found)),
    }


def words_of(kind: str, *, generated: bool = False, **facts: object) -> dict[str, Any]:
    """Return the opening texts of a page, with its three most severe caveats.

    Args:
        kind: The key of the page in ``pages.yaml``.
        generated: Whether the images were drawn by this package.
        facts: The variables of the texts.
    """
    words = texts("pages.yaml", kind, **facts)
    known = words.pop("caveats", "").split("\n\n")[:SHOWN_CAVEATS]
    return {**words, "caveats": (*([GENERATED] if generated else []), *filter(None, known))}


def headline(found: Evaluation) -> tuple[Statement, ...]:
    """Return the four main metrics, of the decision as deployed if images are set aside.

    ``decision_rows`` also has those of the threshold alone.
    """
    note = f"at probability ≥ {found.threshold.value:.3g}"
    if found.policy is None or not sets_aside(found):
        rates = dict.fromkeys(("sensitivity", "specificity", "balanced_accuracy"), note)
        return statements_of(found, {"auc": "", **rates})
    now, alone = found.policy.deployed, found.policy.at_threshold
    deployed = {"sensitivity": now.sensitivity, "specificity": now.specificity}
    notes = {key: f"on all images, {note}: {getattr(alone, key).with_range()}" for key in deployed}
    names = {key: f"{NAMES[key]}, as deployed" for key in deployed}
    return (
        *statements_of(found, {"auc": ""}),
        *statements_of(deployed, notes, names),
        *statements_of({"set_aside": now.set_aside}, {"set_aside": ""}),
    )


def class_headline(found: Evaluation) -> tuple[Statement, ...]:
    """Return the two main numbers of a reader of several classes; none for two classes."""
    own = found.by_class
    if own is None:
        return ()
    shown = ("balanced_accuracy", "macro_auc")
    names = {**CLASS_NAMES, "balanced_accuracy": "Balanced accuracy by class"}
    return statements_of(own, dict.fromkeys(shown, f"{len(own.labels)} classes"), names)


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

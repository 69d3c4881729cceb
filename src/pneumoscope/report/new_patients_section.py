"""What to expect on new patients: the section of a page, and the text of a card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.evaluation.estimate import level_text
from pneumoscope.evaluation.new_patients import ESTIMATOR
from pneumoscope.report.figures.groups import new_patients_forest
from pneumoscope.report.page import Section, Statement
from pneumoscope.report.words import NAMES

if TYPE_CHECKING:
    from pneumoscope.evaluation.new_patients import Expected, NewPatients
    from pneumoscope.report.canvas import Canvas
    from pneumoscope.report.tables import Table

_NAMES = {**NAMES, "set_aside": "Set aside, as deployed", "error": "Wrong among the others"}


def new_patients_section(found: NewPatients, canvas: Canvas) -> Section:
    """Return the section of a page.

    Args:
        found: What was found.
        canvas: Takes the files of figure and table.
    """
    completed = [group for group in found.groups if group.completed]
    texts = [
        f"{how_judged(found)} {promise(found)}",
        f"Estimator: {ESTIMATOR}. With so few groups it is a rough estimate.",
    ]
    if completed:
        told = "; ".join(f"{group.name} by {group.completed}" for group in completed)
        texts.append(f"Groups that lack a class were completed: {told}.")
    if found.note:
        texts.append(f"{found.note[:1].upper()}{found.note[1:]}.")
    return Section(
        "What to expect on new patients",
        text="\n\n".join(texts),
        statements=tuple(
            Statement(_NAMES[name], own.mean.with_range(), own.mean.n, range_text(own))
            for name, own in found.expected.items()
        ),
        panels=(canvas.panel(new_patients_forest(found), "new-patients"),),
        table=canvas.table("new-patients-groups", group_table(found)),
        table_title="Each group, and block validation",
    )


def how_judged(found: NewPatients) -> str:
    """Describe how groups were judged, in a sentence or two."""
    text = (
        f"{len(found.groups)} groups of images by {found.by} were held out in turn: each is "
        "evaluated with a reader trained on the others, whose threshold, calibration and "
        "uncertain zone were chosen on the others."
    )
    if found.nested:
        return (
            f"{text} The scores they were chosen on come from readers that were not trained on the "
            "group."
        )
    return (
        f"{text} The readers that gave these scores were also trained on the group, whose own "
        "scores were not used."
    )


def promise(found: NewPatients) -> str:
    """Describe over which groups the decision of the reader was chosen."""
    where = (
        "in the worst of these groups"
        if found.share >= 1
        else f"in {found.share:.0%} of these groups"
    )
    return (
        f"The reader's own decision (rule {found.rule}) was chosen over all of them, so that it "
        f"holds {where}."
    )


def range_text(own: Expected) -> str:
    """Return the range of groups, what to expect of one more, and the optimism of a block."""
    text = f"groups from {own.lowest:.3f} to {own.highest:.3f} (worst: {own.worst})"
    if own.new_low is not None and own.new_high is not None:
        text += f"; one more group: {own.new_low:.3f} to {own.new_high:.3f}"
    if own.block is not None and own.optimism is not None:
        text += f"; block validation {own.block:.3f}, optimism {own.optimism:+.3f}"
    return text


def group_table(found: NewPatients) -> Table:
    """Return a row a group: the decision over the others, and what its block promised."""
    header = (
        "group", "images", "patients", "training images", "threshold", "sensitivity", "specificity",
        "AUC", "ECE", "set aside", "block: sensitivity", "block: specificity", "kept: sensitivity",
        "kept: specificity",
    )  # fmt: skip
    rows = []
    for group in found.groups:
        numbers = [
            group.found.numbers[name].with_range()
            for name in ("sensitivity", "specificity", "auc", "ece", "set_aside")
        ]
        block = [
            one.numbers[name].text()
            for one in (group.promised, group.at_block)
            for name in ("sensitivity", "specificity")
        ]
        rows.append(
            (group.name, f"{group.n:,}", f"{group.patients:,}", f"{group.taught:,}",
             f"{group.found.threshold:.3f}", *numbers, *block)
        )  # fmt: skip
    return header, tuple(rows)


def card_lines(found: NewPatients) -> list[str]:
    """Return what a card says of new patients, as lines of text."""
    numbers = [
        f"{_NAMES[name]}: {own.mean.with_range()} ({level_text(found.level)} "
        f"interval of the mean); {range_text(own)}"
        for name, own in found.expected.items()
    ]
    return [f"{how_judged(found)} {promise(found)}", *numbers, f"Estimator: {ESTIMATOR}."]

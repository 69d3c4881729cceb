"""The performance of a decision as text and table rows: as deployed and at the threshold alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.reader.prediction import probability_text

if TYPE_CHECKING:
    from pneumoscope.evaluation.evaluation import Evaluation


def sets_aside(found: Evaluation) -> bool:
    """Return whether the decision leaves images without a conclusion."""
    policy = found.policy
    return policy is not None and (policy.zone is not None or policy.gate_known)


def decision_rows(found: Evaluation) -> tuple[tuple[str, str, str], ...]:
    """Return rows of name, value as deployed, and value at the threshold alone.

    Empty if every image has a conclusion, so that both values are equal.
    """
    if found.policy is None or not sets_aside(found):
        return ()
    now, alone = found.policy.deployed, found.policy.at_threshold
    negative, positive = found.classes
    rows = (
        ("Sensitivity, classified images", now.sensitivity, alone.sensitivity),
        ("Specificity, classified images", now.specificity, alone.specificity),
        ("Accuracy, classified images", now.accuracy, alone.accuracy),
    )
    table = [(name, value.with_range(), other.with_range()) for name, value, other in rows]
    table += [
        (name, value.with_range(), "none")
        for name, value in (
            ("Set aside", now.set_aside),
            (f"Uncertain, {negative}", now.uncertain_negative),
            (f"Uncertain, {positive}", now.uncertain_positive),
            ("Rejected by the gate", now.refused),
        )
        if value.value is not None
    ]
    error = (alone.sensitivity, alone.specificity)
    missed, alarms = (1 - one.value if one.value is not None else None for one in error)
    table += [
        (name, value.with_range(), "not defined" if other is None else f"{other:.3f}")
        for name, value, other in (
            (f"{positive} classified as {negative}, of all {positive}", now.missed, missed),
            (f"{negative} classified as {positive}, of all {negative}", now.false_alarms, alarms),
        )
    ]
    return tuple(table)


def decision_text(found: Evaluation) -> str:
    """Describe the decision as deployed in one or two sentences; empty if nothing is set aside."""
    policy = found.policy
    if policy is None or not sets_aside(found):
        return ""
    text = f"As deployed, {policy.deployed.set_aside.percent()} are set aside"
    if policy.zone is not None:
        low, high = policy.zone
        text += (
            f" (UNCERTAIN at probabilities from {probability_text(low)} to {probability_text(high)}"
        )
        text += "; rejected by the gate)" if policy.gate_known else ")"
    text += f"; of the others, {policy.deployed.accuracy.percent()} are classified correctly."
    if policy.error_level is not None:
        text += (
            f" The zone is designed so that at most {policy.error_level:.1%} of each class are "
            "classified as the other class, for images like the validation images."
        )
    return text

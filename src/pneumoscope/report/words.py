"""Terms for pages, tables and cards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.evaluation.decision import decision_text, sets_aside
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.multiclass.calibration import VectorCalibration
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
from pneumoscope.evaluation.notes import units
from pneumoscope.labels import LabelSpace
from pneumoscope.report.page import Statement
from pneumoscope.report.rendering import read_yaml, texts


class Numbers(Protocol):
    """Metrics by name: those of an evaluation, of a class, of a finding or of a group."""

    def __getitem__(self, name: str, /) -> Estimate:
        """Return the metric with this name."""


PARTS = {"train": "training", "val": "validation", "test": "test"}
"""Displayed names of the sets."""

_WORDS = read_yaml("names.yaml")
NAMES, CLASS_NAMES, FINDINGS_NAMES = (_WORDS[kind] for kind in ("metrics", "classes", "findings"))
"""Displayed names of metrics, of those over all classes, and of means over several findings."""

_GROUP_CHARACTERS = 24


def images_of(found: Evaluation | FindingsEvaluation) -> str:
    """Return the term for the images, or the studies or patients: ``test images``."""
    what = units(found) if isinstance(found, Evaluation) else "images"
    return f"{PARTS[found.part]} {what}" if found.part in PARTS else what


def short_pair(labels: LabelSpace) -> tuple[str, str]:
    """Return the names of the (negative, positive) group, short enough for a figure.

    >>> from pneumoscope.labels import LabelSpace
    >>> short_pair(LabelSpace.of(["NORMAL", "OPACITY", "COVID-19", "TUBERCULOSIS"], ["NORMAL"]))
    ('any of 3 classes', 'NORMAL')
    """
    negative, positive = (
        name
        if len(names) == 1 or len(name) <= _GROUP_CHARACTERS
        else f"any of {len(names)} classes"
        for name, names in zip(labels.pair, (labels.negative, labels.positive), strict=True)
    )
    return negative, positive


def facts_of(found: Evaluation) -> dict[str, object]:
    """Return the variables of texts about an evaluation."""
    return {
        "found": found,
        "images": images_of(found),
        "units": units(found),
        "aside": sets_aside(found),
        "decision": decision_text(found),
        "pair": short_pair(found.labels),
    }


def name_of(key: str, names: Mapping[str, str] = NAMES) -> str:
    """Return the displayed name of a metric."""
    return names.get(key, key.replace("_", " ").capitalize())


def statements_of(
    numbers: Numbers, notes: Mapping[str, str], names: Mapping[str, str] = NAMES
) -> tuple[Statement, ...]:
    """Return metrics as lines of results.

    Args:
        numbers: The metrics.
        notes: The metrics to show, with a note on the conditions of each.
        names: Their displayed names.
    """
    return tuple(
        Statement(name_of(key, names), numbers[key].with_range(), numbers[key].n, note)
        for key, note in notes.items()
    )


def calibration_words(line: Calibration | VectorCalibration | None) -> str:
    """Describe the calibration."""
    return texts("sections.yaml", "calibration_words", line=line)["text"]

"""Fit calibration, threshold and uncertain zone of each of several findings on validation images.

Each finding is decided as the positive class of two, on the images that have a label for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.evaluation.multilabel.scores import FindingScores
from pneumoscope.evaluation.policy import summary
from pneumoscope.reader.drift import histogram
from pneumoscope.reader.findings import FindingRule
from pneumoscope.workflow.decide import Decided, decide_on

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.reader.model_file.metadata import ModelInfo
    from pneumoscope.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class FindingsCalibration:
    """The calibration of each finding, a line from its logit to the logit of its probability.

    Attributes:
        each: Calibration of each finding, [F].
    """

    each: tuple[Calibration, ...]

    @property
    def scales(self) -> tuple[float, ...]:
        """The slope of each finding."""
        return tuple(one.scale for one in self.each)

    @property
    def biases(self) -> tuple[float, ...]:
        """The bias of each finding."""
        return tuple(one.bias for one in self.each)

    def apply(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities of logits, both [n, F]."""
        line = np.asarray(logits, np.float64) * np.array(self.scales) + np.array(self.biases)
        found: NDArray[np.float64] = 0.5 * (1 + np.tanh(line / 2))
        return found


@dataclass(frozen=True, slots=True)
class FindingsDecided:
    """The fitted decisions of a reader of several findings.

    Attributes:
        names: The findings.
        each: The fitted decision of each finding.
        scores: The calibrated validation scores that the decisions are based on.
        notes: Decisions that could not be made, with findings and reasons.
    """

    names: tuple[str, ...]
    each: tuple[Decided, ...]
    scores: FindingScores
    notes: tuple[str, ...]

    @property
    def calibration(self) -> FindingsCalibration:
        """The calibration of each finding."""
        found = []
        for decided in self.each:
            assert isinstance(decided.calibration, Calibration)  # noqa: S101 - of two classes
            found.append(decided.calibration)
        return FindingsCalibration(tuple(found))

    def decided_info(self, bare: ModelInfo) -> ModelInfo:
        """Return metadata with the decisions."""
        info = replace(
            bare,
            findings=tuple(
                FindingRule(one.point, one.conformal, one.calibration.to_dict())
                for one in self.each
            ),
        )
        rules = []
        for name, rule, one in zip(self.names, info.findings, self.each, strict=True):
            reference: dict[str, Any] = {}
            if len(one.scores):
                reference["probability_histogram"] = histogram(one.scores.probability)
                reference["policy"] = summary(info.of_finding(name).policy(), one.scores)
            rules.append(replace(rule, reference=reference))
        return replace(info, findings=tuple(rules))


def decide_findings(
    recipe: Recipe, data: PreparedData, logits: NDArray[np.float64], *, part: str = "val"
) -> FindingsDecided:
    """Fit the decision of each finding by the recipe's rules on validation images.

    Args:
        recipe: Recipe with ``calibration``, ``operating_point`` and ``error_level``.
        data: The images.
        logits: Logits of the validation rows, in order; float64 [n, F].
        part: Name of the part.

    Raises:
        OptionError: An invalid rule.
        LeakError: The part must not be used for decisions.
    """
    return decide_findings_on(
        raw_finding_scores(data, data.split.rows(part), logits, part=part), recipe
    )


def raw_finding_scores(
    data: PreparedData, rows: Sequence[int], logits: NDArray[np.float64], *, part: str = "val"
) -> FindingScores:
    """Return the uncalibrated scores of catalog rows.

    Args:
        data: The images.
        rows: The rows.
        logits: Logits of each row; float64 [n, F].
        part: Name of the part.
    """
    chosen = data.catalog.select(rows)
    return FindingScores(
        chosen.findings,
        chosen.finding_labels,
        logits,
        Calibration().apply(logits),
        tuple(entry.path for entry in chosen.entries),
        tuple(entry.patient for entry in chosen.entries),
        part,
        tuple(entry.sha256 for entry in chosen.entries),
    )


def decide_findings_on(raw: FindingScores, recipe: Recipe) -> FindingsDecided:
    """Fit the decision of each finding by the recipe's rules on scores; see ``decide_on``.

    Args:
        raw: Scores of validation images; their probabilities are not used.
        recipe: As for ``decide_findings``.

    Raises:
        OptionError: An invalid rule.
        LeakError: The scores must not be used for decisions.
    """
    each = tuple(decide_on(raw.of(name), recipe) for name in raw.names)
    notes = _noted(raw.names, each)
    calibrated = [one.calibration.apply(raw.logits[:, place]) for place, one in enumerate(each)]
    scores = replace(raw, probabilities=np.stack(calibrated, axis=1))
    return FindingsDecided(raw.names, each, scores, notes)


def _noted(names: Sequence[str], each: Sequence[Decided]) -> tuple[str, ...]:
    """Return the notes of all findings, each with the names of its findings."""
    of: dict[str, list[str]] = {}
    for name, decided in zip(names, each, strict=True):
        for note in decided.notes:
            of.setdefault(note, []).append(name)
    return tuple(f"{', '.join(own)}: {note}" for note, own in of.items())

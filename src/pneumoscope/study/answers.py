"""Answer the questions of a study from the scores of its runs on held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pneumoscope.evaluation.compare import align
from pneumoscope.evaluation.multilabel.repeated import mean_accuracy_contrast, mean_area_contrast
from pneumoscope.evaluation.multilabel.scores import (
    FindingScores,
    align_findings,
    holds_findings,
)
from pneumoscope.evaluation.paired import holm
from pneumoscope.evaluation.repeated import Contrast, Runs, accuracy_contrast, area_contrast
from pneumoscope.evaluation.scores import Scores
from pneumoscope.stats.intervals import LEVEL
from pneumoscope.study.folder import StudyRun

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pneumoscope.study.folder import Result, StudyFolder
    from pneumoscope.study.plan import Level, Plan, Question


@dataclass(frozen=True, slots=True)
class LevelRun:
    """A run of a level: seed, folder and result, which is None until the run is finished."""

    seed: int
    run: StudyRun
    result: Result | None


@dataclass(frozen=True, slots=True)
class Answered:
    """A level of a question, compared with the base.

    Attributes:
        level: The level.
        runs: The runs, one per seed.
        area: Difference of the held-out AUC from the base; None without a pair of runs.
        accuracy: The same for the accuracy.
        p_holm: P value for the area after Holm's correction for all levels of the question.
    """

    level: Level
    runs: tuple[LevelRun, ...]
    area: Contrast | None = None
    accuracy: Contrast | None = None
    p_holm: float | None = None

    @property
    def results(self) -> list[Result]:
        """The results of its finished runs."""
        return [own.result for own in self.runs if own.result is not None]

    @property
    def apart(self) -> bool:
        """Whether it differs significantly from the base."""
        return (
            self.p_holm is not None and self.area is not None and self.p_holm < 1 - self.area.level
        )

    def mean(self, number: str) -> float:
        """Return the mean of a held-out metric over its runs; NaN if there is none."""
        found = [result.held_out[number] for result in self.results]
        return float(np.mean(found)) if found else float("nan")

    @property
    def minutes(self) -> float:
        """The total duration of its runs in minutes."""
        return sum(result.seconds for result in self.results) / 60


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and its answer.

    Attributes:
        question: The question.
        base: The first level, which the others are compared with.
        others: The other levels.
        patients: Number of held-out patients.
        images: Number of held-out images.
        findings: The findings, of which AUC and accuracy are means; empty for classes.
    """

    question: Question
    base: Answered
    others: tuple[Answered, ...]
    patients: int
    images: int
    findings: tuple[str, ...] = ()

    @property
    def measure(self) -> str:
        """What is compared: ``AUC``, or its mean over the findings."""
        return "mean AUC" if self.findings else "AUC"

    def sentence(self) -> str:
        """Return the answer in one sentence, with its interval."""
        known = [other for other in self.others if other.area and other.area.value is not None]
        if not known:
            failed = [own.run.error() for one in (self.base, *self.others) for own in one.runs]
            why = next((f": {error.rstrip('.')}" for error in failed if error), "")
            return f"{self.question.ask} Not answered: no pair of runs is finished{why}."
        base = self.base.level.label
        seeds = _seeds(max(len(other.area.seeds) for other in known if other.area))
        apart = [other for other in known if other.apart]
        if not apart:
            widest = max(known, key=lambda other: abs(_value(other)))
            sentence = (
                f"{widest.level.label} against {base}: {self.measure} {_interval(widest.area)}"
            )
            among = "" if len(known) == 1 else f", the largest of {len(known)} differences"
            return (
                f"{self.question.ask} {_upper(sentence)}{among}; no significant difference with "
                f"{seeds} and {self.patients:,} patients."
            )
        parts = [
            f"{other.level.label} is {'better' if _value(other) > 0 else 'worse'} than {base}: "
            f"{self.measure} {_interval(other.area)}"
            for other in sorted(apart, key=_value, reverse=True)
        ]
        rest = len(known) - len(apart)
        if rest:
            parts.append(
                f"{'the other one' if rest == 1 else f'the other {rest}'} showed no significant "
                f"difference with {seeds}"
            )
        return f"{self.question.ask} {_upper('; '.join(parts))}."


def _value(other: Answered) -> float:
    return other.area.value if other.area and other.area.value is not None else 0.0


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _seeds(count: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return f"{words[count] if count < len(words) else count} seed{'' if count == 1 else 's'}"


def _interval(found: Contrast | None) -> str:
    assert found is not None  # noqa: S101 - checked by the caller
    assert found.value is not None and found.low is not None and found.high is not None  # noqa: S101, PT018
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def answers(
    folder: StudyFolder, plan: Plan, runs: Sequence[dict[str, object]], *, level: float = LEVEL
) -> list[Answer]:
    """Return the answer to each question of a plan.

    Args:
        folder: Folder of the study.
        plan: Plan of the study.
        runs: The runs that answer each question: ``runs`` of ``study.json``.
        level: Confidence level.
    """
    by_level: dict[tuple[str, str], list[LevelRun]] = {}
    for row in runs:
        run = StudyRun(folder.root / "runs" / str(row["run"]))
        result = run.result() if run.finished else None
        own = LevelRun(int(str(row["seed"])), run, result)
        for question, label in row["answers"]:  # type: ignore[attr-defined]
            by_level.setdefault((question, label), []).append(own)
    return [
        _answer(question, {one.label: by_level.get((question.name, one.label), [])
                           for one in question.levels}, level)
        for question in plan.questions
    ]  # fmt: skip


def _answer(question: Question, runs: dict[str, list[LevelRun]], level: float) -> Answer:
    first, *rest = (Answered(one, tuple(runs[one.label])) for one in question.levels)
    scored = [_against(first, other, level) for other in rest]
    corrected = holm([other.area.p if other.area else None for other in scored])
    others = tuple(
        Answered(other.level, other.runs, other.area, other.accuracy, p)
        for other, p in zip(scored, corrected, strict=True)
    )
    done = [own.run for one in (first, *others) for own in one.runs if own.result]
    known = _scores(done[0].held_out) if done else None
    return Answer(
        question,
        first,
        others,
        int(known.patient_numbers.max()) + 1 if known else 0,
        len(known) if known else 0,
        known.names if isinstance(known, FindingScores) else (),
    )


def _scores(path: Path) -> Scores | FindingScores:
    return FindingScores.load(path) if holds_findings(path) else Scores.load(path)


class _Finished(NamedTuple):
    """A finished run."""

    seed: int
    run: StudyRun
    result: Result


def _finished(level: Answered) -> list[_Finished]:
    return [_Finished(own.seed, own.run, own.result) for own in level.runs if own.result]


def _against(base: Answered, other: Answered, level: float) -> Answered:
    """Compare a level with the base, seed by seed, on the images that all runs scored."""
    of_base, of_other = ({own.seed: own for own in _finished(one)} for one in (base, other))
    seeds = [seed for seed in of_other if seed in of_base]
    if not seeds:
        return other
    both = [own[seed] for own in (of_other, of_base) for seed in seeds]
    found = _contrasts_of_findings if both[0].result.thresholds else _contrasts
    area, accuracy = found(both, level)
    return Answered(other.level, other.runs, area, accuracy)


def _contrasts(both: Sequence[_Finished], level: float) -> tuple[Contrast, Contrast]:
    """Return the differences in AUC and accuracy of the first half of runs from the second."""
    aligned, _ = align([Scores.load(own.run.held_out) for own in both])
    label, patient = aligned[0].label, aligned[0].patient_numbers
    right = [
        (scores.probability >= float(own.result.threshold or 0)) == (label == 1)
        for scores, own in zip(aligned, both, strict=True)
    ]
    first, second = _halves([scores.logit for scores in aligned], right)
    return (
        area_contrast(first, second, label=label, patient=patient, level=level),
        accuracy_contrast(first, second, patient=patient, level=level),
    )


def _contrasts_of_findings(both: Sequence[_Finished], level: float) -> tuple[Contrast, Contrast]:
    """Do the same for several findings, with means over them."""
    aligned = align_findings([FindingScores.load(own.run.held_out) for own in both])
    labels, patient = aligned[0].labels, aligned[0].patient_numbers
    right = [
        (scores.probabilities >= [own.result.thresholds[name] for name in scores.names])
        == (labels == 1)
        for scores, own in zip(aligned, both, strict=True)
    ]
    first, second = _halves([scores.logits for scores in aligned], right)
    return (
        mean_area_contrast(first, second, labels=labels, patient=patient, level=level),
        mean_accuracy_contrast(first, second, labels=labels, patient=patient, level=level),
    )


def _halves(
    logits: Sequence[NDArray[np.float64]], right: Sequence[NDArray[np.bool_]]
) -> tuple[Runs, Runs]:
    count = len(logits) // 2
    return Runs(logits[:count], right[:count]), Runs(logits[count:], right[count:])

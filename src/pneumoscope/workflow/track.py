"""Report a training to trackers: each row of ``log.csv``, then model and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pneumoscope.training.log import read_log
from pneumoscope.training.recipe import Recipe

if TYPE_CHECKING:
    from pneumoscope.evaluation.evaluation import Evaluation
    from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
    from pneumoscope.runs import RunFolder
    from pneumoscope.tracking import Tracker
    from pneumoscope.training.log import Epoch

_NUMBERS = (
    "auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "average_precision",
    "brier", "loss",
)  # fmt: skip


@dataclass(slots=True)
class Tracked:
    """Reports one run to trackers.

    Attributes:
        run: Folder of the run.
        trackers: The trackers.
        name: Name of the run in trackers.
        begun: Whether the run was reported.
    """

    run: RunFolder
    trackers: Sequence[Tracker]
    name: str = ""
    begun: bool = False

    def __post_init__(self) -> None:
        self.name = self.name or self.run.root.resolve().name

    def epoch(self, row: Epoch) -> None:
        """Report an epoch; the first time, also all previous epochs of a resumed run."""
        if self.begun:
            for tracker in self.trackers:
                tracker.epoch(self.name, row)
            return
        self._begin()

    def end(self, numbers: Mapping[str, float], *, failed: bool = False) -> None:
        """Report the results and files of the run.

        Args:
            numbers: Metrics by name.
            failed: Whether the run failed.
        """
        if not self.begun and self.run.config.is_file():
            self._begin()
        run = self.run
        files = [run.model, run.report, run.config, run.log, run.metrics, run.provenance]
        for tracker in self.trackers:
            tracker.end(self.name, numbers, files, failed=failed)

    def _begin(self) -> None:
        self.begun = True
        recipe = Recipe.load(self.run.config).to_dict()
        for tracker in self.trackers:
            tracker.begin(self.name, recipe)
            for row in read_log(self.run.log):
                tracker.epoch(self.name, row)


def tracked_numbers(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    """Return the main numbers of evaluations, by part and name: ``test_auc``."""
    return {
        f"{part}_{name}": value
        for part, found in evaluations.items()
        for name in _NUMBERS
        if name in found.numbers and (value := found[name].value) is not None
    }


def tracked_findings(evaluations: Mapping[str, FindingsEvaluation]) -> dict[str, float]:
    """Return the means over the findings by part and name: ``test_macro_auc``."""
    return {
        f"{part}_{name}": number.value
        for part, found in evaluations.items()
        for name, number in found.numbers.values.items()
        if number.value is not None
    }


def numbers_by_run(parts: Mapping[str, Sequence[Mapping[str, float]]]) -> list[dict[str, float]]:
    """Return the main numbers of each of several runs, by part and name.

    Args:
        parts: Metrics of each run, for each part.
    """
    count = max(map(len, parts.values()), default=0)
    return [
        {
            f"{part}_{name}": own[row][name]
            for part, own in parts.items()
            for name in _NUMBERS
            if name in own[row]
        }
        for row in range(count)
    ]

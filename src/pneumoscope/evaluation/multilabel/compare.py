"""Compare readers finding by finding, with one correction for all tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pneumoscope.errors import DataError
from pneumoscope.evaluation.bootstrap import RESAMPLES
from pneumoscope.evaluation.compare import Comparison, Contender, compare
from pneumoscope.evaluation.multilabel.scores import FindingScores
from pneumoscope.evaluation.pairs import corrected
from pneumoscope.stats.intervals import LEVEL


@dataclass(frozen=True, slots=True)
class FindingsContender:
    """A reader in a comparison.

    Attributes:
        name: Name.
        scores: Scores of the reader.
        thresholds: Finding → decision threshold.
        recipe: As in ``Contender``.
    """

    name: str
    scores: FindingScores
    thresholds: Mapping[str, float]
    recipe: str = ""

    def of(self, finding: str) -> Contender:
        """Return the reader of one finding."""
        threshold = self.thresholds.get(finding, 0.5)
        return Contender(self.name, self.scores.of(finding), threshold, self.recipe)


@dataclass(frozen=True, slots=True)
class FindingsComparison:
    """The result of a comparison.

    Attributes:
        names: The readers.
        by_finding: Finding → the comparison on the images that have a label for it. The p values
            are corrected by Holm's method for all pairs of readers and all findings.
        left_out: Finding → why it is not compared.
    """

    names: tuple[str, ...]
    by_finding: Mapping[str, Comparison]
    left_out: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "readers": list(self.names),
            "findings": {name: found.to_dict() for name, found in self.by_finding.items()},
            "left_out": dict(self.left_out),
        }


def compare_findings(
    contenders: Sequence[FindingsContender],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> FindingsComparison:
    """Compare readers on each of their common findings.

    Each finding is compared as by ``compare`` for two classes, on the images that all readers
    scored and that have a label for it. Findings with only one kind of label are excluded.

    Args:
        contenders: At least two readers, with different names.
        level: Confidence level.
        resamples: Number of resamples of the patients, which are the same for every reader.
        seed: Seed of the resampling.

    Raises:
        OptionError: There are fewer than two readers, or two of the same name.
        DataError: The readers share no finding or no image, or differ in a label.
    """
    names = contenders[0].scores.names if contenders else ()
    shared = [name for name in names if all(name in one.scores.names for one in contenders)]
    if not shared:
        raise DataError("the readers have no findings in common.")
    by_finding: dict[str, Comparison] = {}
    left_out: dict[str, str] = {}
    for name in shared:
        own = [contender.of(name) for contender in contenders]
        if any(len(set(one.scores.label.tolist())) < 2 for one in own):
            left_out[name] = "its labelled images are all positive or all negative"
            continue
        by_finding[name] = compare(own, level=level, resamples=resamples, seed=seed)
    if not by_finding:
        raise DataError(
            "no finding can be compared, because the labelled images of each are all positive or "
            f"all negative: {'; '.join(left_out)}."
        )
    # One family: every pair of readers on every finding.
    rest = list(corrected([pair for found in by_finding.values() for pair in found.pairs]))
    for name, found in by_finding.items():
        count = len(found.pairs)
        by_finding[name] = replace(found, pairs=tuple(rest[:count]))
        rest = rest[count:]
    return FindingsComparison(tuple(one.name for one in contenders), by_finding, left_out)

"""Scores → all that an evaluation says of them, and its page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.data.catalog import Entry, LeftOut, Unreadable
from pneumoscope.data.columns import manifest_columns
from pneumoscope.errors import OptionError, one_of
from pneumoscope.evaluation.assess import Assessment, assess
from pneumoscope.evaluation.baseline import Baseline, majority_baseline, size_baseline
from pneumoscope.evaluation.bootstrap import RESAMPLES
from pneumoscope.evaluation.document import as_json
from pneumoscope.evaluation.metrics import Metrics, measure
from pneumoscope.evaluation.robustness import LIMIT, Corrupted
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.subgroups import Group, size_tertiles, subgroups
from pneumoscope.evaluation.units import (
    AGGREGATES,
    UNITS,
    aggregated,
    shared_columns,
    unit_of_images,
)
from pneumoscope.reader.bundle import ModelInfo, open_bundle
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import RunFolder, provenance
from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.report.judged import Judged

_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of an evaluation, beyond whose and of what.

    Attributes:
        threshold: The probability from which an image is called positive; None for the model's
            own, or 0.5 where there is no model.
        prevalence: Give predictive values for this share of positive patients as well.
        level: Confidence level.
        resamples: Resamples of the patients.
        seed: Of everything that is drawn.
        robustness: Whether to read the images again, made worse.
        limit: At most so many images for that.
        per: What is judged: each ``image``, ``study`` or ``patient``.
        aggregate: How the probabilities of a study or patient become one: ``mean`` or ``max``.
    """

    threshold: float | None = None
    prevalence: float | None = None
    level: float = LEVEL
    resamples: int = RESAMPLES
    seed: int = 0
    robustness: bool = False
    limit: int | None = LIMIT
    per: str = "image"
    aggregate: str = "mean"

    def __post_init__(self) -> None:
        one_of("per", self.per, UNITS)
        one_of("aggregate", self.aggregate, AGGREGATES)
        if self.robustness and self.per != "image":
            raise OptionError("robustness", must="given with `per=image`", was=self.per)
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise OptionError("threshold", must="from 0 to 1", was=self.threshold)
        if not 0 < self.level < 1:
            raise OptionError("level", must="between 0 and 1, such as 0.95", was=self.level)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """What an evaluation gave.

    Attributes:
        part: Which part of the data was read: ``train``, ``val``, ``test`` or ``all``; empty for
            scores that do not tell.
        scores: What the reader said of each image.
        metrics: The main numbers.
        assessment: All numbers, with intervals, and the arrays for figures.
        groups: The main numbers in groups of the images.
        baselines: What knows nothing of lungs achieves on the same images.
        corrupted: The main numbers on worse images; empty if they were not asked for.
        unreadable: Files that could not be read.
        seen: How many of the images, or other images of their patients, the run was trained on.
        unit: What was judged: ``image``, ``study`` or ``patient``.
        aggregate: How probabilities became one; empty for images.
        images: How many images there were.
        left_out: Rows and files of the data that were not taken.
    """

    part: str
    scores: Scores
    metrics: Metrics
    assessment: Assessment
    groups: tuple[Group, ...]
    baselines: tuple[Baseline, ...]
    corrupted: tuple[Corrupted, ...]
    unreadable: tuple[Unreadable, ...]
    seen: int
    unit: str = "image"
    aggregate: str = ""
    images: int = 0
    left_out: tuple[LeftOut, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        found = as_json(
            self.assessment,
            groups=self.groups,
            baselines=self.baselines,
            corrupted=self.corrupted,
        )
        if self.left_out:
            found["left_out"] = [item.to_dict() for item in self.left_out]
        if self.unit != "image":
            found |= {
                "unit": {"value": self.unit, "aggregate": self.aggregate},
                "images": {"value": self.images},
            }
        return found


RUN_RESAMPLES = 500
"""Fewer than ``evaluate`` draws, so that training does not wait for its report."""

_RUN_GROUP_RESAMPLES = 200


def judge(
    scores: Scores,
    *,
    part: str,
    info: ModelInfo | None,
    asked: Asked,
    columns: Mapping[str, Mapping[str, str]],
    sizes: Mapping[str, int],
    training: tuple[Any, Any] | None,
    corrupted: tuple[Corrupted, ...] = (),
    unreadable: Sequence[Unreadable] = (),
    seen: int = 0,
    group_resamples: int | None = None,
    studies: Mapping[str, str] | None = None,
    left_out: tuple[LeftOut, ...] = (),
) -> Evaluated:
    """Return all numbers of scores.

    Args:
        scores: What the reader said of each image.
        part: Of the data that they are of.
        info: What the model says of itself: its threshold and its uncertain zone hold; None where
            there is no model.
        asked: What is asked.
        columns: Name → path → group, what images are grouped by.
        sizes: Path → bytes of the file, for the baseline of file sizes; left out where one is
            missing.
        training: Bytes and labels of the images that the baselines are fitted on; None fits them
            on these.
        corrupted: The numbers on worse images.
        unreadable: Files that could not be read.
        seen: How many of the images the run was trained on.
        group_resamples: Of the patients in groups; as many as elsewhere if None.
        studies: Path → study, for ``asked.per``.
        left_out: Rows and files of the data that were not taken.

    Raises:
        DataError: Studies or patients were asked for that are not known, or have no one label.
    """
    images = len(scores)
    conformal = info.conformal if info else None
    if asked.per != "image":
        unit = unit_of_images(scores, per=asked.per, study=studies)
        columns = shared_columns(
            {name: values for name, values in columns.items() if name != "image size"},
            scores.path,
            unit,
        )
        scores = aggregated(scores, unit, how=asked.aggregate)
        conformal = None  # its quantiles are those of single images
    threshold = asked.threshold
    if threshold is None:
        threshold = info.operating_point.threshold if info else _THRESHOLD
    assessment = assess(
        scores,
        threshold=threshold,
        prevalence=asked.prevalence,
        conformal=conformal,
        level=asked.level,
        resamples=asked.resamples,
        seed=asked.seed,
    )
    groups = subgroups(
        scores,
        threshold=threshold,
        columns=columns,
        level=asked.level,
        resamples=asked.resamples if group_resamples is None else group_resamples,
        seed=asked.seed,
    )
    taught = training[1] if training is not None else None
    level, resamples, seed = asked.level, asked.resamples, asked.seed
    baselines = [
        majority_baseline(scores, trained_on=taught, level=level, resamples=resamples, seed=seed)
    ]
    if all(sizes.get(path, 0) for path in scores.path):
        bytes_ = np.array([sizes[path] for path in scores.path])
        baselines.append(
            size_baseline(
                scores, bytes_, training=training, level=level, resamples=resamples, seed=seed
            )
        )
    return Evaluated(
        part,
        scores,
        measure(scores, threshold=threshold, level=asked.level),
        assessment,
        groups,
        tuple(baselines),
        corrupted,
        tuple(unreadable),
        seen,
        asked.per,
        asked.aggregate if asked.per != "image" else "",
        images,
        left_out,
    )


def judge_run(run: RunFolder, *, data: PreparedData, source: Path) -> tuple[Judged, ...]:
    """Return what is known of the reader of a run on its validation and, last, its test images.

    Args:
        run: With a model and scores.
        data: Its images.
        source: The folder or manifest that they come from.

    Raises:
        PneumoscopeError: The model, the scores or the manifest cannot be read.
    """
    catalog = data.catalog
    info = open_bundle(run.model).info
    teaching = catalog.select(data.split.rows("train"))
    training = np.array([entry.bytes for entry in teaching.entries]), teaching.labels
    sizes = {entry.path: entry.bytes for entry in catalog.entries}
    asked = Asked(resamples=RUN_RESAMPLES)
    found = []
    for part in ("val", "test"):
        if not run.scores(part).is_file():
            continue
        scores = Scores.load(run.scores(part))
        chosen = set(scores.path)
        result = judge(
            scores,
            part=part,
            info=info,
            asked=asked,
            columns=columns_of([e for e in catalog.entries if e.path in chosen], source),
            sizes=sizes,
            training=training,
            group_resamples=_RUN_GROUP_RESAMPLES,
        )
        found.append(_judged(result, catalog.classes, info))
    return tuple(found)


def columns_of(entries: Sequence[Entry], data: Path) -> dict[str, dict[str, str]]:
    """Return the columns that images can be grouped by: their size, and a manifest's own.

    Args:
        entries: The images.
        data: The folder or manifest that they come from.

    Raises:
        DataError: The manifest cannot be read.
    """
    pixels = np.array([entry.width * entry.height for entry in entries], np.int64)
    thirds = size_tertiles([entry.path for entry in entries], pixels)
    return {"image size": thirds, **manifest_columns(data)}


def write_page(
    folder: Path,
    result: Evaluated,
    *,
    classes: tuple[str, str],
    name: str,
    info: ModelInfo | None,
    root: Path | None,
    predictor: Predictor | None,
    asked: Asked,
    **facts: str,
) -> Path:
    """Write the report of an evaluation, and return its path.

    Args:
        folder: For ``report.html`` and ``figures/``.
        result: What the evaluation gave.
        classes: (negative, positive).
        name: Of the reader, for the heading.
        info: What the model says of itself; None where there is no model.
        root: What the paths of the scores are relative to; None shows no images.
        predictor: Draws evidence over the images.
        asked: What was asked.
        facts: What the numbers were made from, for the provenance.

    Raises:
        OutputError: They cannot be written.
    """
    from pneumoscope.report.evaluation_page import write_evaluation_page  # noqa: PLC0415 - heavy
    from pneumoscope.report.pictures import Pictures  # noqa: PLC0415

    return write_evaluation_page(
        folder,
        _judged(result, classes, info),
        name=name,
        facts=provenance(
            **facts,
            resamples=asked.resamples,
            seed=asked.seed,
            unit=asked.per,
            aggregate=result.aggregate or None,
        ),
        info=info,
        pictures=Pictures(root, predictor) if root is not None and result.unit == "image" else None,
        unreadable=len(result.unreadable),
    )


def _judged(result: Evaluated, classes: tuple[str, str], info: ModelInfo | None) -> Judged:
    """Return an evaluation as pages take it."""
    from pneumoscope.report.judged import Judged  # noqa: PLC0415 - evaluating needs no pages

    return Judged(
        result.part,
        classes,
        result.scores,
        result.assessment,
        result.groups,
        result.baselines,
        result.corrupted,
        info.conformal if info and result.unit == "image" else None,
        result.seen,
        result.unit,
    )

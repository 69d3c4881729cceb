"""Compare readers of several findings: all findings, or one as two classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import OptionError
from pneumoscope.evaluation.compare import Comparison, compare
from pneumoscope.evaluation.multilabel.compare import (
    FindingsComparison,
    FindingsContender,
    compare_findings,
)
from pneumoscope.evaluation.multilabel.scores import FindingScores, score_findings
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.predictor import Predictor
from pneumoscope.watch import Watcher
from pneumoscope.workflow.compare import recipe_key
from pneumoscope.workflow.evaluate_findings import is_of_findings
from pneumoscope.workflow.parts import DataSource, warn_of_training
from pneumoscope.workflow.places import run_of, scores_of_run

if TYPE_CHECKING:
    from pneumoscope.data.layouts import DataOptions
    from pneumoscope.reader.model_file.metadata import ModelInfo


def contenders_of_findings(
    places: Sequence[Path],
    *,
    data: Path | None = None,
    options: DataOptions | None = None,
    patient_regex: str | None = None,
    part: str | None = None,
    watcher: Watcher | None = None,
) -> list[FindingsContender]:
    """Return readers of several findings with their scores.

    Args:
        places: Run folders, model files and CSV files of scores.
        data: Images to score; None uses the existing scores of the runs.
        options: How to read a table.
        patient_regex: Regular expression that extracts the patient from a path.
        part: ``train``, ``val``, ``test`` or ``all``.
        watcher: Receives progress reports.

    Raises:
        OptionError: Some of the readers have two classes.
        PneumoscopeError: A reader, the data or an option is invalid.
    """
    watcher = watcher or Watcher()
    others = [str(place) for place in places if not is_of_findings(place)]
    if others:
        raise OptionError("the readers", must="all of several findings, or none", was=others)
    source = DataSource(data, watcher, options, patient_regex) if data is not None else None
    found = []
    for place in places:
        scores_file = place.suffix.lower() == ".csv"
        if source is not None and not scores_file:
            found.append(_from_images(place, source, part))
            continue
        path = place if scores_file else scores_of_run(place, part)
        run = run_of(path)
        info = open_bundle(run.model).info if run is not None else None
        found.append(_contender(str(place), FindingScores.load(path, part=part), info))
    return found


def compare_findings_readers(
    places: Sequence[Path],
    *,
    finding: str | None = None,
    data: Path | None = None,
    options: DataOptions | None = None,
    patient_regex: str | None = None,
    part: str | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    watcher: Watcher | None = None,
) -> FindingsComparison | Comparison:
    """Compare readers on each finding that all of them know, or on one.

    Args:
        places: As for ``contenders_of_findings``, like the other arguments.
        finding: Only compare this finding, as ``compare`` does for two classes; None compares all.
        data: The same.
        options: The same.
        patient_regex: The same.
        part: The same.
        level: Confidence level.
        resamples: Number of resamples of the patients.
        seed: Seed of the resampling.
        watcher: The same.

    Raises:
        PneumoscopeError: A reader, the data or an option is invalid.
    """
    contenders = contenders_of_findings(
        places,
        data=data,
        options=options,
        patient_regex=patient_regex,
        part=part,
        watcher=watcher,
    )
    if finding is not None:
        own = [contender.of(finding) for contender in contenders]
        return compare(own, level=level, resamples=resamples, seed=seed)
    return compare_findings(contenders, level=level, resamples=resamples, seed=seed)


def _from_images(place: Path, source: DataSource, part: str | None) -> FindingsContender:
    predictor = Predictor(place, gated=False)
    watcher = source.watcher
    part, cohort = source.cohort(place, predictor.info).part(part)
    warn_of_training(cohort.relation, watcher, reader=str(place))
    with watcher.progress(f"Reading the images with {place}") as progress:
        scores, bad = score_findings(predictor, cohort.catalog, part=part, progress=progress)
    for item in bad:
        watcher.warn(f"skipped: {item.reason}")
    return _contender(str(place), scores, predictor.info)


def _contender(name: str, scores: FindingScores, info: ModelInfo | None) -> FindingsContender:
    if info is None:
        return FindingsContender(name, scores, {})
    thresholds = {
        finding: rule.operating_point.threshold
        for finding, rule in zip(info.classes, info.findings, strict=True)
    }
    return FindingsContender(name, scores, thresholds, recipe_key(info))

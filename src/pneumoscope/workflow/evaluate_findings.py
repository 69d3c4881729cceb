"""Evaluate a reader of several findings: all of them, or one as two classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.data.layouts.labels import plain
from pneumoscope.evaluation.evaluation import Evaluation, evaluate, evaluated_scores
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation, evaluate_findings
from pneumoscope.evaluation.multilabel.scores import (
    FindingScores,
    holds_findings,
    score_findings,
)
from pneumoscope.evaluation.question import Images, Question, Reader
from pneumoscope.reader.model_file.bundle import open_bundle, read_info
from pneumoscope.reader.model_file.session import find_model, read_model
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import RunFolder, update_json
from pneumoscope.watch import Watcher
from pneumoscope.workflow.evaluate import images_of_cohort, pictures_of
from pneumoscope.workflow.evaluation_page import write_page
from pneumoscope.workflow.parts import DataSource, is_whole, warn_of_training
from pneumoscope.workflow.places import check_report, data_root, run_of, scores_of_run

if TYPE_CHECKING:
    from pneumoscope.data.cohort import Cohort
    from pneumoscope.data.layouts import DataOptions
    from pneumoscope.reader.model_file.metadata import ModelInfo


def is_of_findings(place: Path) -> bool:
    """Return whether a run folder, a model file or a scores file has several findings.

    Raises:
        ModelFileError: A model file cannot be used.
    """
    if not place.exists() or (place.is_dir() and not RunFolder(place).model.is_file()):
        return False
    if place.is_dir() or place.suffix.lower() == ".onnx":
        path = find_model(place)
        return bool(read_info(read_model(path), path)[0].findings)
    return place.suffix.lower() == ".csv" and holds_findings(place)


def evaluate_findings_reader(
    place: Path,
    data: Path | None = None,
    *,
    part: str | None = None,
    question: Question | None = None,
    scores_file: Path | None = None,
    report: Path | None = None,
    threads: int = 1,
    options: DataOptions | None = None,
    patient_regex: str | None = None,
    watcher: Watcher | None = None,
) -> FindingsEvaluation:
    """Evaluate a reader of several findings on labelled images, or by existing scores.

    Like ``evaluate_reader``: on the run's own data, the scores of a whole part and its
    ``metrics.json`` are updated. Each finding is evaluated on the images that have a label for it.

    Args:
        place: A run folder, a model file, or a CSV file for ``FindingScores.load``.
        data: A table for ``list_findings``; None uses existing scores.
        part: As for ``evaluate_reader``.
        question: Settings of the evaluation, by image; the defaults if None.
        scores_file: An additional file for the scores.
        report: A folder for ``report.html`` and ``figures/``; None writes none.
        threads: CPU threads for one call of the graph.
        options: How to read a table; options that are not given are taken from the run.
        patient_regex: Regular expression that extracts the patient from a path; if None, that of
            the run, if it matches.
        watcher: Receives progress reports.

    Raises:
        PneumoscopeError: The model, data, scores or part are invalid, or a file cannot be written.
    """
    watcher, question = watcher or Watcher(), question or Question()
    check_report(report)
    evaluated = _evaluated(
        place,
        data,
        part=part,
        scores_file=scores_file,
        threads=threads,
        options=options,
        patient_regex=patient_regex,
        watcher=watcher,
    )
    info = evaluated.info
    found = evaluate_findings(
        evaluated.scores,
        question,
        rules=info.findings if info is not None else (),
        reader=reader_of(info, evaluated.name, evaluated.sha256),
        images=evaluated.images,
    )
    if evaluated.run is not None and not question.what_if:
        update_json(evaluated.run.metrics, {found.part: found.to_dict()})
    if report is not None:
        from pneumoscope.report.evaluation_page import (  # noqa: PLC0415 - heavy
            write_evaluation_page,
        )

        page = write_evaluation_page(report, found, info=info)
        watcher.say(f"Report: {page}")
    return found


def evaluate_finding(
    place: Path,
    finding: str,
    data: Path | None = None,
    *,
    part: str | None = None,
    question: Question | None = None,
    scores_file: Path | None = None,
    report: Path | None = None,
    threads: int = 1,
    options: DataOptions | None = None,
    patient_regex: str | None = None,
    watcher: Watcher | None = None,
) -> Evaluation:
    """Evaluate one finding of a reader of several, as ``evaluate_reader`` does for two classes.

    The classes are ``no NAME`` and ``NAME``; images without a label of the finding are excluded.
    Nothing is written into a run.

    Args:
        place: As for ``evaluate_findings_reader``.
        finding: The name of the finding.
        data: As for ``evaluate_findings_reader``, like the other arguments.
        part: The same.
        question: Settings of the evaluation, by image, study or patient.
        scores_file: A file for the scores of this finding.
        report: The same.
        threads: The same.
        options: The same.
        patient_regex: The same.
        watcher: The same.

    Raises:
        OptionError: The finding does not exist.
        PneumoscopeError: As for ``evaluate_findings_reader``.
    """
    watcher, question = watcher or Watcher(), question or Question()
    check_report(report)
    evaluated = _evaluated(
        place,
        data,
        part=part,
        scores_file=None,
        threads=threads,
        options=options,
        patient_regex=patient_regex,
        watcher=watcher,
    )
    scores = evaluated.scores.of(finding)
    info = evaluated.info.of_finding(finding) if evaluated.info is not None else None
    reader = Reader(evaluated.name)
    if info is not None:
        reader = Reader.of(info, name=f"{evaluated.name}, {finding}", sha256=evaluated.sha256)
    # The label itself defines no subgroup: each would have images of one class.
    columns = {
        name: values
        for name, values in evaluated.images.columns.items()
        if plain(name) != plain(finding)
    }
    images = replace(evaluated.images, training=evaluated.training_of(finding), columns=columns)
    found = evaluate(scores, question, reader=reader, images=images)
    if scores_file is not None:
        scores.save(scores_file)
    if report is not None:
        write_page(
            report,
            found,
            evaluated_scores(scores, question, images),
            info=info,
            pictures=pictures_of(found, evaluated.root, evaluated.predictor, finding=finding),
            root=evaluated.root,
            origin={"model": str(place), **({"data": str(data)} if data else {})},
            watcher=watcher,
        )
    return found


class _Evaluated:
    """The scores to evaluate, and information about reader and images."""

    def __init__(self, scores: FindingScores, images: Images, name: str) -> None:
        self.scores = scores
        self.images = images
        self.name = name
        self.sha256 = ""
        self.info: ModelInfo | None = None
        self.run: RunFolder | None = None
        self.root: Path | None = None
        self.predictor: Predictor | None = None
        self.cohort: Cohort | None = None

    def training_of(self, finding: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return file sizes and labels of the training images with a label of a finding."""
        if self.cohort is None or self.images.training is None:
            return None
        catalog = self.cohort.catalog.select(self.cohort.rows("train"))
        labels = catalog.finding_labels[:, catalog.findings.index(finding)]
        known = labels >= 0
        sizes = np.array([entry.bytes for entry in catalog.entries], np.int64)
        return sizes[known], labels[known].astype(np.int64)


def _evaluated(
    place: Path,
    data: Path | None,
    *,
    part: str | None,
    scores_file: Path | None,
    threads: int,
    options: DataOptions | None,
    patient_regex: str | None,
    watcher: Watcher,
) -> _Evaluated:
    if data is None:
        return _existing(place, part)
    predictor = Predictor(place, threads=threads, gated=False)
    cohort = DataSource(data, watcher, options, patient_regex).cohort(place, predictor.info)
    part, chosen = cohort.part(part)
    warn_of_training(chosen.relation, watcher)
    known_part = "" if part == "all" and not cohort.relation.own else part
    with watcher.progress("Reading the images") as progress:
        scores, bad = score_findings(predictor, chosen.catalog, part=known_part, progress=progress)
    for item in (*cohort.catalog.unreadable, *bad):
        watcher.warn(f"skipped: {item.reason}")
    images = replace(
        images_of_cohort(predictor.info, cohort, chosen, part=part, data=data),
        unreadable=len(cohort.catalog.unreadable) + len(bad),
    )
    found = _Evaluated(scores, images, place.stem if place.is_file() else place.resolve().name)
    found.info, found.sha256, found.predictor = predictor.info, predictor.sha256, predictor
    found.root, found.cohort = cohort.catalog.root, cohort
    if place.is_dir() and cohort.relation.own:
        run = RunFolder(place)
        if is_whole(run, chosen.catalog.without(bad), part):
            scores.save(run.scores(part))
            found.run = run
    if scores_file is not None:
        scores.save(scores_file)
    return found


def _existing(place: Path, part: str | None) -> _Evaluated:
    """Return existing scores, of a run or of a file."""
    path = scores_of_run(place, part) if place.is_dir() else place
    scores = FindingScores.load(path, part=part)
    run = run_of(path)
    found = _Evaluated(scores, Images(scores.part), path.name)
    if run is not None:
        bundle = open_bundle(run.model)
        found.info, found.sha256 = bundle.info, bundle.sha256
        found.name, found.root = run.root.resolve().name, data_root(run)
    return found


def reader_of(info: ModelInfo | None, name: str, sha256: str) -> dict[str, str]:
    """Return the name, version and SHA-256 of a reader, for ``metrics.json``."""
    return {"name": name, "version": info.version if info is not None else "", "sha256": sha256}

"""Evaluate a reader on labelled images, or a scores file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.data.layouts import DataOptions
from pneumoscope.data.relation import TrainingRelation
from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation import robustness as made_worse
from pneumoscope.evaluation.evaluation import Evaluation, evaluate, evaluated_scores
from pneumoscope.evaluation.question import Images, Question, Reader
from pneumoscope.evaluation.results import are_results
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.scoring import score
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.training_hashes import learnt_from
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import RunFolder, update_json
from pneumoscope.watch import Watcher
from pneumoscope.workflow.evaluate_results import evaluate_results
from pneumoscope.workflow.evaluation_page import warn_of_unknown_patients, write_page
from pneumoscope.workflow.known_images import columns_of, images_of_scores
from pneumoscope.workflow.parts import DataSource, is_whole, warn_of_training
from pneumoscope.workflow.places import check_report, data_root, run_of, scores_of_run

if TYPE_CHECKING:
    from pneumoscope.data.catalog import Catalog
    from pneumoscope.data.cohort import Cohort
    from pneumoscope.data.entries import Unreadable
    from pneumoscope.reader.model_file.metadata import ModelInfo
    from pneumoscope.report.pictures import Pictures

_MODEL = ".onnx"


def evaluate_reader(
    place: Path,
    data: Path | None = None,
    *,
    labels: Path | None = None,
    part: str | None = None,
    question: Question | None = None,
    robustness: bool = False,
    limit: int | None = made_worse.LIMIT,
    scores_file: Path | None = None,
    report: Path | None = None,
    threads: int = 1,
    options: DataOptions | None = None,
    patient_regex: str | None = None,
    watcher: Watcher | None = None,
) -> Evaluation:
    """Evaluate a reader on labelled images, or by existing scores.

    With data, the reader scores the images from their files. If ``place`` is a run folder that was
    trained on most of these images, the parts are those of its ``split.csv``. The scores of a whole
    part are then written into it, and its ``metrics.json`` is updated, unless ``Question.what_if``
    is true. On other data, the parts are given by the folders or the column of the data.

    Without data, the scores of a file or of a run are used. For ``scores-PART.csv`` of a run, the
    threshold is taken from its ``model.onnx``, and the size of images and files from its
    ``catalog.csv``.

    Results of ``predict --out`` (a folder of parts, a Parquet file, a CSV) are used as scores, with
    labels from a table or from the folders in their paths.

    Args:
        place: A run folder or a model file; without data, a run folder, a CSV file for
            ``Scores.load``, or results of ``predict``.
        data: The data, as for ``read_catalog``.
        labels: A table of labels for results, as for ``labelled_results``.
        part: ``train``, ``val``, ``test`` or ``all``; if None, ``test`` if present, otherwise
            ``all`` (for the scores of a run: ``val``).
        question: Settings of the evaluation; the defaults if None.
        robustness: Whether to evaluate on corrupted images as well.
        limit: Maximum number of images for that; None for all.
        scores_file: An additional file for the scores.
        report: A folder for ``report.html`` and ``figures/``; None writes none.
        threads: CPU threads for one call of the graph.
        options: The class map, and how to read a table; options that are not given are taken from
            the run.
        patient_regex: Regular expression that extracts the patient from a path; if None, that of
            the run, if it matches.
        watcher: Receives progress reports.

    Raises:
        PneumoscopeError: The model, data, scores or part are invalid, or a file cannot be written.

    Example:
        >>> evaluate_reader(Path("runs/first"), Path("chest_xray"), part="test")  # doctest: +SKIP
    """
    watcher, question = watcher or Watcher(), question or Question()
    check_report(report)
    _check_robustness(place, data, question, requested=robustness)
    if data is None:
        return _without_images(
            place, labels, part, question, scores_file=scores_file, report=report, watcher=watcher
        )
    if labels is not None:
        raise OptionError("labels", must="omitted with DATA, which has its own", was=str(labels))
    predictor = Predictor(place, threads=threads, gated=False)
    cohort = DataSource(data, watcher, options, patient_regex).cohort(place, predictor.info)
    part, evaluated = cohort.part(part)
    warn_of_training(evaluated.relation, watcher)
    scores, bad = _read(predictor, cohort, evaluated, part=part, watcher=watcher)
    images = replace(
        images_of_cohort(predictor.info, cohort, evaluated, part=part, data=data),
        unreadable=len(cohort.catalog.unreadable) + len(bad),
    )
    name = place.stem if place.is_file() else place.resolve().name
    reader = Reader.of(predictor.info, name=name, sha256=predictor.sha256)
    worse = (
        _made_worse(
            predictor, evaluated.catalog, question, reader=reader, limit=limit, watcher=watcher
        )
        if robustness
        else ()
    )
    found = evaluate(scores, question, reader=reader, images=images, robustness=worse)
    if place.is_dir() and cohort.relation.own:
        _keep_in_run(RunFolder(place), found, scores, evaluated.catalog.without(bad), part)
    if scores_file is not None:
        scores.save(scores_file)
    if report is not None:
        root = cohort.catalog.root
        write_page(
            report,
            found,
            evaluated_scores(scores, question, images),
            info=predictor.info,
            pictures=pictures_of(found, root, predictor),
            root=root,
            origin={"data": str(data)},
            watcher=watcher,
        )
    return found


def _keep_in_run(
    run: RunFolder, found: Evaluation, scores: Scores, catalog: Catalog, part: str
) -> None:
    """Write scores and evaluation of a whole set into the run; see ``Question.what_if``."""
    if is_whole(run, catalog, part):
        scores.save(run.scores(part))
        if not found.question.what_if:
            update_json(run.metrics, {part: found.to_dict()})


def _without_images(
    place: Path,
    labels: Path | None,
    part: str | None,
    question: Question,
    *,
    scores_file: Path | None,
    report: Path | None,
    watcher: Watcher,
) -> Evaluation:
    """Return the evaluation of existing results or scores."""
    if are_results(place):
        return evaluate_results(
            place,
            labels,
            part=part,
            question=question,
            scores_file=scores_file,
            report=report,
            watcher=watcher,
        )
    if labels is not None:
        raise OptionError("labels", must="used with results of `predict`", was=str(labels))
    if scores_file is not None:
        raise OptionError("scores", must="combined with DATA", was=str(scores_file))
    return _by_scores(place, part, question, report=report, watcher=watcher)


def _check_robustness(
    place: Path, data: Path | None, question: Question, *, requested: bool
) -> None:
    """Raise OptionError if corrupted images are requested without images."""
    if requested and data is None:
        must = "used with a model and data, since it reads images"
        raise OptionError("robustness", must=must, was=str(place))
    if requested and question.per != "image":
        raise OptionError("robustness", must="used with `per=image`", was=question.per)


def _read(
    predictor: Predictor, cohort: Cohort, evaluated: Cohort, *, part: str, watcher: Watcher
) -> tuple[Scores, tuple[Unreadable, ...]]:
    """Return the scores of the images of a part, and the files that cannot be read."""
    # All images of data not used in training may be used for decisions, such as a threshold.
    known_part = "" if part == "all" and not cohort.relation.own else part
    with watcher.progress("Reading the images") as progress:
        scores, bad = score(predictor, evaluated.catalog, part=known_part, progress=progress)
    for item in (*cohort.catalog.unreadable, *bad):
        watcher.warn(f"skipped: {item.reason}")
    warn_of_unknown_patients(scores, watcher)
    return scores, bad


def _by_scores(
    place: Path, part: str | None, question: Question, *, report: Path | None, watcher: Watcher
) -> Evaluation:
    """Evaluate existing scores."""
    if place.suffix.lower() == _MODEL:
        raise DataError(
            f"{place}: a model file needs images: pneumoscope evaluate {place} DATA; without DATA, "
            "give a CSV file of scores or a run folder."
        )
    path = scores_of_run(place, part) if place.is_dir() else place
    scores = Scores.load(path, part=part)
    warn_of_unknown_patients(scores, watcher)
    run = run_of(path)
    bundle = open_bundle(run.model) if run is not None else None
    reader = Reader(path.name)
    if run is not None and bundle is not None:
        name = run.root.resolve().name
        reader = Reader.of(bundle.info, name=name, sha256=bundle.sha256)
    images = images_of_scores(path, scores, part=part, run=run, labels=reader.labels)
    if images.seen:
        watcher.warn(
            f"the reader was trained on {images.seen} of {len(scores)} images: these results do "
            "not apply to new patients."
        )
    found = evaluate(scores, question, reader=reader, images=images)
    if report is not None:
        root = data_root(run)
        write_page(
            report,
            found,
            evaluated_scores(scores, question, images),
            info=bundle.info if bundle is not None else None,
            pictures=pictures_of(
                found, root, Predictor(run.model, gated=False) if run and root else None
            ),
            root=root,
            origin={"scores": str(path)},
            watcher=watcher,
        )
    return found


def _made_worse(
    predictor: Predictor,
    catalog: Catalog,
    question: Question,
    *,
    reader: Reader,
    limit: int | None,
    watcher: Watcher,
) -> tuple[made_worse.Corrupted, ...]:
    with watcher.progress("Reading degraded images") as progress:
        return made_worse.robustness(
            predictor,
            catalog,
            threshold=reader.threshold_for(question).value,
            limit=limit,
            seed=question.seed,
            level=question.level,
            progress=progress,
        )


def images_of_cohort(
    info: ModelInfo, cohort: Cohort, evaluated: Cohort, *, part: str, data: Path
) -> Images:
    """Return the facts of the images that are read.

    Args:
        info: Metadata of the model.
        cohort: All images of the data.
        evaluated: The evaluated images.
        part: Part of these images.
        data: The folder or manifest of the images.
    """
    own, training = cohort.relation.own, None
    if own and part != "train":
        teaching = cohort.catalog.select(cohort.rows("train"))
        training = np.array([entry.bytes for entry in teaching.entries]), teaching.labels
    return Images(
        part=part,
        relation=_relation(info, cohort, evaluated, part=part),
        seen=evaluated.relation.seen,
        has_test=bool(cohort.rows("test")) if own else None,
        fingerprint=cohort.catalog.fingerprint,
        columns=columns_of(evaluated.catalog.entries, data),
        sizes={entry.path: entry.bytes for entry in cohort.catalog.entries},
        studies={entry.path: entry.study for entry in evaluated.catalog.entries},
        training=training,
        left_out=cohort.catalog.left_out,
    )


def _relation(info: ModelInfo, cohort: Cohort, evaluated: Cohort, *, part: str) -> TrainingRelation:
    """Return the relation of images to the training of a reader."""
    found = evaluated.relation.to_part(part)
    if found not in {TrainingRelation.OTHER, TrainingRelation.UNKNOWN}:
        return found
    hashes = [entry.sha256 for entry in evaluated.catalog.entries]
    if 2 * learnt_from(info, hashes, part="val") > len(hashes):
        return TrainingRelation.VALIDATION
    if info.training.get("data_fingerprint") == cohort.catalog.fingerprint:
        # The data that it was trained on. The training rows are known from the run, or from hashes.
        by_hash = cohort.relation.known and part == "test"
        return TrainingRelation.TEST if by_hash else TrainingRelation.OVERLAP
    return found


def pictures_of(
    found: Evaluation,
    root: Path | None,
    predictor: Predictor | None,
    *,
    finding: str | None = None,
) -> Pictures | None:
    """Return the locations of the images; none for studies and patients.

    Args:
        found: The evaluation.
        root: Folder that the paths of the images are relative to; None if unknown.
        predictor: The reader, whose evidence is drawn.
        finding: The finding whose evidence is drawn, for a multi-label reader.
    """
    from pneumoscope.report.pictures import Pictures  # noqa: PLC0415 - heavy

    if root is None or found.unit != "image":
        return None
    return Pictures(root, predictor, finding)

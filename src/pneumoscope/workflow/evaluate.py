"""A reader and labelled images, or a scores file of anybody's → what the reader achieves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pneumoscope.data.columns import further_columns, manifest_columns
from pneumoscope.data.layouts import DataOptions
from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.robustness import Corrupted, robustness
from pneumoscope.evaluation.scores import Scores, score
from pneumoscope.evaluation.subgroups import size_tertiles
from pneumoscope.reader.bundle import open_bundle
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import RunFolder, rows_of, update_json
from pneumoscope.watch import Watcher
from pneumoscope.workflow.judge import Asked, Evaluated, columns_of, judge, write_page
from pneumoscope.workflow.parts import DataSource, is_whole, warn_of_training
from pneumoscope.workflow.places import check_report, data_of, data_root, run_of, scores_of_run

_MODEL = ".onnx"


def evaluate_reader(
    model: Path,
    data: Path,
    *,
    part: str | None = None,
    scores_file: Path | None = None,
    report: Path | None = None,
    threads: int = 1,
    options: DataOptions | None = None,
    patient_regex: str | None = None,
    asked: Asked | None = None,
    watcher: Watcher | None = None,
) -> Evaluated:
    """Return what a reader achieves on labelled images, read from their files.

    Where ``model`` is a run folder that was trained on most of these images, the parts are those of
    its ``split.csv``, and scores and metrics of a whole part are written into it; else they are the
    folders or the column of the data.

    Args:
        model: A run folder or a model file.
        data: What ``read_catalog`` takes.
        part: ``train``, ``val``, ``test`` or ``all``; if None, ``test`` where there is one, else
            ``all``.
        scores_file: Where to write the scores as well.
        report: A folder for ``report.html`` and ``figures/``; None writes none.
        threads: Processor threads for one call of the graph.
        options: Which names of the data make up which class, and how a table is read; what is
            not given is taken from the run.
        patient_regex: What finds the patient in a path; if None, that of the run, where it fits.
        asked: What is asked; the defaults if None.
        watcher: Hears how it goes.

    Raises:
        PneumoscopeError: The model, the data or the part cannot be worked with, or a place not be
            written.

    Example:
        >>> evaluate_reader(Path("runs/first"), Path("chest_xray"), part="test")  # doctest: +SKIP
    """
    watcher, asked = watcher or Watcher(), asked or Asked()
    check_report(report)
    predictor = Predictor(model, threads=threads, gated=False)
    run = RunFolder(model) if model.is_dir() else None
    source = DataSource(data, watcher, options, patient_regex)
    cohort = source.cohort(model, classes=predictor.info.classes)
    catalog, own = cohort.catalog, cohort.relation.own
    part, judged = cohort.part(part)
    chosen = judged.catalog
    warn_of_training(judged.relation, watcher)
    with watcher.progress("Reading the images") as progress:
        # All images of data that the reader has not seen may decide, say, a threshold there.
        known_part = "" if part == "all" and not own else part
        scores, bad = score(predictor, chosen, part=known_part, progress=progress)
    corrupted: tuple[Corrupted, ...] = ()
    if asked.robustness:
        with watcher.progress("Reading them made worse") as progress:
            corrupted = robustness(
                predictor,
                chosen,
                limit=asked.limit,
                seed=asked.seed,
                level=asked.level,
                progress=progress,
            )
    _warn_of_unknown_patients(scores, watcher)
    sizes = {entry.path: entry.bytes for entry in catalog.entries}
    training = None
    if own and part != "train":
        teaching = catalog.select(cohort.rows("train"))
        training = np.array([entry.bytes for entry in teaching.entries]), teaching.labels
    columns = columns_of(chosen.entries, data)
    result = judge(
        scores,
        part=part,
        info=predictor.info,
        asked=asked,
        columns=columns,
        sizes=sizes,
        training=training,
        corrupted=corrupted,
        unreadable=(*catalog.unreadable, *bad),
        seen=judged.relation.seen,
        studies={entry.path: entry.study for entry in chosen.entries},
        left_out=catalog.left_out,
    )
    if run is not None and own and is_whole(run, chosen, part):
        scores.save(run.scores(part))
        if asked.per == "image":
            update_json(run.metrics, {part: result.to_dict()})
    if scores_file is not None:
        scores.save(scores_file)
    if report is not None:
        page = write_page(
            report,
            result,
            classes=predictor.info.classes,
            name=model.stem if model.is_file() else model.resolve().name,
            info=predictor.info,
            root=catalog.root,
            predictor=predictor,
            asked=asked,
            model_sha256=predictor.sha256,
            data=str(data),
            left_out="; ".join(map(str, catalog.left_out)) or "nothing",
        )
        watcher.say(f"Report: {page}")
    return result


def evaluate_scores(
    place: Path,
    *,
    part: str | None = None,
    report: Path | None = None,
    asked: Asked | None = None,
    watcher: Watcher | None = None,
) -> Evaluated:
    """Return what scores say of a reader: a scores file of anybody's, or those of a run.

    Beside ``scores-PART.csv`` of a run its ``model.onnx`` tells the threshold, and its
    ``catalog.csv`` the size of images and files.

    Args:
        place: A CSV file that ``Scores.load`` reads, or a run folder.
        part: For a file with a column ``split``, the rows of this part; for a run, its scores of
            this part (``test`` where there are some, else ``val``, if None).
        report: A folder for ``report.html`` and ``figures/``; None writes none.
        asked: What is asked; the defaults if None.
        watcher: Hears how it goes.

    Raises:
        PneumoscopeError: The scores cannot be read, or an option cannot be.

    Example:
        >>> evaluate_scores(Path("runs/first/scores-val.csv"))  # doctest: +SKIP
    """
    watcher, asked = watcher or Watcher(), asked or Asked()
    check_report(report)
    if asked.robustness:
        raise OptionError(
            "--robustness", must="given with a model and data, since it reads images", was=place
        )
    if place.suffix.lower() == _MODEL:
        raise DataError(
            f"{place}: a model reads images: pneumoscope evaluate {place} DATA; without DATA a CSV "
            "file of scores or a run folder is evaluated."
        )
    path = scores_of_run(place, part) if place.is_dir() else place
    scores = Scores.load(path, part=part)
    _warn_of_unknown_patients(scores, watcher)
    run = run_of(path)
    info = open_bundle(run.model).info if run is not None and run.model.is_file() else None
    columns, sizes = _told_by(path, scores, part)
    studies = _studies(path, scores, part)
    training = None
    if run is not None and run.catalog.is_file() and run.split.is_file():
        facts = {row["path"]: row for row in rows_of(run.catalog)}
        sizes = {name: int(row["bytes"]) for name, row in facts.items()}
        studies = {name: row.get("study") or "" for name, row in facts.items()} | studies
        known = [name for name in scores.path if name in facts]
        if known:
            pixels = [int(facts[name]["width"]) * int(facts[name]["height"]) for name in known]
            columns["image size"] = size_tertiles(known, np.array(pixels, np.int64))
        data = data_of(run)
        if data is not None:
            columns |= manifest_columns(data)
        parts = {row["path"]: row["split"] for row in rows_of(run.split)}
        teaching = [row for name, row in facts.items() if parts.get(name) == "train"]
        if teaching and scores.part != "train" and info is not None:
            labels = [row["label"] == info.classes[1] for row in teaching]
            training = (
                np.array([int(row["bytes"]) for row in teaching]),
                np.array(labels, np.int64),
            )
    if scores.part == "train":
        watcher.warn("these are training images: the numbers say nothing about new patients.")
    result = judge(
        scores,
        part=scores.part,
        info=info,
        asked=asked,
        columns=columns,
        sizes=sizes,
        training=training,
        studies=studies,
    )
    if report is not None:
        root = data_root(run)
        page = write_page(
            report,
            result,
            classes=info.classes if info else ("negative", "positive"),
            name=run.root.resolve().name if run else path.name,
            info=info,
            root=root,
            predictor=Predictor(run.model, gated=False) if run and root else None,
            asked=asked,
            scores=str(path),
        )
        watcher.say(f"Report: {page}")
    return result


def _warn_of_unknown_patients(scores: Scores, watcher: Watcher) -> None:
    if not scores.patients_known:
        watcher.warn(
            "nothing tells the patient of every image, so such images count as patients of their "
            "own; if patients have several images, the intervals are too narrow. A column "
            "'patient' would mend it."
        )


def _rows_of_part(path: Path, part: str | None) -> list[dict[str, str]]:
    """Return the rows of a scores file, of one part where its rows tell theirs."""
    rows = rows_of(path)
    parts = [(row.get("split") or "").strip().lower() for row in rows]
    if part is not None and any(parts):
        return [row for row, own in zip(rows, parts, strict=True) if own == part]
    return rows


def _studies(path: Path, scores: Scores, part: str | None) -> dict[str, str]:
    """Return the study of each image that a scores file has a column for."""
    found = {
        name: (row.get("study") or "").strip()
        for name, row in zip(scores.path, _rows_of_part(path, part), strict=True)
    }
    return {name: study for name, study in found.items() if study}


def _told_by(
    path: Path, scores: Scores, part: str | None
) -> tuple[dict[str, dict[str, str]], dict[str, int]]:
    """Return what a scores file says beyond its scores: columns to group by, and sizes of files.

    ``width`` and ``height`` give thirds of the image size, ``bytes`` the size of the file.
    """
    rows = _rows_of_part(path, part)
    names = list(scores.path)
    columns = further_columns(rows, names)
    wide, high, size = (
        [int(text) if (text := (row.get(name) or "").strip()).isdecimal() else 0 for row in rows]
        for name in ("width", "height", "bytes")
    )
    if all(wide) and all(high):
        columns["image size"] = size_tertiles(names, np.array(wide) * np.array(high))
    return columns, dict(zip(names, size, strict=True))

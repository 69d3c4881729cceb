"""A reader and labelled images, or a scores file of anybody's → what the reader achieves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.data.catalog import PARTS, Catalog, Unreadable, read_catalog
from pneumoscope.data.columns import further_columns, manifest_columns
from pneumoscope.errors import DataError, OptionError, OutputError
from pneumoscope.evaluation.assess import Assessment, assess
from pneumoscope.evaluation.baseline import Baseline, majority_baseline, size_baseline
from pneumoscope.evaluation.bootstrap import RESAMPLES
from pneumoscope.evaluation.document import as_json
from pneumoscope.evaluation.estimate import LEVEL
from pneumoscope.evaluation.metrics import Metrics, measure
from pneumoscope.evaluation.robustness import LIMIT, Corrupted, robustness
from pneumoscope.evaluation.scores import Scores, score
from pneumoscope.evaluation.subgroups import Group, size_tertiles, subgroups
from pneumoscope.reader.bundle import ModelInfo, open_bundle
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import RunFolder, provenance, rows_of, update_json
from pneumoscope.training.recipe import Recipe
from pneumoscope.watch import Watcher
from pneumoscope.workflow.parts import is_whole, own_split, part_rows, seen_in_training

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_THRESHOLD = 0.5
_MODEL = ".onnx"


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
    """

    threshold: float | None = None
    prevalence: float | None = None
    level: float = LEVEL
    resamples: int = RESAMPLES
    seed: int = 0
    robustness: bool = False
    limit: int | None = LIMIT

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise OptionError("--threshold", must="from 0 to 1", was=self.threshold)
        if not 0 < self.level < 1:
            raise OptionError("--level", must="between 0 and 1, such as 0.95", was=self.level)


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

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return as_json(
            self.assessment,
            groups=self.groups,
            baselines=self.baselines,
            corrupted=self.corrupted,
        )


def evaluate_reader(
    model: Path,
    data: Path,
    *,
    part: str | None = None,
    scores_file: Path | None = None,
    report: Path | None = None,
    threads: int = 1,
    asked: Asked | None = None,
    watcher: Watcher | None = None,
) -> Evaluated:
    """Return what a reader achieves on labelled images, read from their files.

    Where ``model`` is a run folder that was trained on these very data, the parts are those of its
    ``split.csv``, and scores and metrics of a whole part are written into it; else they are the
    folders or the column of the data.

    Args:
        model: A run folder or a model file.
        data: What ``read_catalog`` takes.
        part: ``train``, ``val``, ``test`` or ``all``; if None, ``test`` where there is one, else
            ``all``.
        scores_file: Where to write the scores as well.
        report: A folder for ``report.html`` and ``figures/``; None writes none.
        threads: Processor threads for one call of the graph.
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
    with watcher.progress("Reading the folder") as progress:
        catalog = read_catalog(
            data,
            classes=predictor.info.classes,
            patient_regex=_patient_regex(run),
            progress=progress,
        )
    own = own_split(run, catalog)
    part, rows = part_rows(catalog, own, part, data)
    chosen = catalog.select(rows)
    seen = seen_in_training(run, chosen)
    if seen:
        watcher.warn(
            f"{seen} of {len(chosen)} images, or other images of their patients, were trained on: "
            "these numbers say nothing about new patients."
        )
    with watcher.progress("Reading the images") as progress:
        # All images of data that the reader has not seen may decide, say, a threshold there.
        known_part = "" if part == "all" and own is None else part
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
    if own is not None and part != "train":
        teaching = catalog.select(own.rows("train"))
        training = np.array([entry.bytes for entry in teaching.entries]), teaching.labels
    columns = _columns_of(chosen, data)
    result = _judged(
        scores,
        part=part,
        info=predictor.info,
        asked=asked,
        columns=columns,
        sizes=sizes,
        training=training,
        corrupted=corrupted,
        unreadable=(*catalog.unreadable, *bad),
        seen=seen,
    )
    if run is not None and own is not None and is_whole(run, chosen, part):
        scores.save(run.scores(part))
        update_json(run.metrics, {part: result.to_dict()})
    if scores_file is not None:
        scores.save(scores_file)
    if report is not None:
        page = _page(
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
        )
        watcher.say(f"Report: {page}")
    return result


def _patient_regex(run: RunFolder | None) -> str | None:
    """Return what found the patients of a run's images, so that they get the same names."""
    if run is None or not run.config.is_file():
        return None
    return Recipe.load(run.config).patient_regex


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
    training = None
    if run is not None and run.catalog.is_file() and run.split.is_file():
        facts = {row["path"]: row for row in rows_of(run.catalog)}
        sizes = {name: int(row["bytes"]) for name, row in facts.items()}
        known = [name for name in scores.path if name in facts]
        if known:
            pixels = [int(facts[name]["width"]) * int(facts[name]["height"]) for name in known]
            columns["image size"] = size_tertiles(known, np.array(pixels, np.int64))
        source = _source(run)
        if source is not None:
            columns |= manifest_columns(source)
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
    result = _judged(
        scores,
        part=scores.part,
        info=info,
        asked=asked,
        columns=columns,
        sizes=sizes,
        training=training,
    )
    if report is not None:
        root = data_root(run)
        page = _page(
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


def check_report(folder: Path | None) -> None:
    """Fail before the work, and not after it, if a report cannot be written.

    Raises:
        OutputError: Its place is a file.
        ModuleNotFoundError: What draws it is not installed.
    """
    if folder is None:
        return
    for name in ("matplotlib", "jinja2"):
        import_module(name)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; give a folder with --report.")


def data_root(run: RunFolder | None) -> Path | None:
    """Return the folder that the paths of a run's images begin at, if it is still there."""
    source = _source(run)
    if source is None:
        return None
    return source if source.is_dir() else source.parent


def _source(run: RunFolder | None) -> Path | None:
    """Return the folder or manifest that a run was trained on, if it is still there."""
    if run is None or not run.provenance.is_file():
        return None
    data = json.loads(run.provenance.read_text(encoding="utf-8")).get("data")
    return Path(data) if data and Path(data).exists() else None


def scores_of_run(run: Path, part: str | None) -> Path:
    """Return the scores file of a run: of a part, or of ``test`` where there is one, else ``val``.

    Raises:
        DataError: It has none.
    """
    for name in (part,) if part else ("test", "val"):
        path = RunFolder(run).scores(name)
        if path.is_file():
            return path
    wanted = f"scores-{part}.csv" if part else "scores-test.csv or scores-val.csv"
    raise DataError(
        f"{run}: no {wanted} in this folder; write them with: pneumoscope evaluate {run} DATA"
    )


def run_of(scores_file: Path) -> RunFolder | None:
    """Return the run that a scores file is one of, None for other files."""
    run = RunFolder(scores_file.parent)
    own = {run.scores(part).name for part in (*PARTS, "all")}
    return run if scores_file.name in own and run.model.is_file() else None


def _page(
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
    """Write the report of an evaluation."""
    from pneumoscope.report.evaluation_page import write_evaluation_page  # noqa: PLC0415 - heavy
    from pneumoscope.report.judged import Judged  # noqa: PLC0415
    from pneumoscope.report.pictures import Pictures  # noqa: PLC0415

    return write_evaluation_page(
        folder,
        Judged(
            result.part,
            classes,
            result.scores,
            result.assessment,
            result.groups,
            result.baselines,
            result.corrupted,
            info.conformal if info else None,
            result.seen,
        ),
        name=name,
        facts=provenance(**facts, resamples=asked.resamples, seed=asked.seed),
        info=info,
        pictures=Pictures(root, predictor) if root is not None else None,
        unreadable=len(result.unreadable),
    )


def _judged(
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
) -> Evaluated:
    threshold = asked.threshold
    if threshold is None:
        threshold = info.operating_point.threshold if info else _THRESHOLD
    conformal = info.conformal if info else None
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
        resamples=asked.resamples,
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
    )


def _warn_of_unknown_patients(scores: Scores, watcher: Watcher) -> None:
    if not scores.patients_known:
        watcher.warn(
            "nothing tells the patient of every image, so such images count as patients of their "
            "own; if patients have several images, the intervals are too narrow. A column "
            "'patient' would mend it."
        )


def _columns_of(catalog: Catalog, data: Path) -> dict[str, dict[str, str]]:
    """Return the columns that images can be grouped by: their size, and a manifest's own."""
    names = [entry.path for entry in catalog.entries]
    pixels = np.array([entry.width * entry.height for entry in catalog.entries], np.int64)
    return {"image size": size_tertiles(names, pixels), **manifest_columns(data)}


def _told_by(
    path: Path, scores: Scores, part: str | None
) -> tuple[dict[str, dict[str, str]], dict[str, int]]:
    """Return what a scores file says beyond its scores: columns to group by, and sizes of files.

    ``width`` and ``height`` give thirds of the image size, ``bytes`` the size of the file.
    """
    rows = rows_of(path)
    if part is not None and "split" in (rows[0] if rows else ()):
        rows = [row for row in rows if (row["split"] or "").strip().lower() == part]
    names = list(scores.path)
    columns = further_columns(rows, names)
    wide, high, size = (
        [int(text) if (text := (row.get(name) or "").strip()).isdecimal() else 0 for row in rows]
        for name in ("width", "height", "bytes")
    )
    if all(wide) and all(high):
        columns["image size"] = size_tertiles(names, np.array(wide) * np.array(high))
    return columns, dict(zip(names, size, strict=True))

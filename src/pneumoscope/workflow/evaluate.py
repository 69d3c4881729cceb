"""A reader and labelled images → what it achieves on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pneumoscope.data.catalog import PARTS, Catalog, Unreadable, read_catalog
from pneumoscope.data.split import Split, parts_in_file
from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.metrics import Metrics, measure
from pneumoscope.evaluation.scores import Scores, score
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import RunFolder, rows_of, update_json
from pneumoscope.watch import Watcher


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """What an evaluation gave.

    Attributes:
        part: Which part of the data was read: ``train``, ``val``, ``test`` or ``all``.
        scores: What the reader said of each image.
        metrics: The numbers.
        unreadable: Files that could not be read.
        seen: How many of the images, or other images of their patients, the run was trained on.
    """

    part: str
    scores: Scores
    metrics: Metrics
    unreadable: tuple[Unreadable, ...]
    seen: int


def evaluate_reader(
    model: Path,
    data: Path,
    *,
    part: str | None = None,
    scores_file: Path | None = None,
    threads: int = 1,
    watcher: Watcher | None = None,
) -> Evaluated:
    """Return what a reader achieves on labelled images, read from their files.

    Where ``model`` is a run folder that was trained on these very data, the parts are those of its
    ``split.csv``, and scores and metrics are written into it; else they are the folders or the
    column of the data.

    Args:
        model: A run folder or a model file.
        data: What ``read_catalog`` takes.
        part: ``train``, ``val``, ``test`` or ``all``; if None, ``test`` where there is one, else
            ``all``.
        scores_file: Where to write the scores as well.
        threads: Processor threads for one call of the graph.
        watcher: Hears how it goes.

    Raises:
        PneumoscopeError: The model, the data or the part cannot be worked with.

    Example:
        >>> evaluate_reader(Path("runs/first"), Path("chest_xray"), part="test")  # doctest: +SKIP
    """
    watcher = watcher or Watcher()
    predictor = Predictor(model, threads=threads, gated=False)
    with watcher.progress("Reading the folder") as progress:
        catalog = read_catalog(data, classes=predictor.info.classes, progress=progress)
    run = RunFolder(model) if model.is_dir() else None
    own = _own_split(run, catalog)
    part, rows = _part_rows(catalog, own, part, data)
    chosen = catalog.select(rows)
    seen = _seen_in_training(run, chosen)
    if seen:
        watcher.warn(
            f"{seen} of {len(chosen)} images, or other images of their patients, were trained on: "
            "these numbers say nothing about new patients."
        )
    with watcher.progress("Reading the images") as progress:
        scores, bad = score(predictor, chosen, progress=progress)
    metrics = measure(scores, threshold=predictor.info.operating_point.threshold)
    if run is not None and own is not None:
        scores.save(run.scores(part))
        update_json(run.metrics, {part: metrics.to_dict()})
    if scores_file is not None:
        scores.save(scores_file)
    return Evaluated(part, scores, metrics, (*catalog.unreadable, *bad), seen)


def _own_split(run: RunFolder | None, catalog: Catalog) -> Split | None:
    """Return the run's split if these images, or most of them, were part of its data."""
    if run is None or not (run.split.is_file() and run.catalog.is_file()):
        return None
    known = {(row["path"], row["sha256"]) for row in rows_of(run.catalog)}
    unchanged = sum((entry.path, entry.sha256) in known for entry in catalog.entries)
    return parts_in_file(run.split, catalog) if 2 * unchanged > len(catalog) else None


def _part_rows(
    catalog: Catalog, own: Split | None, part: str | None, data: Path
) -> tuple[str, list[int]]:
    rows_by_part = {
        name: own.rows(name)
        if own is not None
        else [row for row, entry in enumerate(catalog.entries) if entry.split == name]
        for name in PARTS
    }
    rows_by_part["all"] = list(range(len(catalog)))
    chosen = part or ("test" if rows_by_part["test"] else "all")
    rows = rows_by_part.get(chosen)
    if rows is None:
        raise OptionError("--split", must="one of train, val, test, all", was=chosen)
    if not rows:
        there = ", ".join(f"{name} ({len(found)})" for name, found in rows_by_part.items() if found)
        raise DataError(f"{data}: no images in the part {chosen!r}; there are {there}.")
    return chosen, rows


def _seen_in_training(run: RunFolder | None, catalog: Catalog) -> int:
    if run is None or not (run.catalog.is_file() and run.split.is_file()):
        return 0
    trained = {row["path"] for row in rows_of(run.split) if row["split"] == "train"}
    rows = [row for row in rows_of(run.catalog) if row["path"] in trained]
    known = {row["sha256"] for row in rows} | {row["patient"] for row in rows}
    return sum(entry.sha256 in known or entry.patient in known for entry in catalog.entries)

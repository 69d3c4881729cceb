"""Compare runs, models or scores files on the same images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import DataError
from pneumoscope.evaluation.bootstrap import RESAMPLES
from pneumoscope.evaluation.compare import Comparison, Contender, compare
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.scoring import score
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.metadata import ModelInfo
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import RunFolder, provenance
from pneumoscope.stats.intervals import LEVEL
from pneumoscope.watch import Watcher
from pneumoscope.workflow.parts import DataSource, warn_of_training
from pneumoscope.workflow.places import check_report, data_root, run_of, scores_of_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pneumoscope.data.catalog import Unreadable
    from pneumoscope.data.layouts import DataOptions

_SCORES = ".csv"
_THRESHOLD = 0.5


def compare_readers(
    places: Sequence[Path],
    *,
    data: Path | None = None,
    options: DataOptions | None = None,
    patient_regex: str | None = None,
    part: str | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
    report: Path | None = None,
    watcher: Watcher | None = None,
) -> Comparison:
    """Compare readers on the images that all of them scored.

    Args:
        places: Run folders, model files and scores files, in any combination. Scores files are used
            unchanged; without ``data``, the existing scores of runs are used.
        data: Labelled images to score with runs and models.
        options: The class map, and how to read a table; options that are not given are taken from
            each run.
        patient_regex: Regular expression that extracts the patient from a path; if None, that of
            each run, if it matches.
        part: Part of the data, or of the scores of runs: ``train``, ``val``, ``test`` or ``all``;
            if None, ``test`` if present, otherwise ``all`` (for scores of runs: ``val``).
        level: Confidence level.
        resamples: Number of resamples of the patients.
        seed: Seed of the resampling.
        report: A folder for ``report.html`` and ``figures/``; None writes none.
        watcher: Receives progress reports.

    Raises:
        PneumoscopeError: A reader, the data or an option is invalid.

    Example:
        >>> compare_readers([Path("runs/a"), Path("runs/b")],
        ...                 data=Path("chest_xray"))  # doctest: +SKIP
    """
    watcher = watcher or Watcher()
    check_report(report)
    names = [str(place) for place in places]
    source = DataSource(data, watcher, options, patient_regex) if data is not None else None
    contenders = []
    unreadable: dict[str, Unreadable] = {}
    root = _root(places)
    for name, place in zip(names, places, strict=True):
        if place.suffix.lower() == _SCORES:
            contenders.append(_from_scores(name, place, part, watcher))
        elif source is None:
            if not place.is_dir():
                raise DataError(
                    f"{place}: a model file has no scores; give images with `data`."
                    if place.exists()
                    else f"{place}: no such run folder or file of scores."
                )
            contenders.append(_from_scores(name, scores_of_run(place, part), part, watcher))
        else:
            contender, root, bad = _from_images(name, place, source=source, part=part)
            contenders.append(contender)
            unreadable |= {item.path: item for item in bad}
    for item in unreadable.values():
        watcher.warn(f"skipped: {item.reason}")
    found = compare(
        contenders,
        level=level,
        resamples=resamples,
        seed=seed,
        unreadable=tuple(unreadable.values()),
    )
    if report is not None:
        facts = provenance(
            readers=", ".join(names),
            data=str(data) if data is not None else "the existing scores",
            resamples=resamples,
            seed=seed,
        )
        parts = {contender.scores.part for contender in contenders}
        page = _page(
            report,
            found,
            places=places,
            root=root,
            part=parts.pop() if len(parts) == 1 else "",
            facts=facts,
        )
        watcher.say(f"Report: {page}")
    return found


def _page(
    folder: Path,
    found: Comparison,
    *,
    places: Sequence[Path],
    root: Path | None,
    part: str,
    facts: dict[str, Any],
) -> Path:
    """Write the report of a comparison."""
    from pneumoscope.report.comparison_page import (  # noqa: PLC0415 - matplotlib, jinja2
        REPORT_NETWORK,
        REPORT_SPREAD,
        write_comparison_page,
    )
    from pneumoscope.report.pictures import Pictures  # noqa: PLC0415

    infos = [_info(place) for place in places]
    known = [info for info in infos if info is not None]
    alike = {member for group in found.seeds for member in group.members}
    of_the_report = [
        str(place) in alike and info is not None and info.name.startswith(REPORT_NETWORK)
        for place, info in zip(places, infos, strict=True)
    ]
    return write_comparison_page(
        folder,
        found,
        facts=facts,
        classes=known[0].pair if known else ("negative", "positive"),
        pictures=Pictures(root) if root is not None else None,
        known=REPORT_SPREAD if any(of_the_report) else None,
        part=part,
    )


def _info(place: Path) -> ModelInfo | None:
    """Return the metadata of the model behind a run, a model file or a run's scores."""
    if place.suffix.lower() == _SCORES:
        run = run_of(place)
        return open_bundle(run.model).info if run is not None else None
    return open_bundle(place).info


def _root(places: Sequence[Path]) -> Path | None:
    """Return the root folder of the paths of runs' images, if known."""
    for place in places:
        run = RunFolder(place) if place.is_dir() else run_of(place)
        root = data_root(run)
        if root is not None:
            return root
    return None


def _from_scores(name: str, path: Path, part: str | None, watcher: Watcher) -> Contender:
    run = run_of(path)
    info = open_bundle(run.model).info if run is not None else None
    scores = Scores.load(path, part=part)
    if scores.part == "train":
        watcher.warn(
            f"{name}: these are training images, so its results do not apply to new patients."
        )
    return Contender(
        name,
        scores,
        info.operating_point.threshold if info else _THRESHOLD,
        recipe_key(info) if info else "",
    )


def _from_images(
    name: str, place: Path, *, source: DataSource, part: str | None
) -> tuple[Contender, Path, tuple[Unreadable, ...]]:
    """Score images with a reader; return scores, root folder and unreadable files."""
    predictor = Predictor(place, gated=False)  # a refused image has no probability
    watcher = source.watcher
    part, cohort = source.cohort(place, predictor.info).part(part)
    warn_of_training(cohort.relation, watcher, reader=name)
    with watcher.progress(f"Reading the images with {name}") as progress:
        scores, bad = score(predictor, cohort.catalog, part=part, progress=progress)
    contender = Contender(
        name, scores, predictor.info.operating_point.threshold, recipe_key(predictor.info)
    )
    return contender, cohort.catalog.root, (*cohort.catalog.unreadable, *bad)


def recipe_key(info: ModelInfo) -> str:
    """Return an identifier shared by runs that differ only in the seed.

    Recalibrated models and ensembles are not runs of a recipe.
    """
    recipe = info.training.get("recipe")
    if not isinstance(recipe, dict) or info.history or info.training.get("members"):
        return ""
    rest = {key: value for key, value in recipe.items() if key != "seed"}
    return json.dumps([info.training.get("data_fingerprint"), rest], sort_keys=True)

"""The page of an evaluation of one reader, of classes or of findings, on labelled images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.model_file.metadata import ModelInfo
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.class_sections import classes_held, findings_section
from pneumoscope.report.figures.training import class_counts
from pneumoscope.report.opening import Judged, opening_of
from pneumoscope.report.outcome import outcome_sections
from pneumoscope.report.page import Report, Section, footer_of, write_report
from pneumoscope.report.pictures import Pictures
from pneumoscope.report.rendering import read_yaml
from pneumoscope.report.settings import environment_section, settings_section
from pneumoscope.report.words import calibration_words, facts_of, images_of
from pneumoscope.runs import files_written_whole, provenance

_PAGE = "report.html"
_ALONE = "This is one training with one seed; another seed gives a different reader."


def write_evaluation_page(
    folder: Path,
    found: Judged,
    scores: Scores | None = None,
    *,
    info: ModelInfo | None = None,
    pictures: Pictures | None = None,
    origin: Mapping[str, str] | None = None,
    generated: bool = False,
) -> Path:
    """Write ``report.html`` and ``figures/`` into a folder; return the page's path.

    All of it appears, or nothing: a report that stood there stays if this one cannot be written.

    Args:
        folder: Where they go; made if it is missing.
        found: The evaluation.
        scores: Scores of the images, or of the studies or patients; not needed of
            several findings.
        info: What the model says of itself; None for scores of others.
        pictures: Where the images are, for the sheet of mistakes.
        origin: What the numbers were made from, such as ``data``, for the provenance.
        generated: Whether the images were drawn by this package.

    Raises:
        OutputError: The folder cannot be written to.
    """
    facts = provenance(**(origin or {}), **_asked(found, info))
    of_classes = info if isinstance(found, Evaluation) else None
    alone = of_classes is not None and not of_classes.training.get("members")
    opening = opening_of(found, more=(_ALONE,) if alone else (), generated=generated)
    with files_written_whole(folder) as new:
        canvas = Canvas(new / "figures", level=found.question.level)
        sections = [
            *_outcome(found, scores, canvas, info, pictures),
            environment_section(canvas, facts),
        ]
        title = f"{found.reader.get('name') or 'Scores'}, evaluated"
        report = Report(title, sections=tuple(sections), footer=footer_of(facts), **opening)
        write_report(new / _PAGE, report)
    return folder / _PAGE


def _outcome(
    found: Judged,
    scores: Scores | None,
    canvas: Canvas,
    info: ModelInfo | None,
    pictures: Pictures | None,
) -> Iterator[Section]:
    if isinstance(found, FindingsEvaluation):
        yield findings_section(found, canvas)
    elif scores is not None:
        yield from outcome_sections(found, scores, canvas, pictures=pictures)
        yield _data(found, canvas)
        if info is not None:
            yield _reader(info, found, canvas)


def _asked(found: Judged, info: ModelInfo | None) -> dict[str, object]:
    """Return the options of the evaluation, for the provenance."""
    question = found.question
    asked: dict[str, object] = {
        "model_sha256": found.reader.get("sha256") or None,
        "data_fingerprint": found.fingerprint or None,
        "part": found.part or None,
        "relation to the training": read_yaml("names.yaml")["relations"][found.relation],
        "left_out": "; ".join(map(str, found.left_out)) or "nothing",
        "level": question.level,
        "resamples": question.resamples,
        "seed": question.seed,
    }
    if isinstance(found, FindingsEvaluation):
        return {**asked, "network": info.name if info is not None else None}
    return {
        **asked,
        "threshold": f"{found.threshold.value:.6g} ({found.threshold.source})",
        "prevalence": question.prevalence,
        "unit": question.per,
        "aggregate": question.aggregate if question.per != "image" else None,
    }


def _data(found: Evaluation, canvas: Canvas) -> Section:
    names, counts = classes_held(found)
    figure = class_counts((images_of(found),), names, np.array([counts]))
    canvas = canvas.about(**facts_of(found))
    return canvas.section("data", figures={"classes": replace(figure, kind="class_shares")})


def _reader(info: ModelInfo, found: Evaluation, canvas: Canvas) -> Section:
    point, zone = info.operating_point, info.conformal
    quantiles = " and ".join(f"{one:.4g}" for one in zone.quantiles) if zone else ""
    recipe = info.training.get("recipe")
    rows: list[tuple[str, object]] = [
        ("network", info.name),
        ("version", info.version or "none given"),
        ("licence", info.licence or "none given"),
        ("SHA-256 of the file", found.reader["sha256"]),
        ("input", f"{info.input.width_px} x {info.input.height_px}, {info.input.resize}"),
        ("decision threshold", f"{point.threshold:.6g} (rule {point.rule})"),
        ("uncertain zone", f"error level {zone.level:g}, quantiles {quantiles}" if zone else None),
        ("calibration", calibration_words(found.calibration_of_all)),
        ("gate", ", ".join(info.gate) or None),
        *((f"card: {key}", value) for key, value in info.card.items()),
        *((key, value) for key, value in info.training.items() if key != "recipe"),
        *((f"recipe: {key}", v) for key, v in (recipe if isinstance(recipe, dict) else {}).items()),
        *((f"change {place}", change) for place, change in enumerate(info.history, 1)),
    ]
    return settings_section(canvas, "reader", rows)

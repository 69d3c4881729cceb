"""The page of an evaluation of one reader, of classes or of findings, on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.data.relation import TrainingRelation
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
from pneumoscope.evaluation.notes import units
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.class_sections import classes_held
from pneumoscope.report.figures.training import class_counts
from pneumoscope.report.findings_sections import findings_section
from pneumoscope.report.opening import Judged, opening_of
from pneumoscope.report.outcome import outcome_sections
from pneumoscope.report.page import Report, Section, footer_of, write_report
from pneumoscope.report.settings import environment_section, settings_section
from pneumoscope.report.words import calibration_words, images_of
from pneumoscope.runs import files_written_whole, provenance

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pneumoscope.evaluation.evaluation import Evaluation
    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.reader.model_file.metadata import ModelInfo
    from pneumoscope.report.pictures import Pictures

_PAGE = "report.html"


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
        scores: What the reader said of each image, or of each study or patient; not needed of
            several findings.
        info: What the model says of itself; None for scores of others.
        pictures: Where the images are, for the sheet of mistakes.
        origin: What the numbers were made from, such as ``data``, for the provenance.
        generated: Whether the images were drawn by this package.

    Raises:
        OutputError: The folder cannot be written to.
    """
    facts = provenance(**(origin or {}), **_asked(found, info))
    opening = opening_of(found, more=_of_the_training(found, info), generated=generated)
    with files_written_whole(folder) as new:
        canvas = Canvas(new / "figures", level=found.question.level)
        sections = [
            *_outcome(found, scores, canvas, info, pictures),
            environment_section(canvas, facts),
        ]
        write_report(
            new / _PAGE,
            Report(
                title=f"{found.reader.get('name') or 'Scores'}, evaluated",
                data=_data_line(found),
                sections=tuple(sections),
                footer=footer_of(facts),
                **opening._asdict(),
            ),
        )
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


_RELATIONS = {
    TrainingRelation.TRAINING: "its own training part",
    TrainingRelation.VALIDATION: "its own validation part",
    TrainingRelation.TEST: "a part of the same data that was not used for training or tuning",
    TrainingRelation.OTHER: "other data; none of the images is known as a training image",
    TrainingRelation.OVERLAP: "some of the images, or of their patients, were used for training",
    TrainingRelation.SAME_NAMES: "most have the names of training images; contents differ",
    TrainingRelation.UNKNOWN: "not known",
}


def _asked(found: Judged, info: ModelInfo | None) -> dict[str, object]:
    """Return the options of the evaluation, for the provenance."""
    question = found.question
    asked: dict[str, object] = {
        "model_sha256": found.reader.get("sha256") or None,
        "data_fingerprint": found.fingerprint or None,
        "part": found.part or None,
        "relation to the training": _RELATIONS[found.relation],
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


def _data_line(found: Judged) -> str:
    if isinstance(found, FindingsEvaluation):
        return f"{found.numbers.n:,} images of {found.numbers.patients:,} patients"
    text = f"{found.n:,} {images_of(found)}"
    if found.patients_known:
        text += f" of {found.patients:,} patients"
    held = ", ".join(f"{n:,} {name}" for name, n in zip(*classes_held(found), strict=True))
    return f"{text}: {held}"


def _of_the_training(found: Judged, info: ModelInfo | None) -> tuple[str, ...]:
    """Return additional caveats about the training."""
    several = isinstance(found, FindingsEvaluation)
    if several or info is None or info.training.get("members"):
        return ()
    return ("This is one training with one seed; another seed gives a different reader.",)


def _data(found: Evaluation, canvas: Canvas) -> Section:
    what = units(found)
    names, counts = classes_held(found)
    figure = class_counts((images_of(found),), names, np.array([counts]))
    text = (
        f"{found.patients:,} patients; intervals are based on patients, not {what}."
        if found.patients_known
        else "The patient of some images is unknown; each of these images counts as a patient."
    )
    if found.unit != "image":
        text += (
            f" Each {found.unit} counts once, with the aggregated probability of its images "
            "(see Environment); the uncertain zone, which is valid for single images, is not "
            "used."
        )
    if found.unreadable:
        text += f" {found.unreadable:,} files could not be read and were left out."
    if found.seen:
        text += f" {found.seen:,} of the images, or others of their patients, were trained on."
    terms = {"units": what, "Units": what.capitalize()}
    panel = canvas.panel(figure, "classes", kind="class_shares", **terms)
    return Section("The data", text=text, panels=(panel,))


def _reader(info: ModelInfo, found: Evaluation, canvas: Canvas) -> Section:
    point, zone = info.operating_point, info.conformal
    rows: list[tuple[str, object]] = [
        ("network", info.name),
        ("version", info.version or "none given"),
        ("licence", info.licence or "none given"),
        ("SHA-256 of the file", found.reader["sha256"]),
        ("input", f"{info.input.width_px} x {info.input.height_px}, {info.input.resize}"),
        ("positive from probability", f"{point.threshold:.6g} (rule {point.rule})"),
        (
            "uncertain zone",
            f"error level {zone.level:g}, quantiles "
            f"{' and '.join(f'{one:.4g}' for one in zone.quantiles)}"
            if zone
            else "none",
        ),
        ("calibration", calibration_words(found.calibration_of_all)),
        ("gate", ", ".join(info.gate) or "none"),
    ]
    rows += [(f"card: {key}", value) for key, value in info.card.items()]
    rows += [(key, value) for key, value in info.training.items() if key != "recipe"]
    recipe = info.training.get("recipe")
    if isinstance(recipe, dict):
        rows += [(f"recipe: {key}", value) for key, value in recipe.items()]
    rows += [(f"change {place}", change) for place, change in enumerate(info.history, 1)]
    return settings_section(
        canvas, "reader", rows, title="The reader", text="Metadata of the model file.",
        table_title="Network, decision policy and recipe",
    )  # fmt: skip

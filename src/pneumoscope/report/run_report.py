"""The report of a training run, made from the files of its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pneumoscope.data.generated import is_generated
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import UNUSED
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
from pneumoscope.evaluation.new_patients import NewPatients
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.predictor import Predictor
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.card import write_card
from pneumoscope.report.class_sections import findings_data, findings_section
from pneumoscope.report.figures.pictures import augmentation_sheet
from pneumoscope.report.figures.training import class_counts_of, learning_curves
from pneumoscope.report.new_patients_section import new_patients_section
from pneumoscope.report.opening import Judged, opening_of, words_of
from pneumoscope.report.outcome import outcome_sections
from pneumoscope.report.page import Report, Section, footer_of, write_report
from pneumoscope.report.pictures import Pictures
from pneumoscope.report.settings import environment_rows, settings_section
from pneumoscope.report.words import PARTS
from pneumoscope.runs import RunFolder
from pneumoscope.training.log import Epoch, read_log
from pneumoscope.training.recipe import Recipe


def write_run_report(
    run: RunFolder,
    *,
    recipe: Recipe,
    data: PreparedData,
    judged: Sequence[tuple[Judged, Scores | None]],
    new_patients: NewPatients | None = None,
) -> None:
    """Write ``report.html``, ``card.md`` and ``figures/`` of a finished run.

    Args:
        run: The run.
        recipe: Its recipe.
        data: Its images.
        judged: The evaluation on validation images and, last, on test images if there are any,
            each with the scores behind it; of several findings without.
        new_patients: Expected performance on new patients; None if no groups were held out.

    Raises:
        OutputError: They cannot be written.
    """
    facts = json.loads(run.provenance.read_text(encoding="utf-8"))
    best = judged[-1][0]
    canvas = Canvas(run.figures, level=best.question.level)
    sections = [
        *([] if new_patients is None else [new_patients_section(new_patients, canvas)]),
        *_outcomes(run, data, judged, canvas),
        _learning(canvas, read_log(run.log), recipe, facts),
        findings_data(data, canvas) if data.catalog.findings else _data(data, canvas),
        *_augmentation(canvas, recipe, data),
        settings_section(canvas, "recipe", [*recipe.to_dict().items(), *environment_rows(facts)]),
    ]
    words = words_of(
        "run",
        catalog=data.catalog,
        n=len(data.catalog),
        patients=len({entry.patient for entry in data.catalog.entries}),
        parts={name: len(data.split.rows(part)) for part, name in PARTS.items()},
        seed=recipe.seed,
        interrupted=facts["interrupted"],
    )
    more = words.pop("caveats")
    opening = opening_of(best, more=more, generated=is_generated(data.catalog.root)) | words
    few = "" if data.catalog.findings else data.cohort.too_few("val")
    if few:
        text = f"Validation set: {few}. Epoch, threshold and calibration depend on chance."
        opening["caveats"] += (text,)
    footer = f"{footer_of(facts)} · data hash {data.catalog.fingerprint[:12]} · seed {recipe.seed}"
    place = "/".join(run.root.parts[-2:])
    report = Report(f"Training run: {place}", sections=tuple(sections), footer=footer, **opening)
    write_report(run.report, report)
    write_card(run)


def _outcomes(
    run: RunFolder,
    data: PreparedData,
    judged: Sequence[tuple[Judged, Scores | None]],
    canvas: Canvas,
) -> Iterator[Section]:
    """Yield the sections on each part, the last part first and in full."""
    reader = None if data.catalog.findings else Predictor(run.model, gated=False)
    pictures = Pictures(data.catalog.root, reader)
    for found, scores in reversed(judged):
        brief = found is not judged[-1][0]
        if isinstance(found, FindingsEvaluation):
            yield findings_section(found, canvas, name=f"{found.part}-" if brief else "")
        elif scores is not None:
            yield from outcome_sections(found, scores, canvas, pictures=pictures, brief=brief)


def _learning(canvas: Canvas, log: list[Epoch], recipe: Recipe, facts: dict[str, Any]) -> Section:
    """Return the section on the epochs of the training."""
    curves = learning_curves(
        [row.epoch for row in log],
        loss=[row.loss for row in log],
        val_loss=[row.val_loss for row in log],
        accuracy=[row.accuracy for row in log],
        val_accuracy=[row.val_accuracy for row in log],
        best_epoch=facts["best_epoch"],
    )
    return canvas.section(
        "training",
        figures={"learning": curves},
        made=facts,
        epochs=len(log),
        recipe=recipe,
        seconds=sorted(row.seconds for row in log)[len(log) // 2],
    )


def _data(data: PreparedData, canvas: Canvas) -> Section:
    catalog, split = data.catalog, data.split
    shown = {**PARTS, UNUSED: "unused"}
    named = [
        (shown[part], entry.label)
        for part in shown
        for entry in catalog.select(split.rows(part)).entries
    ]
    return canvas.section(
        "training_data",
        figures={"classes": class_counts_of(*zip(*named, strict=True))},
        unused=len(split.rows(UNUSED)),
        unreadable=len(catalog.unreadable),
    )


def _augmentation(
    canvas: Canvas, recipe: Recipe, data: PreparedData, *, columns: int = 5
) -> Iterator[Section]:
    """Yield two training images of each class with augmented versions; none for a probe."""
    if recipe.learning.probe:
        return
    import torch  # noqa: PLC0415 - the report's other figures do without

    from pneumoscope.training.augment import augment  # noqa: PLC0415

    catalog, rows = data.catalog, data.split.rows("train")
    chosen = [
        row
        for label in catalog.classes
        for row in [row for row in rows if catalog.entries[row].label == label][:2]
    ]
    originals = data.pixels(chosen)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        repeated = torch.from_numpy(originals / np.float32(255)).repeat_interleave(columns, 0)
        changed = augment(repeated.unsqueeze(1), recipe.learning.augmentation)
    pixels = changed.mul(255).round().clamp(0, 255).to(torch.uint8).numpy()
    labels = tuple(catalog.entries[row].label for row in chosen)
    shape = (len(chosen), columns, *originals.shape[1:])
    sheet = augmentation_sheet(originals, pixels.reshape(shape), labels)
    yield canvas.section("augmentation", figures={"augmentation": sheet})

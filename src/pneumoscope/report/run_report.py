"""The report of a training run, made from the files of its folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.data.generated import GENERATED, is_generated
from pneumoscope.data.split import UNUSED
from pneumoscope.reader.predictor import Predictor
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.card import write_card
from pneumoscope.report.class_sections import class_answer, class_headline, question_of
from pneumoscope.report.figures.pictures import augmentation_sheet
from pneumoscope.report.figures.training import class_counts_of, learning_curves
from pneumoscope.report.new_patients_section import new_patients_section
from pneumoscope.report.outcome import outcome_sections
from pneumoscope.report.page import Report, Section, footer_of, write_report
from pneumoscope.report.pictures import Pictures
from pneumoscope.report.settings import environment_rows, settings_section
from pneumoscope.report.words import PARTS, answer, caveats, headline
from pneumoscope.training.log import Epoch, read_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pneumoscope.data.catalog import Catalog
    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.data.split import Split
    from pneumoscope.evaluation.evaluation import Evaluation
    from pneumoscope.evaluation.new_patients import NewPatients
    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.report.figures.drawing import Drawing
    from pneumoscope.runs import RunFolder
    from pneumoscope.training.recipe import Recipe


def write_run_report(
    run: RunFolder,
    *,
    recipe: Recipe,
    data: PreparedData,
    judged: Sequence[tuple[Evaluation, Scores]],
    new_patients: NewPatients | None = None,
) -> None:
    """Write ``report.html``, ``card.md`` and ``figures/`` of a finished run.

    Args:
        run: The run.
        recipe: Its recipe.
        data: Its images.
        judged: The evaluation on validation images and, last, on test images if there are any,
            each with the scores behind it.
        new_patients: What to expect on new patients; None where no groups were held out.

    Raises:
        OutputError: They cannot be written.
    """
    catalog, split = data.catalog, data.split
    facts = json.loads(run.provenance.read_text(encoding="utf-8"))
    predictor = Predictor(run.model, gated=False)
    best, scores = judged[-1]
    log = read_log(run.log)
    canvas = Canvas(run.figures, level=best.level)
    pictures = Pictures(catalog.root, predictor)
    few = data.cohort.too_few("val")
    if few:
        few = f"Validation part: {few}. Epoch, threshold and calibration depend on chance."
    expected = [] if new_patients is None else [new_patients_section(new_patients, canvas)]
    sections = [
        *expected,
        *outcome_sections(best, scores, canvas, pictures=pictures),
        *(
            section
            for found, said in judged[:-1]
            for section in outcome_sections(found, said, canvas, brief=True)
        ),
        learning_section(canvas, log, recipe, facts),
        _data(canvas, catalog, split),
        *augmentation_section(canvas, recipe, data),
        recipe_section(canvas, recipe, facts),
    ]
    write_report(
        run.report,
        Report(
            title=run.root.name,
            question=question_of(catalog.label_space),
            data=data_line(catalog, split),
            answer=f"{answer(best)} {class_answer(best)}".rstrip(),
            caveats=(
                *([GENERATED] if is_generated(catalog.root) else []),
                *caveats(best, more=of_the_run(recipe, facts)),
                *([few] if few else []),
            ),
            headline=(*headline(best), *class_headline(best)),
            sections=tuple(sections),
            footer=(f"{footer_of(facts)} · data {catalog.fingerprint[:12]} · seed {recipe.seed}"),
        ),
    )
    write_card(run)


def data_line(catalog: Catalog, split: Split) -> str:
    """Return how many images there are, and what for."""
    patients = len({entry.patient for entry in catalog.entries})
    parts = ", ".join(
        f"{len(split.rows(part)):,} for {name}" for part, name in PARTS.items() if split.rows(part)
    )
    who = f" of {patients:,} patients" if catalog.patients_known else ""
    return f"{len(catalog):,} images{who}: {parts}"


def of_the_run(recipe: Recipe, facts: dict[str, Any]) -> tuple[str, ...]:
    """Return additional caveats about the training."""
    seed = f"One run with one seed ({recipe.seed}); another seed gives a different reader."
    if facts["interrupted"]:
        return "Training was stopped manually before it was complete.", seed
    return (seed,)


def learning_section(
    canvas: Canvas, log: list[Epoch], recipe: Recipe, facts: dict[str, Any]
) -> Section:
    """Return the section on the epochs of the training."""
    curves = learning_curves(
        [row.epoch for row in log],
        loss=[row.loss for row in log],
        val_loss=[row.val_loss for row in log],
        accuracy=[row.accuracy for row in log],
        val_accuracy=[row.val_accuracy for row in log],
        best_epoch=facts["best_epoch"],
    )
    seconds = sorted(row.seconds for row in log)[len(log) // 2]
    ended = "was stopped manually" if facts["interrupted"] else "ended"
    return Section(
        "Training",
        text=(
            f"Training {ended} after {len(log)} of at most {recipe.learning.max_epochs} epochs "
            f"(patience {recipe.learning.patience}); the weights of epoch {facts['best_epoch']} "
            f"were kept. A typical epoch took {seconds:.1f} s on {facts['device']} in "
            f"{facts['precision']}. Training values are means over an epoch with augmentation "
            "and dropout, so they may be worse than the validation values."
        ),
        panels=(canvas.panel(curves, "learning", title="Loss and accuracy by epoch"),),
    )


def _data(canvas: Canvas, catalog: Catalog, split: Split) -> Section:
    shown = {**PARTS, UNUSED: "set aside"}
    named = [
        (shown[part], entry.label)
        for part in shown
        for entry in catalog.select(split.rows(part)).entries
    ]
    figure = class_counts_of(*zip(*named, strict=True))
    set_aside = len(split.rows(UNUSED))
    text = "No patient and no duplicate image is in two parts."
    if set_aside:
        text += f" {set_aside} images were set aside (see split.csv)."
    if catalog.unreadable:
        text += f" {len(catalog.unreadable)} files could not be read and were skipped."
    return Section(
        "The data",
        text=text,
        panels=(canvas.panel(figure, "classes", title="Images of each class"),),
    )


def augmentation_section(canvas: Canvas, recipe: Recipe, data: PreparedData) -> tuple[Section, ...]:
    """Return the section that shows augmented training images; none for a linear probe."""
    if recipe.learning.probe:
        return ()
    sheet = _augmentation_sheet(recipe, data)
    section = Section(
        "Augmentation",
        text="Training images only; validation and test images are never changed.",
        panels=(canvas.panel(sheet, "augmentation", title="Originals and augmented samples"),),
    )
    return (section,)


def _augmentation_sheet(recipe: Recipe, data: PreparedData, *, columns: int = 5) -> Drawing:
    """Return two training images of each class with augmented versions."""
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
    return augmentation_sheet(
        originals, pixels.reshape(len(chosen), columns, *originals.shape[1:]), labels
    )


def recipe_section(canvas: Canvas, recipe: Recipe, facts: dict[str, Any]) -> Section:
    """Return the section on the recipe and the environment."""
    rows = [*recipe.to_dict().items(), *environment_rows(facts)]
    return settings_section(
        canvas, "recipe", rows, title="Recipe and environment",
        text="Everything needed to train this reader again.",
        table_title="Settings, versions and machine",
    )  # fmt: skip

"""The page of an evaluation: one reader on one set of labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.data.generated import GENERATED, is_generated
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.figures_training import ClassCounts
from pneumoscope.report.judged import (
    Judged,
    answer,
    caveats,
    headline,
)
from pneumoscope.report.outcome import outcome_sections
from pneumoscope.report.page import Report, Section, write_report

if TYPE_CHECKING:
    from pneumoscope.reader.bundle import ModelInfo
    from pneumoscope.report.pictures import Pictures


def write_evaluation_page(
    folder: Path,
    item: Judged,
    *,
    name: str,
    facts: dict[str, Any],
    info: ModelInfo | None = None,
    pictures: Pictures | None = None,
    unreadable: int = 0,
) -> Path:
    """Write ``report.html`` and ``figures/`` into a folder; return the page's place.

    Args:
        folder: Where they go; made if it is missing.
        item: The reader and the images.
        name: What is evaluated: a run, a model file, a scores file.
        facts: What ``provenance`` gave.
        info: What the model says of itself; None for scores of others.
        pictures: Where the images are, for the sheet of mistakes.
        unreadable: Files that could not be read.

    Raises:
        OutputError: The folder cannot be written to.
    """
    canvas = Canvas(folder / "figures")
    negative, positive = item.classes
    sections = [
        *outcome_sections(item, canvas, pictures=pictures),
        _data(item, canvas, unreadable=unreadable),
        *([_reader(info, canvas, facts)] if info else []),
        _environment(canvas, facts),
    ]
    place = folder / "report.html"
    write_report(
        place,
        Report(
            title=f"{name}, evaluated",
            question=f"Can a chest X-ray alone tell {positive} from {negative}?",
            data=_data_line(item),
            answer=answer(item),
            caveats=(
                *([GENERATED] if pictures and is_generated(pictures.root) else []),
                *caveats(item, more=_of_the_training(info)),
            ),
            headline=headline(item),
            sections=tuple(sections),
            footer=f"pneumoscope {facts['packages'].get('pneumoscope', '')} · {facts['written']}",
        ),
    )
    return place


def _data_line(item: Judged) -> str:
    found = item.assessment
    (tn, fp), (fn, tp) = found.confusion
    text = f"{found.n:,} {item.images}"
    if item.scores.patients_known:
        text += f" of {found.patients:,} patients"
    return f"{text}: {tn + fp:,} {item.classes[0]}, {fn + tp:,} {item.classes[1]}"


def _of_the_training(info: ModelInfo | None) -> tuple[str, ...]:
    """Return what else to know, of the training."""
    if info is None or info.training.get("members"):
        return ()
    return ("This is one training with one seed; another seed gives another reader.",)


def _data(item: Judged, canvas: Canvas, *, unreadable: int) -> Section:
    labels = [item.classes[int(label)] for label in item.scores.label]
    figure = ClassCounts.from_labels([item.images] * len(labels), labels)
    patients = (
        f"{item.assessment.patients:,} patients; intervals count patients, not {item.units}."
        if item.scores.patients_known
        else "Nothing tells the patient of every image, so each such image counts as a patient."
    )
    text = patients
    if item.unit != "image":
        text += (
            f" Each {item.unit} counts once, with the aggregated probability of its images "
            "(see Environment); the uncertain zone, which holds for single images, is left out."
        )
    if unreadable:
        text += f" {unreadable:,} files could not be read and were left out."
    if item.seen:
        text += f" {item.seen:,} of the images, or others of their patients, were trained on."
    return Section(
        "The data",
        text=text,
        panels=(
            canvas.panel(
                figure,
                "classes",
                title=f"{item.units.capitalize()} of each class",
                caption=f"How many {item.units} there are of each class, and their share; the "
                f"share of positive {item.units} is what PPV, NPV and accuracy depend on.",
            ),
        ),
    )


def _reader(info: ModelInfo, canvas: Canvas, facts: dict[str, Any]) -> Section:
    point = info.operating_point
    rows = [
        ("network", info.name),
        ("version", info.version or "none given"),
        ("licence", info.licence or "none given"),
        ("SHA-256 of the file", str(facts.get("model_sha256", ""))),
        ("input", f"{info.input.width_px} x {info.input.height_px}, {info.input.resize}"),
        ("positive from probability", f"{point.threshold:.6g} (rule {point.rule})"),
        (
            "uncertain zone",
            f"error level {info.conformal.level:g}, quantiles "
            f"{info.conformal.quantiles[0]:.4g} and {info.conformal.quantiles[1]:.4g}"
            if info.conformal
            else "none",
        ),
        ("gate", ", ".join(info.gate) or "none"),
    ]
    rows += [(key, as_text(value)) for key, value in info.training.items() if key != "recipe"]
    recipe = info.training.get("recipe")
    if isinstance(recipe, dict):
        rows += [(f"recipe: {key}", as_text(value)) for key, value in recipe.items()]
    rows += [(f"change {place}", as_text(change)) for place, change in enumerate(info.history, 1)]
    return Section(
        "The reader",
        text="What the model file says of itself.",
        table=canvas.table("reader", (("what", "value"), tuple(rows))),
        table_title="Network, decisions and recipe",
    )


def _environment(canvas: Canvas, facts: dict[str, Any]) -> Section:
    machine = facts["machine"]
    rows = [(name, str(version)) for name, version in facts["packages"].items()]
    rows += [
        ("python", str(facts["python"])),
        ("commit", str(facts["commit"] or "not a checkout")),
        ("machine", f"{machine['system']}, {machine['cores']} cores"),
    ]
    rows += [
        (key, as_text(value))
        for key, value in facts.items()
        if key not in {"packages", "python", "commit", "machine", "written"}
    ]
    return Section(
        "Environment",
        text="What is needed to get the same numbers again.",
        table=canvas.table("environment", (("what", "value"), tuple(rows))),
        table_title="Versions, machine and settings",
    )


def as_text(value: object) -> str:
    """Return a value of a recipe or of provenance for people."""
    match value:
        case dict():
            return ", ".join(f"{key} {as_text(item)}" for key, item in value.items()) or "none"
        case list() | tuple():
            return "; ".join(as_text(item) for item in value) or "none"
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)

"""Pages of readers of several findings: the table of findings, and a page of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.evaluation.estimate import level_text
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.figures.groups import finding_forest
from pneumoscope.report.page import Report, Section, Statement, footer_of, write_report
from pneumoscope.report.settings import environment_section
from pneumoscope.report.words import PARTS
from pneumoscope.runs import files_written_whole, provenance

if TYPE_CHECKING:
    from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
    from pneumoscope.reader.model_file.metadata import ModelInfo

_PAGE = "report.html"
_SHOWN = (
    ("AUC", "auc"),
    ("Sensitivity", "sensitivity"),
    ("Specificity", "specificity"),
    ("PPV", "ppv"),
    ("Calibration error", "ece"),
    ("Uncertain", "uncertain"),
)
_OF_ALL = (
    ("Mean AUC", "macro_auc"),
    ("Mean sensitivity", "macro_sensitivity"),
    ("Mean specificity", "macro_specificity"),
    ("Mean calibration error", "macro_ece"),
)


def findings_sections(
    found: FindingsEvaluation, canvas: Canvas, *, name: str = ""
) -> list[Section]:
    """Return the sections on the numbers of each finding of a set of images.

    Args:
        found: The evaluation.
        canvas: Where figures go.
        name: Put before the names of figures, where a page has several such sets.
    """
    numbers = found.numbers
    shown = [(title, key) for title, key in _SHOWN if key in numbers.by_finding[0]]
    rows = tuple(
        (
            finding,
            f"{counts.labelled:,}",
            f"{counts.positive:,}",
            f"{counts.masked:,}",
            f"{threshold:.4g}",
            *(own[key].with_range() for _, key in shown),
        )
        for finding, counts, threshold, own in zip(
            numbers.names, numbers.counts, numbers.thresholds, numbers.by_finding, strict=True
        )
    )
    forest = canvas.panel(finding_forest(numbers), f"{name}findings", title="Each finding")
    title = f"The findings on the {images_of(found)}"
    text = (
        "Each finding is measured on the images that have a label of it; the others are masked. "
        f"Intervals are at {level_text(found.question.level)}, by patient. A finding is called "
        "from its threshold on."
    )
    header = (
        *("finding", "labelled", "positive", "masked", "threshold"),
        *(title.lower() if title not in {"AUC", "PPV"} else title for title, _ in shown),
    )
    statements = tuple(
        Statement(title, numbers[key].with_range(), numbers[key].n) for title, key in _OF_ALL
    )
    return [
        Section(
            title,
            text=text,
            statements=statements,
            panels=(forest,),
            table=(header, rows),
            table_title="Numbers of each finding",
        )
    ]


def images_of(found: FindingsEvaluation) -> str:
    """Return what the images are called: ``test images``."""
    return f"{PARTS[found.part]} images" if found.part in PARTS else "images"


def findings_answer(found: FindingsEvaluation) -> str:
    """Return what was found, in a sentence or two."""
    numbers = found.numbers
    areas = [
        (own["auc"].value, name)
        for name, own in zip(numbers.names, numbers.by_finding, strict=True)
        if own["auc"].value is not None
    ]
    text = (
        f"On {numbers.n:,} {images_of(found)} of {numbers.patients:,} patients the mean AUC over "
        f"{len(areas)} findings is {numbers['macro_auc'].with_range()}"
    )
    if len(areas) < 2:
        return f"{text}."
    (low, worst), (high, best) = min(areas), max(areas)
    return f"{text}: from {low:.3f} for {worst} to {high:.3f} for {best}."


def findings_headline(found: FindingsEvaluation) -> tuple[Statement, ...]:
    """Return the numbers of the answer."""
    numbers = found.numbers
    return tuple(
        Statement(title, numbers[key].with_range(), numbers[key].n) for title, key in _OF_ALL[:3]
    )


def write_findings_page(
    folder: Path,
    found: FindingsEvaluation,
    *,
    info: ModelInfo | None = None,
) -> Path:
    """Write ``report.html`` and ``figures/`` into a folder; return the page's path.

    Args:
        folder: Where they go; made if it is missing.
        found: The evaluation.
        info: The metadata of the model; None for scores without a model.

    Raises:
        OutputError: The folder cannot be written to.
    """
    facts = provenance(
        model_sha256=found.reader.get("sha256") or None,
        network=info.name if info is not None else None,
        data_fingerprint=found.fingerprint or None,
        part=found.part or None,
        resamples=found.question.resamples,
        seed=found.question.seed,
    )
    with files_written_whole(folder) as new:
        canvas = Canvas(new / "figures", level=found.question.level)
        sections = [
            *findings_sections(found, canvas),
            environment_section(canvas, facts),
        ]
        write_report(
            new / _PAGE,
            Report(
                title=f"{found.reader.get('name') or 'Scores'}, evaluated",
                question=question_of(found.numbers.names),
                data=f"{found.numbers.n:,} images of {found.numbers.patients:,} patients",
                answer=findings_answer(found),
                caveats=found.notes,
                headline=findings_headline(found),
                sections=tuple(sections),
                footer=footer_of(facts),
            ),
        )
    return folder / _PAGE


def question_of(names: tuple[str, ...]) -> str:
    """Return what a reader of findings is to find out."""
    if len(names) == 1:
        return f"Does a chest X-ray alone show {names[0]}?"
    return f"Which of {len(names)} findings does a chest X-ray alone show?"

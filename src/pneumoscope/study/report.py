"""The page of a study."""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumoscope.data.generated import GENERATED, is_generated
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.figures.study import (
    LevelDifference,
    Validated,
    level_differences,
    loss_curves,
    validation_spread,
)
from pneumoscope.report.page import Panel, Report, Section, Statement, footer_of, write_report
from pneumoscope.report.settings import environment_rows, settings_section
from pneumoscope.runs import files_written_whole
from pneumoscope.study.answers import Answer, Answered, answers
from pneumoscope.study.folder import StudyFolder
from pneumoscope.study.images import DIVIDING
from pneumoscope.study.plan import Plan, plan_of
from pneumoscope.study.search_page import search_sections, search_sentences
from pneumoscope.study.table import rows_of_study, write_table

_HEADER = (
    "level", "AUC", "accuracy", "AUC minus base", "by patient alone", "by seed", "p (Holm)",
    "minutes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StudyPage:
    """The files of the page.

    Attributes:
        place: Path of the page.
        sentences: The answers.
        failed: Number of failed runs.
    """

    place: Path
    sentences: tuple[str, ...]
    failed: int


def write_study_page(folder: StudyFolder) -> StudyPage:
    """Write ``study.html``, ``runs.csv``, ``answers.csv`` and ``figures/``.

    Nothing is trained: the page can be written while the study runs.

    Raises:
        DataError: The folder is not a study.
        OutputError: The folder cannot be written to.
    """
    facts = folder.facts()
    plan = plan_of(folder.plan.read_text(encoding="utf-8"), where=str(folder.plan))
    found = answers(folder, plan, facts.get("runs", []))
    rows = rows_of_study(folder)
    done = [row for row in rows if row["state"] == "done"]
    failed = [row for row in rows if row["state"] == "failed"]
    sentences = (*search_sentences(folder), *(answer.sentence() for answer in found))
    with files_written_whole(folder.root) as new:
        write_table(folder, new / "runs.csv")
        canvas = Canvas(new / "figures")
        sections = [Section("The answers", text="\n\n".join(sentences))] if sentences else []
        if any(_known(answer) for answer in found):
            sections.append(_overview(found, canvas))
        sections += [_question(answer, canvas) for answer in found]
        sections += search_sections(folder, canvas)
        sections += [_runs(rows, canvas), _recipe(plan, canvas, facts)]
        _write_answers(new / "answers.csv", found)
        write_report(
            new / folder.page.name,
            Report(
                title=f"{folder.root.resolve().name}: a study",
                question=plan.about or "Which settings matter?",
                data=_data_line(found, facts),
                answer=_answer(sentences, found),
                caveats=_caveats(facts, plan, failed, len(rows) - len(done) - len(failed)),
                headline=(
                    Statement("Runs", f"{len(done)} of {len(rows)}"),
                    Statement("Seeds", str(len(plan.seeds))),
                    Statement("Cost", f"{sum(_seconds(row) for row in done) / 60:.0f} min"),
                ),
                sections=tuple(sections),
                footer=footer_of(facts | {"written": _now()}),
            ),
        )
    return StudyPage(folder.page, sentences, len(failed))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _seconds(row: dict[str, object]) -> float:
    return float(str(row["seconds"] or 0))


def _known(answer: Answer) -> bool:
    return any(other.area and other.area.value is not None for other in answer.others)


def _data_line(found: Sequence[Answer], facts: dict[str, Any]) -> str:
    known = next((answer for answer in found if answer.images), None)
    where = Path(str(facts["data"])).name
    if known is None:
        return f"{where}; the test set is not used"
    return (
        f"{where}: evaluated on {known.images:,} held-out images of {known.patients:,} "
        "patients, not used for training or tuning; the test set is not used"
    )


def _answer(sentences: Sequence[str], found: Sequence[Answer]) -> str:
    """Return the opening of the page: all answers, or a summary of many."""
    if len(sentences) <= 3:
        return " ".join(sentences) or "The plan has no questions."
    apart = [
        f"{answer.question.name} ({', '.join(o.level.label for o in answer.others if o.apart)})"
        for answer in found
        if any(other.apart for other in answer.others)
    ]
    if not apart:
        return f"No significant difference was found for any of the {len(found)} questions."
    return (
        f"Significant differences were found for {len(apart)} of {len(found)} questions: "
        f"{'; '.join(apart)}. Details are below."
    )


def _caveats(
    facts: dict[str, Any], plan: Plan, failed: Sequence[object], left: int
) -> tuple[str, ...]:
    caveats = []
    if is_generated(facts["data_root"]):
        caveats.append(GENERATED)
    if left:
        caveats.append(f"{left} runs are not finished: this page will change.")
    if failed:
        caveats.append(f"{len(failed)} runs failed; their errors are in the table of the runs.")
    size = plan.base.value("image_size")
    caveats.append(
        f"Images of {size} pixels and at most {plan.base.learning.max_epochs} epochs: settings "
        "with little effect here may matter at another size or in a longer training."
    )
    if len(plan.seeds) < 5:
        caveats.append(
            f"{len(plan.seeds)} seeds give only a rough estimate of the variation over trainings, "
            "so intervals are wide; a difference may exist even if it is not significant."
        )
    if plan.base.data.findings is not None:
        caveats.insert(
            0, "AUC and accuracy are means over the findings, each on the images that have a label "
            "of it."
        )  # fmt: skip
    caveats.append("One factor at a time: interactions between factors are not tested.")
    return tuple(caveats[:4])


def _overview(found: Sequence[Answer], canvas: Canvas) -> Section:
    forest = level_differences(
        [
            LevelDifference(
                answer.question.name,
                f"{other.level.label} against {answer.base.level.label}",
                _point(other),
                other.area.seeds if other.area else (),
                other.apart,
            )
            for answer in found
            for other in answer.others
        ]
    )
    return Section(
        "Results",
        text=(
            "Every level compared with the base of its question, on the same held-out images, "
            "with runs paired by seed. The interval includes the variation over patients and "
            "over seeds."
        ),
        panels=(canvas.panel(forest, "forest"),),
    )


def _point(other: Answered) -> tuple[float, float, float]:
    area = other.area
    if area is None or area.value is None or area.low is None or area.high is None:
        return (math.nan, math.nan, math.nan)
    return (area.value, area.low, area.high)


def _question(answer: Answer, canvas: Canvas) -> Section:
    name = answer.question.name
    slug = "".join(sign if sign.isalnum() else "-" for sign in name.lower())
    levels = (answer.base, *answer.others)
    shown = [level for level in levels if level.results]
    text = answer.sentence()
    panels: list[Panel] = []
    if shown:
        curves = loss_curves(
            [level.level.label for level in shown],
            [[[row.val_loss for row in own.run.log()] for own in level.runs if own.result]
             for level in shown],
        )  # fmt: skip
        panels.append(canvas.panel(curves, f"curves-{slug}"))
    if shown and any(key in DIVIDING for level in answer.others for key in level.level.changes):
        spread = validation_spread([_validated(level) for level in shown])
        panels.append(canvas.panel(spread, f"validation-{slug}"))
        text += f"\n\n{_spread_text(shown)}"
    table = canvas.table(f"levels-{slug}", (_HEADER, tuple(_row(level) for level in levels)))
    return Section(name[:1].upper() + name[1:], text=text, panels=tuple(panels), table=table)


def _validated(level: Answered) -> Validated:
    logs = [own.run.log() for own in level.runs if own.result]
    kept = [
        log[result.best_epoch - 1].val_accuracy
        for log, result in zip(logs, level.results, strict=True)
    ]
    return Validated(
        level.level.label,
        level.results[0].validation_images,
        [row.val_accuracy for log in logs for row in log],
        kept,
        [result.held_out["accuracy"] for result in level.results],
    )


def _spread_text(levels: Sequence[Answered]) -> str:
    """Describe the spread of validation results over epochs, and their error."""
    sentences = []
    for level in levels:
        found = _validated(level)
        logs = [own.run.log() for own in level.runs if own.result]
        steps = [
            abs(after.val_accuracy - before.val_accuracy)
            for log in logs
            for before, after in itertools.pairwise(log)
        ]
        pairs = zip(found.kept, found.held_out, strict=True)
        gaps = [abs(kept - held) for kept, held in pairs]
        text = (
            f"{found.name} ({found.images:,} images): for the kept epochs, the validation accuracy "
            "differs from the held-out accuracy by "
            f"{100 * sum(gaps) / len(gaps):.1f} points on average"
        )
        if steps:
            text += f"; it changes by {100 * sum(steps) / len(steps):.1f} points between epochs"
        sentences.append(f"{text}.")
    return " ".join(sentences)


def _row(level: Answered) -> tuple[str, ...]:
    area = level.area
    results = level.results
    alone = area.patients if area else None
    return (
        level.level.label,
        _mean(level.mean("auc")),
        _mean(level.mean("accuracy")),
        _range(area.value, area.low, area.high) if area else "base" if results else "",
        f"{alone[0]:+.3f} to {alone[1]:+.3f}" if alone else "",
        " ".join(f"{value:+.3f}" for value in area.seeds) if area else "",
        f"{level.p_holm:.2g}" if level.p_holm is not None else "",
        f"{level.minutes:.1f}",
    )


def _mean(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _range(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return ""
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def _write_answers(place: Path, found: Sequence[Answer]) -> None:
    from pneumoscope.runs import write_csv  # noqa: PLC0415 - next to its use

    header = (
        "question", "level", "base", "seeds", "held_out_auc", "auc_difference", "auc_low",
        "auc_high", "auc_low_patients", "auc_high_patients", "p", "p_holm", "apart",
        "accuracy_difference", "accuracy_low", "accuracy_high", "minutes", "answer",
    )  # fmt: skip
    rows = []
    for answer in found:
        for other in answer.others:
            area, accuracy = other.area, other.accuracy
            rows.append(
                (
                    answer.question.name, other.level.label, answer.base.level.label,
                    len(other.results), other.mean("auc"),
                    *((area.value, area.low, area.high, *(area.patients or ("", "")), area.p)
                      if area else [""] * 6),
                    other.p_holm, "yes" if other.apart else "no",
                    *((accuracy.value, accuracy.low, accuracy.high) if accuracy else [""] * 3),
                    round(other.minutes, 2), answer.sentence(),
                )
            )  # fmt: skip
    write_csv(place, header, rows)


def _runs(rows: Sequence[dict[str, object]], canvas: Canvas) -> Section:
    header = ("run", "state", "validation AUC", "held-out AUC", "accuracy", "epochs", "minutes",
              "error")  # fmt: skip
    body = tuple(
        (
            str(row["title"]), str(row["state"]),
            *(f"{float(str(row[key])):.4f}" if row[key] != "" else ""
              for key in ("val_auc", "held_out_auc", "held_out_accuracy")),
            str(row["epochs"]), f"{_seconds(row) / 60:.1f}" if row["seconds"] != "" else "",
            str(row["error"]),
        )
        for row in rows
    )  # fmt: skip
    return Section(
        "The runs", text="Every run; the same with more columns is in runs.csv.",
        table=canvas.table("runs", (header, body)), table_title="Every run",
    )  # fmt: skip


def _recipe(plan: Plan, canvas: Canvas, facts: dict[str, Any]) -> Section:
    values = {**plan.base.to_dict(), **{f"split: {k}": v for k, v in facts["division"].items()}}
    rows = [(key, value) for key, value in values.items() if key != "seed"]
    return settings_section(canvas, "base_recipe", [*rows, *environment_rows(facts)])

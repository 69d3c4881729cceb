"""The model card of a run, in the sections of Mitchell and others (FAT* 2019).

What the software knows it writes; what only a person can know is marked, so that an empty place is
seen and not mistaken for a statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pneumoscope.data.generated import GENERATED, is_generated
from pneumoscope.evaluation.decision import decision_rows, decision_text
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.evaluation.question import TrainingRelation
from pneumoscope.reader.evidence import evidence_caveat
from pneumoscope.report.facts import PARTS, RunFacts
from pneumoscope.report.page import NOTICE
from pneumoscope.report.words import NAMES, caveats
from pneumoscope.runs import RunFolder, write_text

if TYPE_CHECKING:
    from pathlib import Path

    from pneumoscope.evaluation.evaluation import Evaluation

PERSON: Final = "[to be filled by a person]"
"""Marks what the software cannot know."""

SECTIONS: Final = (
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
)
"""The nine sections of a model card, in their order."""

_SHOWN = (
    "auc", "average_precision", "accuracy", "balanced_accuracy", "sensitivity", "specificity",
    "ppv", "npv", "brier", "ece", "calibration_slope",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    text: str = PERSON


def write_card(run: RunFolder) -> Path:
    """Write ``card.md`` into a finished run, and return its place.

    Args:
        run: The run; its numbers are those of ``metrics.json``.

    Raises:
        DataError: The run was not finished.
        OutputError: The card cannot be written.
    """
    place = run.root / "card.md"
    write_text(place, card_text(RunFacts.read(run.root)))
    return place


def card_text(facts: RunFacts) -> str:
    """Return the card as Markdown."""
    contents = (
        _details(facts),
        _use(facts),
        _factors(facts),
        _metrics(facts),
        _evaluation_data(facts),
        _training_data(facts),
        _analyses(facts),
        _ethics(),
        _caveats(facts),
    )
    head = [f"# Model card: {facts.root.name}", "", f"**{NOTICE}**"]
    text = [*head]
    for title, content in zip(SECTIONS, contents, strict=True):
        text += ["", f"## {title}", "", *content]
    text += [
        "",
        "---",
        "",
        (
            f"Written by pneumoscope from the files of this run; {PERSON} marks what only a person "
            "can say. Sections after Mitchell and others, Model Cards for Model Reporting, FAT* "
            "2019."
        ),
    ]
    return "\n".join(text) + "\n"


def _lines(lines: Sequence[_Line]) -> list[str]:
    return [f"- **{line.name}:** {line.text}" for line in lines]


def _details(facts: RunFacts) -> list[str]:
    weights = facts.provenance.get("weights") or {}
    lines = [
        _Line("Developed by"),
        _Line("Date", str(facts.provenance.get("written", PERSON))[:10]),
        _Line("Version", facts.info.version or PERSON),
        _Line("Kind", f"image classifier, {facts.network()}"),
        _Line("Input", facts.input()),
        _Line(
            "Output",
            f"probability of {facts.info.classes[1]} against {facts.info.classes[0]}, and a "
            "conclusion.",
        ),
        _Line("Training", facts.training()),
        _Line("Decided after training", facts.decisions()),
        _Line("What it refuses", facts.gate()),
        _Line("File", f"model.onnx, SHA-256 {facts.sha256}"),
        _Line("Software", facts.software()),
        _Line("Licence", facts.info.licence or PERSON),
    ]
    if weights:
        lines.append(
            _Line(
                "Pretrained weights",
                f"licence {weights.get('licence') or PERSON}; credit: "
                f"{weights.get('credit') or PERSON}",
            )
        )
    lines += [_Line(str(key), str(value)) for key, value in facts.info.card.items()]
    caveat = evidence_caveat(facts.info)
    if caveat:
        lines.append(_Line("Where its evidence lies", caveat))
    return _lines([*lines, _Line("Questions go to")])


def _use(facts: RunFacts) -> list[str]:
    intended = ", ".join(f"{key} {value}" for key, value in facts.info.intended.items())
    return _lines(
        [
            _Line("Primary use", intended or "research on reading chest radiographs. " + PERSON),
            _Line("Primary users"),
            _Line(
                "Out of scope",
                "diagnosis or treatment of anyone; images of other kinds, views or ages than those "
                "it was trained on; findings other than "
                f"{facts.info.classes[1]}.",
            ),
        ]
    )


def _factors(facts: RunFacts) -> list[str]:
    groups = facts.best.groups if facts.best is not None else ()
    known = list(dict.fromkeys(group.column for group in groups))
    modes = ", ".join(f"{mode} ({n:,})" for mode, n in facts.modes.items())
    return _lines(
        [
            _Line(
                "Groups that were evaluated",
                ", ".join(known) if known else "none; the data tell of none.",
            ),
            _Line("Kinds of pixels in the data", modes),
            _Line("Age, sex, ethnicity of the patients"),
            _Line("Devices, views and settings"),
        ]
    )


def _metrics(facts: RunFacts) -> list[str]:
    return _lines(
        [
            _Line(
                "Measures",
                "AUC, sensitivity, specificity, balanced accuracy, predictive values, calibration, "
                "net benefit.",
            ),
            _Line("Decision threshold", facts.decisions()),
            _Line(
                "Intervals",
                "of areas DeLong's by patient, of proportions Wilson's where each patient has one "
                "image, of the rest by resampling patients.",
            ),
            _Line("Why these measures suit the purpose"),
        ]
    )


_STANDING = {
    TrainingRelation.TEST: "From the same source as the training images.",
    TrainingRelation.VALIDATION: "These images also decided about the reader.",
}


def _evaluation_data(facts: RunFacts) -> list[str]:
    found = facts.best
    images = "none."
    if found is not None:
        images = f"{facts.part(found.part)}. {_STANDING.get(found.relation, '')}".strip()
        if found.has_test is False:
            images += " There is no test part."
    return _lines(
        [
            _Line("Images", images),
            _Line("How they were set apart", facts.split()),
            _Line("Preparation", facts.input()),
            _Line("Hospital, period, and how patients were chosen"),
            _Line("Who set the labels, and how"),
        ]
    )


def _training_data(facts: RunFacts) -> list[str]:
    return _lines(
        [
            _Line("All images", facts.data()),
            _Line("Parts", facts.parts()),
            _Line("Hospital, period, and how patients were chosen"),
            _Line("Who set the labels, and how"),
            _Line("Licence and credit of the images"),
        ]
    )


def _analyses(facts: RunFacts) -> list[str]:
    found = facts.best
    if found is None:
        return ["No images were evaluated."]
    lines = _decision(found, facts.part(found.part))
    lines += [
        (
            f"On {facts.part(found.part)}, at the threshold {found.threshold.value:.4g} alone; "
            f"intervals at {level_text(found.level)}:"
        ),
        "",
        "| number | value | method of the interval | images |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {NAMES[key]} | {found[key].with_range()} | {found[key].method or 'none'} | "
        f"{found[key].n:,} |"
        for key in _SHOWN
    ]
    if found.baselines:
        lines += ["", "Rules that know nothing of lungs, on the same images:", ""]
        lines += [
            f"- {rule.name}: accuracy {rule.accuracy.percent()}, AUC {rule.auc.with_range()}"
            for rule in found.baselines
        ]
    if found.groups:
        lines += [
            "",
            "| group | images | AUC | sensitivity | specificity | |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {_cell(f'{group.column}: {group.value}')} | {group.n:,} | "
            + " | ".join(
                group.numbers[key].with_range() for key in ("auc", "sensitivity", "specificity")
            )
            + f" | {'few images' if group.small else ''} |"
            for group in found.groups
        ]
    others = [part for part in facts.evaluations if part != found.part and part in PARTS]
    return [*lines, *(f"\nFor comparison, {facts.performance(part)}" for part in others)]


def _decision(found: Evaluation, images: str) -> list[str]:
    """Return what the decision achieves as deployed; nothing if it concludes on every image."""
    rows = decision_rows(found)
    if not rows:
        return []
    return [
        f"On {images}. {decision_text(found)}",
        "",
        "| | as deployed | threshold alone |",
        "|---|---|---|",
        *(f"| {_cell(name)} | {now} | {alone} |" for name, now, alone in rows),
        "",
    ]


def _cell(text: str) -> str:
    """Return a text that stays in its cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def _ethics() -> list[str]:
    return _lines(
        [
            _Line("Consent and approval for the images"),
            _Line("Who may be harmed by a wrong conclusion, and how that is caught"),
            _Line("Whether some groups of patients are served worse"),
        ]
    )


def _caveats(facts: RunFacts) -> list[str]:
    root = facts.provenance.get("data_root")
    notes = [GENERATED] if root and is_generated(root) else []
    notes += caveats(facts.best) if facts.best is not None else ()
    notes += [
        f"One run with one seed ({facts.recipe.get('seed')}); another seed gives another reader.",
        (
            "Sensitivity and specificity may change from hospital to hospital; measure them on "
            "images of your own (pneumoscope evaluate), and recalibrate before relying on "
            "probabilities."
        ),
        f"Recommendations for this reader: {PERSON}",
    ]
    return [f"- {note}" for note in notes]

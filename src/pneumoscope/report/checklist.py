"""Reporting standards, filled with what the files of a run say.

TRIPOD+AI: Collins and others, BMJ 2024;385:e078378, 27 items with their letters. CLAIM: Mongan,
Moy, Kahn, Radiology: Artificial Intelligence 2020;2(2):e200029, 42 items; its update (Tejani and
others, Radiology: Artificial Intelligence 2024;6(4):e240300) words and numbers some of them anew.
The topics stand here in short words of our own; who fills in a checklist reads the standard.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pneumoscope.errors import OptionError
from pneumoscope.report.card import PERSON
from pneumoscope.report.facts import RunFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

FILLED, PARTLY, OPEN = "filled", "partly", "open"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a standard, and what the run says of it.

    Attributes:
        number: Its number in the standard.
        section: The part of the paper that it belongs to.
        topic: What it asks for, in our words.
        text: What the software knows; empty where it knows nothing.
        person: What is left for a person; empty where nothing is.
    """

    number: str
    section: str
    topic: str
    text: str = ""
    person: str = ""

    @property
    def state(self) -> str:
        """``filled``, ``partly`` or ``open``."""
        if not self.text:
            return OPEN
        return PARTLY if self.person else FILLED

    def to_dict(self) -> dict[str, str]:
        """Return the fields as JSON values."""
        return {
            "number": self.number,
            "section": self.section,
            "topic": self.topic,
            "state": self.state,
            "text": self.text,
            "person": self.person,
        }


@dataclass(frozen=True, slots=True)
class Checklist:
    """A standard, filled as far as the software can.

    Attributes:
        standard: Its short name: ``tripod-ai`` or ``claim``.
        title: Its name.
        source: Where it stands.
        run: The run that filled it.
        items: All items, in order.
    """

    standard: str
    title: str
    source: str
    run: str
    items: tuple[Item, ...]

    def count(self, state: str) -> int:
        """Return how many items are in a state."""
        return sum(item.state == state for item in self.items)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "standard": self.standard,
            "title": self.title,
            "source": self.source,
            "run": self.run,
            "counts": {state: self.count(state) for state in (FILLED, PARTLY, OPEN)},
            "items": [item.to_dict() for item in self.items],
        }

    def to_markdown(self) -> str:
        """Return it as Markdown, section by section."""
        lines = [
            f"# {self.title}: {self.run}",
            "",
            f"Standard: {self.source}",
            "",
            (
                f"{len(self.items)} items: {self.count(FILLED)} filled from the files of the run, "
                f"{self.count(PARTLY)} in part, {self.count(OPEN)} for a person. {PERSON} marks "
                "what the software cannot know. Topics are in short words; the standard has the "
                "full ones."
            ),
        ]
        section = ""
        for item in self.items:
            if item.section != section:
                section = item.section
                lines += ["", f"## {section}"]
            lines += ["", f"**{item.number} {item.topic}.**"]
            if item.text:
                lines[-1] += f" {item.text}"
            if item.person or not item.text:
                lines[-1] += f" {PERSON[:-1]}: {item.person}]" if item.person else f" {PERSON}"
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a standard: ``text`` names facts in braces, which ``_known`` computes."""

    number: str
    topic: str
    text: str = ""
    person: str = ""


_TRIPOD: Final[dict[str, tuple[_Row, ...]]] = {
    "Title and abstract": (
        _Row("1", "Title names the study as developing or evaluating a prediction model, "
             "the population and the outcome"),
        _Row("2", "Abstract after TRIPOD+AI for Abstracts"),
    ),
    "Introduction": (
        _Row("3a", "Medical context, why the model, what models there are"),
        _Row("3b", "Whom it is for, and where in their care", "{intended}",
             "population, users and place in care"),
        _Row("3c", "Known inequalities of health between groups"),
        _Row("4", "Aims: development, evaluation or both", "{aims}"),
    ),
    "Methods": (
        _Row("5a", "Sources of the data, and how well they stand for the target population",
             "{data}", "where they come from, why they were chosen"),
        _Row("5b", "Dates of the data"),
        _Row("6a", "Setting: kind, number and place of the centres"),
        _Row("6b", "Who was eligible", "", "criteria by which patients and images were chosen"),
        _Row("6c", "Treatments, and how they were handled"),
        _Row("7", "How data were prepared, alike for all groups",
             "{input} Files that cannot be read, and leaks between parts, are set aside."),
        _Row("8a", "Outcome: what is predicted, how and when it was found",
             "Labels are {classes}.", "how and by whom the labels were set"),
        _Row("8b", "Who assessed the outcome, if that needs judgement"),
        _Row("8c", "Whether outcome assessors knew other facts"),
        _Row("9a", "Choice of predictors before modelling",
             "The pixels of one radiograph; no clinical facts."),
        _Row("9b", "Definition of predictors, how and when measured", "{input}",
             "devices, views, settings, time of the image"),
        _Row("9c", "Who assessed predictors, if that needs judgement",
             "Nobody: the software reads the file."),
        _Row("10", "How the study size came about", "{parts}", "why it suffices"),
        _Row("11", "Missing data", "{missing}"),
        _Row("12a", "How data were used for development and evaluation, and split",
             "{parts} Split: {split}"),
        _Row("12b", "How predictors were handled: form, scale", "{input}"),
        _Row("12c", "Kind of model, why, how it was built, tuned and checked inside",
             "{network} {training}", "why this model, and what else was tried"),
        _Row("12d", "Differences between clusters, such as hospitals", "",
             "the files of the run tell of no hospitals"),
        _Row("12e", "Measures of performance, and how they compare models",
             "AUC, sensitivity, specificity, predictive values, calibration and net benefit, with "
             "95% intervals (DeLong by patient, Wilson, resampling of patients)."),
        _Row("12f", "Changes to the model after evaluation, such as recalibration", "{history}"),
        _Row("12g", "How predictions were made when evaluating",
             "The model file reads the image files; before it was written it was proved to agree "
             "with the trained network from the files on."),
        _Row("13", "Class imbalance", "{balance}"),
        _Row("14", "What was done for fairness", "", "approaches to fairness and their reasons"),
        _Row("15", "What the model gives out, and thresholds",
             "A probability of {positive}. {decisions}"),
        _Row("16", "Differences between training and evaluation data", "{difference}",
             "differences in setting, eligibility, outcome and predictors"),
        _Row("17", "Ethical approval and consent"),
    ),
    "Open science": (
        _Row("18a", "Funding"),
        _Row("18b", "Conflicts of interest"),
        _Row("18c", "Protocol"),
        _Row("18d", "Registration"),
        _Row("18e", "Whether and where data are available", "",
             "the place of the data; their fingerprint is in provenance.json"),
        _Row("18f", "Whether and where code is available", "{software}",
             "where code and model file can be had"),
    ),
    "Patient and public involvement": (
        _Row("19", "How patients and public took part, or that they did not"),
    ),
    "Results": (
        _Row("20a", "Flow of participants, with and without the outcome", "{parts} {missing}",
             "those left out before the data reached the software"),
        _Row("20b", "Characteristics of participants, per source and overall", "{modes}",
             "age, sex, and what else is known"),
        _Row("20c", "Development and evaluation data side by side", "{parts}",
             "predictors and demographics"),
        _Row("21", "Participants and outcome events in each analysis", "{parts}"),
        _Row("22", "The full model, so that others can predict with it",
             "model.onnx (SHA-256 {sha}) holds network, calibration, threshold and gate; "
             "pneumoscope predict and any ONNX runtime read it.", "how others can get it"),
        _Row("23a", "Performance with intervals, also in key groups", "{performance} {groups}"),
        _Row("23b", "Performance across clusters", "",
             "the files of the run tell of no hospitals"),
        _Row("24", "Results of updating the model", "{history}"),
    ),
    "Discussion": (
        _Row("25", "Interpretation, with fairness and earlier studies"),
        _Row("26", "Limitations", "{limits}", "limits of the setting, labels and population"),
        _Row("27a", "What happens with poor or missing input", "Gate: {gate}"),
        _Row("27b", "Whether users must handle input or output, and what they must know", "",
             "who uses it and what they need to know"),
        _Row("27c", "Next steps of research"),
    ),
}  # fmt: skip

_CLAIM: Final[dict[str, tuple[_Row, ...]]] = {
    "Title and abstract": (
        _Row("1", "Title or abstract names AI and its kind", "Kind: deep learning, {network}",
             "the title"),
        _Row("2", "Structured abstract"),
    ),
    "Introduction": (
        _Row("3", "Background, intended use and clinical role", "{intended}",
             "background and clinical role"),
        _Row("4", "Aims and hypotheses"),
    ),
    "Methods": (
        _Row("5", "Prospective or retrospective", "",
             "whether the images were taken for this study"),
        _Row("6", "Goal of the study", "{aims}"),
        _Row("7", "Data sources", "{data}", "where the images come from"),
        _Row("8", "Eligibility: how, where, when patients were chosen"),
        _Row("9", "Preprocessing", "{input}"),
        _Row("10", "Subsets of data that were chosen", "{missing}"),
        _Row("11", "Definitions of data elements", "Labels are {classes}; columns of all files "
             "are described with the software.", "what each label means"),
        _Row("12", "De-identification", "", "how and by whom images were de-identified"),
        _Row("13", "Missing data", "{missing}"),
        _Row("14", "Reference standard, so that others can repeat it"),
        _Row("15", "Why this reference standard"),
        _Row("16", "Who annotated, with which training"),
        _Row("17", "Tools for annotation"),
        _Row("18", "Variability between and within annotators"),
        _Row("19", "Sample size, and how it came about", "{parts}", "why it suffices"),
        _Row("20", "How data were assigned to parts", "{parts} Split: {split}"),
        _Row("21", "At which level parts are disjoint", "{split}"),
        _Row("22", "The model: inputs, outputs, layers", "{network} Input: {input} Output: a "
             "probability of {positive}. The graph with all layers is model.onnx."),
        _Row("23", "Software and versions", "{software}"),
        _Row("24", "Initial weights", "{network}"),
        _Row("25", "Training: augmentation, settings, number of models", "{training}"),
        _Row("26", "How the final model was selected", "{selection} {decisions}"),
        _Row("27", "Ensembling", "{ensemble}"),
        _Row("28", "Metrics", "AUC, sensitivity, specificity, predictive values, calibration and "
             "net benefit."),
        _Row("29", "Significance and uncertainty", "95% intervals: DeLong by patient, Wilson, "
             "resampling of patients; comparisons are paired with Holm's correction."),
        _Row("30", "Robustness or sensitivity analysis", "{robustness}"),
        _Row("31", "Explainability", "{evidence}", "whether it was validated"),
        _Row("32", "Test on external data", "", "pneumoscope evaluate on images of another source"),
    ),
    "Results": (
        _Row("33", "Flow of participants or images", "{parts} {missing}",
             "those left out before the data reached the software"),
        _Row("34", "Demographics and clinical facts of each part", "{modes}",
             "age, sex, and what else is known"),
        _Row("35", "Performance on all parts, against a reference", "{all_performance}",
             "comparison with human readers or other methods"),
        _Row("36", "Diagnostic accuracy with its precision", "{performance}"),
        _Row("37", "Failure analysis", "report.html shows the surest mistakes, and figures/ lists "
             "all of them.", "what they have in common"),
    ),
    "Discussion": (
        _Row("38", "Limitations: bias, uncertainty, generalisation", "{limits}",
             "limits of the setting, labels and population"),
        _Row("39", "What it means for practice"),
    ),
    "Other information": (
        _Row("40", "Registration"),
        _Row("41", "Where the full protocol, code and data can be found", "{software}",
             "places of protocol, code, model and data"),
        _Row("42", "Funding, and the role of funders"),
    ),
}  # fmt: skip

STANDARDS: Final = {
    "tripod-ai": (
        "TRIPOD+AI",
        "Collins and others, TRIPOD+AI statement, BMJ 2024;385:e078378",
        _TRIPOD,
    ),
    "claim": (
        "CLAIM",
        (
            "Mongan, Moy, Kahn, Checklist for Artificial Intelligence in Medical Imaging, "
            "Radiology: Artificial Intelligence 2020;2(2):e200029 (items numbered as in 2020; "
            "updated by Tejani and others, 2024;6(4):e240300, which has 44)"
        ),
        _CLAIM,
    ),
}
"""Title, source and rows of each standard."""


def fill(facts: RunFacts, standard: str) -> Checklist:
    """Return a standard, filled with what a run says of itself.

    Args:
        facts: What stands in the files of the run.
        standard: ``tripod-ai`` or ``claim``.

    Raises:
        OptionError: There is no such standard.
    """
    if standard not in STANDARDS:
        raise OptionError("--standard", must=f"one of {', '.join(STANDARDS)}", was=standard)
    title, source, sections = STANDARDS[standard]
    known = _known(facts)
    return Checklist(
        standard,
        title,
        source,
        facts.root.resolve().name,
        tuple(
            Item(row.number, section, row.topic, _filled(row.text, known), row.person)
            for section, rows in sections.items()
            for row in rows
        ),
    )


def _filled(text: str, known: Mapping[str, str]) -> str:
    """Return a text with its facts; empty if it asks for facts alone and none is known."""
    names = [name for _, name, _, _ in string.Formatter().parse(text) if name]
    if names and not any(known[name] for name in names):
        return ""
    return " ".join(text.format_map(known).split())


def _known(facts: RunFacts) -> dict[str, str]:
    recipe, own = facts.recipe, facts.provenance
    negative, positive = facts.info.classes
    part = facts.best_part
    aside = facts.part("unused")
    groups = facts.metrics.get(part, {}).get("groups", [])
    corrupted = facts.metrics.get(part, {}).get("robustness", [])
    members = facts.info.training.get("members")
    return {
        "aims": f"Development, and evaluation on {_part_words(part)} of the same data set.",
        "all_performance": " ".join(
            _sentence(facts.performance(name)) for name in facts.metrics if name in ("val", "test")
        ),
        "balance": _sentence(
            f"{facts.part('train')}; handling: {recipe.get('balance', 'none')}; the recipe's "
            f"operating point: {recipe.get('operating_point', facts.info.operating_point.rule)}"
        ),
        "classes": f"{negative} and {positive}",
        "data": _sentence(facts.data()),
        "decisions": facts.decisions(),
        "difference": (
            "Training and evaluation images are parts of one data set."
            if part
            else "There are no images for evaluation."
        ),
        "ensemble": (
            f"{len(members)} members whose outputs are averaged."
            if isinstance(members, list)
            else "None: one network."
        ),
        "evidence": _evidence(facts),
        "gate": facts.gate(),
        "groups": "; ".join(_group(group) for group in groups),
        "history": (
            f"{len(facts.info.history)} changes after training stand in the model file."
            if facts.info.history
            else "None after training."
        ),
        "input": _sentence(facts.input()),
        "intended": ", ".join(f"{key} {value}" for key, value in facts.info.intended.items()),
        "limits": (
            f"One training with one seed ({own.get('seed')}); {_part_words(part)} come from the "
            "same data as the training images; how exact the numbers are, the intervals say."
        ),
        "missing": _sentence(
            f"{own.get('unreadable', 0)} files could not be read; {aside}; nothing but the image "
            "is used, so no other fact can be missing"
        ),
        "modes": (
            "Kinds of pixels: "
            + ", ".join(f"{mode} {count:,}" for mode, count in facts.modes.items())
            + "."
        ),
        "network": facts.network(),
        "parts": _sentence(facts.parts()),
        "performance": _sentence(facts.performance()) if part else "",
        "positive": positive,
        "robustness": (
            f"{len(corrupted) - 1} corruptions and strengths are in metrics.json." if corrupted
            else ""
        ),
        "selection": _sentence(
            f"epoch {own.get('best_epoch')} of {own.get('epochs')} was kept (rule "
            f"{recipe.get('keep', 'lowest validation loss')})"
        ),
        "sha": facts.sha256,
        "software": f"Versions: {facts.software()}",
        "split": _sentence(facts.split()),
        "training": _sentence(facts.training()),
    }  # fmt: skip


def _part_words(part: str) -> str:
    return {"test": "the test images", "val": "the validation images"}.get(part, "no images")


def _evidence(facts: RunFacts) -> str:
    if facts.draws_evidence:
        return (
            "The model draws a signed map of evidence over the image, in units of the logit; "
            "report.html shows it on the surest mistakes."
        )
    return "The model shows no evidence."


def _group(group: Mapping[str, Any]) -> str:
    area = group.get("auc", {})
    text = f"{group['column']} {group['value']} (n = {group['n']})"
    if area.get("value") is None:
        return f"{text}: AUC not defined"
    text += f": AUC {area['value']:.3f}"
    if area.get("low") is not None:
        text += f" ({area['low']:.3f} to {area['high']:.3f})"
    return text


def _sentence(text: str) -> str:
    """Return a text that begins with a capital and ends with a stop."""
    text = text.strip()
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")

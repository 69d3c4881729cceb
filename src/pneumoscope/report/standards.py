"""What two reporting standards ask for, item by item, and which facts of a run answer it.

TRIPOD+AI: Collins and others, BMJ 2024;385:e078378, 27 items with their letters. CLAIM: Mongan,
Moy, Kahn, Radiology: Artificial Intelligence 2020;2(2):e200029, 42 items; its update (Tejani and
others, Radiology: Artificial Intelligence 2024;6(4):e240300) words and numbers some of them anew.
The topics stand here in short words of our own; who fills in a checklist reads the standard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True)
class Row:
    """One item of a standard as the paper has it.

    Attributes:
        number: Its number in the standard.
        topic: What it asks for, in our words.
        text: What answers it; names in braces are facts of a run, which
            `pneumoscope.report.checklist` computes.
        person: What is left for a person; empty where nothing is.
    """

    number: str
    topic: str
    text: str = ""
    person: str = ""


class Standard(NamedTuple):
    """A reporting standard: its name, where it stands, and its items section by section."""

    title: str
    source: str
    sections: dict[str, tuple[Row, ...]]


_TRIPOD: Final[dict[str, tuple[Row, ...]]] = {
    "Title and abstract": (
        Row("1", "Title names the study as developing or evaluating a prediction model, "
            "the population and the outcome"),
        Row("2", "Abstract after TRIPOD+AI for Abstracts"),
    ),
    "Introduction": (
        Row("3a", "Medical context, why the model, what models there are"),
        Row("3b", "Whom it is for, and where in their care", "{intended}",
            "population, users and place in care"),
        Row("3c", "Known inequalities of health between groups"),
        Row("4", "Aims: development, evaluation or both", "{aims}"),
    ),
    "Methods": (
        Row("5a", "Sources of the data, and how well they stand for the target population",
            "{data}", "where they come from, why they were chosen"),
        Row("5b", "Dates of the data"),
        Row("6a", "Setting: kind, number and place of the centres"),
        Row("6b", "Who was eligible", "", "criteria by which patients and images were chosen"),
        Row("6c", "Treatments, and how they were handled"),
        Row("7", "How data were prepared, alike for all groups",
            "{input} Files that cannot be read, and leaks between parts, are set aside."),
        Row("8a", "Outcome: what is predicted, how and when it was found",
            "Labels are {classes}.", "how and by whom the labels were set"),
        Row("8b", "Who assessed the outcome, if that needs judgement"),
        Row("8c", "Whether outcome assessors knew other facts"),
        Row("9a", "Choice of predictors before modelling",
            "The pixels of one radiograph; no clinical facts."),
        Row("9b", "Definition of predictors, how and when measured", "{input}",
            "devices, views, settings, time of the image"),
        Row("9c", "Who assessed predictors, if that needs judgement",
            "Nobody: the software reads the file."),
        Row("10", "How the study size came about", "{parts}", "why it suffices"),
        Row("11", "Missing data", "{missing}"),
        Row("12a", "How data were used for development and evaluation, and split",
            "{parts} Split: {split}"),
        Row("12b", "How predictors were handled: form, scale", "{input}"),
        Row("12c", "Kind of model, why, how it was built, tuned and checked inside",
            "{network} {training}", "why this model, and what else was tried"),
        Row("12d", "Differences between clusters, such as hospitals", "",
            "the files of the run tell of no hospitals"),
        Row("12e", "Measures of performance, and how they compare models",
            "AUC, sensitivity, specificity, predictive values, calibration and net benefit, with "
            "95% intervals (DeLong by patient, Wilson, resampling of patients)."),
        Row("12f", "Changes to the model after evaluation, such as recalibration", "{history}"),
        Row("12g", "How predictions were made when evaluating",
            "The model file reads the image files; before it was written it was proved to agree "
            "with the trained network from the files on."),
        Row("13", "Class imbalance", "{balance}"),
        Row("14", "What was done for fairness", "", "approaches to fairness and their reasons"),
        Row("15", "What the model gives out, and thresholds",
            "A probability of {positive}. {decisions}"),
        Row("16", "Differences between training and evaluation data", "{difference}",
            "differences in setting, eligibility, outcome and predictors"),
        Row("17", "Ethical approval and consent"),
    ),
    "Open science": (
        Row("18a", "Funding"),
        Row("18b", "Conflicts of interest"),
        Row("18c", "Protocol"),
        Row("18d", "Registration"),
        Row("18e", "Whether and where data are available", "",
            "the place of the data; their fingerprint is in provenance.json"),
        Row("18f", "Whether and where code is available", "{software}",
            "where code and model file can be had"),
    ),
    "Patient and public involvement": (
        Row("19", "How patients and public took part, or that they did not"),
    ),
    "Results": (
        Row("20a", "Flow of participants, with and without the outcome", "{parts} {missing}",
            "those left out before the data reached the software"),
        Row("20b", "Characteristics of participants, per source and overall", "{modes}",
            "age, sex, and what else is known"),
        Row("20c", "Development and evaluation data side by side", "{parts}",
            "predictors and demographics"),
        Row("21", "Participants and outcome events in each analysis", "{parts}"),
        Row("22", "The full model, so that others can predict with it",
            "model.onnx (SHA-256 {sha}) holds network, calibration, threshold and gate; "
            "pneumoscope predict and any ONNX runtime read it.", "how others can get it"),
        Row("23a", "Performance with intervals, also in key groups", "{performance} {groups}"),
        Row("23b", "Performance across clusters", "",
            "the files of the run tell of no hospitals"),
        Row("24", "Results of updating the model", "{history}"),
    ),
    "Discussion": (
        Row("25", "Interpretation, with fairness and earlier studies"),
        Row("26", "Limitations", "{limits}", "limits of the setting, labels and population"),
        Row("27a", "What happens with poor or missing input", "Gate: {gate}"),
        Row("27b", "Whether users must handle input or output, and what they must know", "",
            "who uses it and what they need to know"),
        Row("27c", "Next steps of research"),
    ),
}  # fmt: skip

_CLAIM: Final[dict[str, tuple[Row, ...]]] = {
    "Title and abstract": (
        Row("1", "Title or abstract names AI and its kind", "Kind: deep learning, {network}",
            "the title"),
        Row("2", "Structured abstract"),
    ),
    "Introduction": (
        Row("3", "Background, intended use and clinical role", "{intended}",
            "background and clinical role"),
        Row("4", "Aims and hypotheses"),
    ),
    "Methods": (
        Row("5", "Prospective or retrospective", "",
            "whether the images were taken for this study"),
        Row("6", "Goal of the study", "{aims}"),
        Row("7", "Data sources", "{data}", "where the images come from"),
        Row("8", "Eligibility: how, where, when patients were chosen"),
        Row("9", "Preprocessing", "{input}"),
        Row("10", "Subsets of data that were chosen", "{missing}"),
        Row("11", "Definitions of data elements", "Labels are {classes}; columns of all files "
            "are described with the software.", "what each label means"),
        Row("12", "De-identification", "", "how and by whom images were de-identified"),
        Row("13", "Missing data", "{missing}"),
        Row("14", "Reference standard, so that others can repeat it"),
        Row("15", "Why this reference standard"),
        Row("16", "Who annotated, with which training"),
        Row("17", "Tools for annotation"),
        Row("18", "Variability between and within annotators"),
        Row("19", "Sample size, and how it came about", "{parts}", "why it suffices"),
        Row("20", "How data were assigned to parts", "{parts} Split: {split}"),
        Row("21", "At which level parts are disjoint", "{split}"),
        Row("22", "The model: inputs, outputs, layers", "{network} Input: {input} Output: a "
            "probability of {positive}. The graph with all layers is model.onnx."),
        Row("23", "Software and versions", "{software}"),
        Row("24", "Initial weights", "{network}"),
        Row("25", "Training: augmentation, settings, number of models", "{training}"),
        Row("26", "How the final model was selected", "{selection} {decisions}"),
        Row("27", "Ensembling", "{ensemble}"),
        Row("28", "Metrics", "AUC, sensitivity, specificity, predictive values, calibration and "
            "net benefit."),
        Row("29", "Significance and uncertainty", "95% intervals: DeLong by patient, Wilson, "
            "resampling of patients; comparisons are paired with Holm's correction."),
        Row("30", "Robustness or sensitivity analysis", "{robustness}"),
        Row("31", "Explainability", "{evidence}", "whether it was validated"),
        Row("32", "Test on external data", "", "pneumoscope evaluate on images of another source"),
    ),
    "Results": (
        Row("33", "Flow of participants or images", "{parts} {missing}",
            "those left out before the data reached the software"),
        Row("34", "Demographics and clinical facts of each part", "{modes}",
            "age, sex, and what else is known"),
        Row("35", "Performance on all parts, against a reference", "{all_performance}",
            "comparison with human readers or other methods"),
        Row("36", "Diagnostic accuracy with its precision", "{performance}"),
        Row("37", "Failure analysis", "report.html shows the surest mistakes, and figures/ lists "
            "all of them.", "what they have in common"),
    ),
    "Discussion": (
        Row("38", "Limitations: bias, uncertainty, generalisation", "{limits}",
            "limits of the setting, labels and population"),
        Row("39", "What it means for practice"),
    ),
    "Other information": (
        Row("40", "Registration"),
        Row("41", "Where the full protocol, code and data can be found", "{software}",
            "places of protocol, code, model and data"),
        Row("42", "Funding, and the role of funders"),
    ),
}  # fmt: skip

STANDARDS: Final = {
    "tripod-ai": Standard(
        "TRIPOD+AI",
        "Collins and others, TRIPOD+AI statement, BMJ 2024;385:e078378",
        _TRIPOD,
    ),
    "claim": Standard(
        "CLAIM",
        (
            "Mongan, Moy, Kahn, Checklist for Artificial Intelligence in Medical Imaging, "
            "Radiology: Artificial Intelligence 2020;2(2):e200029 (items numbered as in 2020; "
            "updated by Tejani and others, 2024;6(4):e240300, which has 44)"
        ),
        _CLAIM,
    ),
}
"""What `pneumoscope.report.checklist.fill` can fill, by the names of the command line."""

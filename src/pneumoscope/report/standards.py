"""What the reporting standards ask for, item by item, and which facts of a run answer it.

TRIPOD+AI: Collins and others, BMJ 2024;385:e078378, 27 items, 52 with their letters. CLAIM: its
2024 update, Tejani and others, Radiology: Artificial Intelligence 2024;6(4):e240300, 44 items; it
takes the place of the 42 of 2020. Numbers and order are those of the standards. The topics stand
here in short words of our own; who fills in a checklist reads the standard.
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
        text: What the software answers; names in braces are facts of a run, which
            `pneumoscope.report.checklist` computes. Empty if it knows nothing.
        person: What is left for a person; empty if nothing is.
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
        Row("3a", "Medical context, diagnostic or prognostic, why the model, what models exist",
            "Diagnostic.", "context, reasons and earlier models"),
        Row("3b", "Whom it is for, and where in their care", "{intended}",
            "population, users and place in care"),
        Row("3c", "Known inequalities of health between groups"),
        Row("4", "Aims: development, evaluation or both", "{aims}"),
    ),
    "Methods": (
        Row("5a", "Sources of the data for development and evaluation, and how well they stand "
            "for the target population", "{data}", "where they come from, why they were chosen"),
        Row("5b", "Dates of the data"),
        Row("6a", "Setting: kind, number and place of the centres"),
        Row("6b", "Who was eligible", "", "criteria by which patients and images were chosen"),
        Row("6c", "Treatments, and how they were handled"),
        Row("7", "How data were prepared and their quality checked, and whether alike for all "
            "groups",
            "{input} Files that cannot be read, and leaks between parts, are set aside. The same "
            "path holds for all patients."),
        Row("8a", "Outcome: what is predicted, how and when it was assessed, alike for all groups",
            "Labels are {classes}, at the time of the image.",
            "how the labels were set, and why this outcome"),
        Row("8b", "Who assessed the outcome, if that needs judgement: training, demographics"),
        Row("8c", "What was done to blind the assessment of the outcome"),
        Row("9a", "Choice of predictors before modelling",
            "The pixels of one radiograph; no clinical facts."),
        Row("9b", "Definition of predictors, how and when measured, and blinding",
            "{input} The software reads nothing but the file, so it does not know the outcome.",
            "devices, views, settings, time of the image"),
        Row("9c", "Who assessed predictors, if that needs judgement",
            "Nobody: the software reads the file."),
        Row("10", "How the size of development and evaluation came about", "{parts}",
            "why it suffices"),
        Row("11", "Missing data, and why any were omitted", "{missing}"),
        Row("12a", "How data were used for development and evaluation, and split",
            "{parts} Split: {split}"),
        Row("12b", "How predictors were handled: form, scale, standardisation", "{input}"),
        Row("12c", "Kind of model, why, how it was built, tuned and checked inside",
            "{network} {training}", "why this model, and what else was tried"),
        Row("12d", "Differences between clusters, such as hospitals", "",
            "the files of the run tell of no hospitals"),
        Row("12e", "Measures and plots of performance, why, and how models are compared",
            "Discrimination (AUC, average precision, ROC and precision-recall curves), "
            "conclusions at the threshold (sensitivity, specificity, predictive values, "
            "likelihood ratios), calibration (reliability diagram, slope, intercept, calibration "
            "error, Brier score), utility (decision curve), each with {level} intervals (DeLong by "
            "patient, Wilson, resampling of patients).", "why these suit the purpose"),
        Row("12f", "Changes to the model after evaluation, such as recalibration", "{history}"),
        Row("12g", "How predictions were made when evaluating",
            "The model file reads the image files; before it was written it was proved to agree "
            "with the trained network from the files on."),
        Row("13", "Methods against class imbalance, why, and recalibration after them",
            "{balance}"),
        Row("14", "What was done for fairness", "", "approaches to fairness and their reasons"),
        Row("15", "What the model gives out, and thresholds",
            "A probability of {positive}. {decisions}"),
        Row("16", "Differences between training and evaluation data", "{difference}",
            "differences in setting, eligibility, outcome and predictors"),
        Row("17", "Ethical approval, and consent or its waiver"),
    ),
    "Open science": (
        Row("18a", "Funding"),
        Row("18b", "Conflicts of interest"),
        Row("18c", "Where the protocol is, or that there was none"),
        Row("18d", "Registration, or that there was none"),
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
        Row("20b", "Characteristics of participants, overall and for each source", "{modes}",
            "dates, age, sex, treatments, and what else is known"),
        Row("20c", "Development and evaluation data side by side", "{parts}",
            "demographics and other predictors"),
        Row("21", "Participants and outcome events in each analysis", "{parts}"),
        Row("22", "The full model, so that others can predict with it, and limits of its use",
            "model.onnx (SHA-256 {sha}) holds network, calibration, threshold and gate; "
            "pneumoscope predict and any ONNX runtime read it. Licence: {licence}.",
            "how others can get it"),
        Row("23a", "Performance with intervals, also in key groups", "{performance} {groups}"),
        Row("23b", "Differences of performance between clusters, if examined", "",
            "the files of the run tell of no hospitals"),
        Row("24", "Results of updating the model, and its performance then", "{history}"),
    ),
    "Discussion": (
        Row("25", "Interpretation, with fairness and earlier studies"),
        Row("26", "Limitations, and what they do to bias, uncertainty and generality", "{limits}",
            "limits of the setting, labels and population"),
        Row("27a", "How poor or missing input is assessed and handled in use", "Gate: {gate}"),
        Row("27b", "Whether users take part in handling input or model, and the expertise needed",
            "Users hand over the file; the software prepares it.", "the expertise they need"),
        Row("27c", "Next steps of research, for use in other places"),
    ),
}  # fmt: skip

_CLAIM: Final[dict[str, tuple[Row, ...]]] = {
    "Title and abstract": (
        Row("1", "Title or abstract names AI and its kind", "Kind: deep learning, {network}",
            "the title"),
        Row("2", "Abstract: design, methods, results, conclusions"),
    ),
    "Introduction": (
        Row("3", "Background, intended use and role", "{intended}",
            "background, intended use and role"),
        Row("4", "Aims, objectives and hypotheses", "{aims}", "hypotheses"),
    ),
    "Methods: study design": (
        Row("5", "Prospective or retrospective", "",
            "whether the images were taken for this study"),
        Row("6", "Goal of the study", "{aims}", "the goal beyond it"),
    ),
    "Methods: data": (
        Row("7", "Data sources", "{data}", "where the images come from"),
        Row("8", "Who and what was included and excluded", "{missing}",
            "criteria by which patients and images were chosen"),
        Row("9", "Preprocessing", "{input}"),
        Row("10", "Subsets of the data that were chosen", "{parts}",
            "what was chosen before the data reached the software"),
        Row("11", "De-identification", "", "how and by whom images were de-identified"),
        Row("12", "Missing data", "{missing}"),
        Row("13", "Acquisition of the images", "{modes}", "devices, views and settings"),
    ),
    "Methods: reference standard": (
        Row("14", "What the reference standard is and how it was obtained",
            "Labels are {classes}.", "how the labels were set, so that others can repeat it"),
        Row("15", "Why this reference standard"),
        Row("16", "Who annotated, with which training"),
        Row("17", "How the test images were annotated"),
        Row("18", "Variability between and within annotators"),
    ),
    "Methods: data partitions": (
        Row("19", "How data were assigned to parts", "{parts} Split: {split}"),
        Row("20", "At which level parts are disjoint", "{split}"),
    ),
    "Methods: testing data": (
        Row("21", "Intended size of the test set", "{parts}",
            "how the size came about, and why it suffices"),
    ),
    "Methods: model": (
        Row("22", "The model: inputs, outputs, layers", "{network} Input: {input} Output: a "
            "probability of {positive}. The graph with all layers is model.onnx."),
        Row("23", "Software and versions", "{software}"),
        Row("24", "Initial weights", "{network}"),
    ),
    "Methods: training": (
        Row("25", "Training: augmentation, settings, number of models", "{training}"),
        Row("26", "How the final model was selected", "{selection} {decisions}"),
        Row("27", "Ensembling", "{ensemble}"),
    ),
    "Methods: evaluation": (
        Row("28", "Metrics", "AUC, average precision, sensitivity, specificity, predictive "
            "values, likelihood ratios, calibration and net benefit."),
        Row("29", "Significance and uncertainty", "{level} intervals: DeLong by patient, Wilson, "
            "resampling of patients; comparisons are paired with Holm's correction."),
        Row("30", "Robustness or sensitivity analysis", "{robustness}"),
        Row("31", "Explainability", "{evidence}", "whether it was validated"),
        Row("32", "Evaluation on internal data", "{internal}"),
        Row("33", "Test on external data", "", "pneumoscope evaluate on images of another source"),
        Row("34", "Registration of the trial, if it was one"),
    ),
    "Results: data": (
        Row("35", "How many patients or images were included and excluded", "{parts} {missing}",
            "those left out before the data reached the software"),
        Row("36", "Demographic and clinical facts of each part", "{modes}",
            "age, sex, and what else is known"),
    ),
    "Results: model performance": (
        Row("37", "Performance on all parts, with uncertainty", "{all_performance}",
            "comparison with human readers or other methods"),
        Row("38", "Diagnostic performance with its precision", "{performance} {groups}"),
        Row("39", "Failures: what was concluded wrongly", "report.html shows the surest mistakes, "
            "and figures/ lists all of them.", "what they have in common"),
    ),
    "Discussion": (
        Row("40", "Limitations", "{limits}", "limits of the setting, labels and population"),
        Row("41", "What it means for practice, intended use and role"),
    ),
    "Other information": (
        Row("42", "Where the full protocol and technical details are",
            "Settings and versions: config.yaml and provenance.json; numbers: metrics.json.",
            "the protocol"),
        Row("43", "Availability of software, model and data", "{software}",
            "where software, model and data can be had"),
        Row("44", "Funding, other support, and the role of funders"),
    ),
}  # fmt: skip

STANDARDS: Final = {
    "tripod-ai": Standard(
        "TRIPOD+AI",
        "Collins and others, TRIPOD+AI statement, BMJ 2024;385:e078378",
        _TRIPOD,
    ),
    "claim": Standard(
        "CLAIM 2024",
        (
            "Tejani and others, Checklist for Artificial Intelligence in Medical Imaging (CLAIM): "
            "2024 update, Radiology: Artificial Intelligence 2024;6(4):e240300"
        ),
        _CLAIM,
    ),
}
"""What `pneumoscope.report.checklist.fill` can fill, by the names of the command line."""

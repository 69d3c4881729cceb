"""The numbers of the included reader's card that are computed from its validation scores.

``docs/reference/reader-card.json`` contains the scores without names of files or patients, so that
the numbers can be computed again. ``tests/reader/test_shipped.py`` does this, and fails if the card
or the decision of the model file is out of date.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from pneumoscope.data.patients import Patient
from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.evaluation.numbers import numbers_of
from pneumoscope.evaluation.policy import evaluate_policy
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.model_file.metadata import ModelInfo

SHOWN = ("auc", "balanced_accuracy", "ppv", "npv", "ece", "brier", "calibration_slope")


def scores_to_dict(scores: Scores) -> dict[str, list[float] | list[int]]:
    """Return scores as JSON values without names: patients are numbered."""
    assert scores.refused is not None
    return {
        "label": scores.label.tolist(),
        "patient": scores.patient_numbers.tolist(),
        "logit": scores.logit.tolist(),
        "refused": scores.refused.astype(int).tolist(),
    }


def scores_from_dict(values: Mapping[str, Any], calibration: Calibration) -> Scores:
    """Return the scores that ``scores_to_dict`` wrote, with the probabilities of a calibration."""
    logit = np.array(values["logit"], np.float64)
    return Scores(
        tuple(f"image {row}" for row in range(len(logit))),
        tuple(Patient(f"patient {number}") for number in values["patient"]),
        np.array(values["label"], np.int64),
        logit,
        calibration.apply(logit),
        "val",
        refused=np.array(values["refused"], np.bool_),
    )


def computed(scores: Scores, info: ModelInfo) -> dict[str, Any]:
    """Return the numbers of the card on the decision and the probabilities as JSON values."""
    found = numbers_of(scores, threshold=info.operating_point.threshold, curves=False)
    return {
        "policy": evaluate_policy(info.policy(), scores).to_dict(),
        "validation": {name: found[name].to_dict() for name in SHOWN},
    }


def readme_text(numbers: Mapping[str, Any]) -> str:
    """Return the paragraphs of README.md on the performance of the included reader."""
    policy, evidence, shortcuts = numbers["policy"], numbers["evidence"], numbers["shortcuts"]
    now, alone = policy["deployed"], policy["at_threshold"]

    def percent(found: Mapping[str, float], more: str = "") -> str:
        low, high = 100 * found["low"], 100 * found["high"]
        return f"{100 * found['value']:.1f}% ({more}{low:.1f} to {high:.1f})"

    def share(found: Mapping[str, float]) -> str:
        return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"

    text = f"""
        The included reader was trained and validated on the training folder of the Kaggle data set
        (see the walkthrough below). The file names of the data set contain patient numbers and fall
        into series, each with its own prefix; the {policy["n"]} validation images are those of the
        {policy["patients"]} patients with the lowest numbers in each series.
        {percent(now["set_aside"], "95% confidence interval ")} of these images are UNCERTAIN or
        NOT_ASSESSABLE, and {percent(now["error"])} of the remaining
        conclusions are wrong. If every image is classified at the decision threshold, without the
        uncertain zone and the input checks, sensitivity is {share(alone["sensitivity"])} and
        specificity {share(alone["specificity"])}. Threshold and uncertain zone were chosen on these
        same images, so expect worse results on other patients.

        The reader partly relies on regions outside the lungs: with the lungs blanked out, its AUC
        is still {shortcuts["lung fields blanked out"]:.2f}. From the image borders alone it is
        {shortcuts["borders alone"]:.2f}, so the borders affect the score as well, but in the wrong
        direction. The
        evidence map is therefore not a reliable localisation. On generated radiographs its peak
        lies inside the opacity in {evidence["pointing_game"]:.0%} of cases
        ({evidence["by_chance"]:.0%} by chance); on real images with pneumonia it lies in the lung
        fields in {evidence["real_peak_in_lungs"]:.0%} ({evidence["real_by_chance"]:.0%} by chance).

        `python tools/make_reader.py chest_xray --native chest_xray_native --decide-only` reproduces
        these numbers; `chest_xray_native` is a folder of images of the data set at their original
        size.
    """
    return "\n\n".join(
        textwrap.fill(
            " ".join(paragraph.split()), 100, break_long_words=False, break_on_hyphens=False
        )
        for paragraph in text.split("\n\n")
    )

"""Generated scores of several classes."""

from __future__ import annotations

import numpy as np

from helpers.made_scores import people
from pneumoscope.evaluation.conformal import fit_conformal
from pneumoscope.evaluation.multiclass.calibration import softmax
from pneumoscope.evaluation.multiclass.scores import ClassScores
from pneumoscope.evaluation.scores import Scores
from pneumoscope.labels import LabelSpace
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.reader.policy import DecisionPolicy

FOURTEEN = (
    "No Finding", "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule",
    "Pneumonia", "Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis",
    "Pleural_Thickening",
)  # fmt: skip
"""The classes of a public data set, with long names."""

NAMED = {
    2: ("NORMAL", "PNEUMONIA"),
    3: ("NORMAL", "BACTERIA", "VIRUS"),
    4: ("COVID-19", "NORMAL", "OPACITY", "TUBERCULOSIS"),
    14: FOURTEEN,
}


def space_of(classes: int) -> LabelSpace:
    """Return the label space of the first classes, all positive but the first."""
    names = NAMED.get(classes, FOURTEEN[:classes])
    return LabelSpace.of(names, names[1:], "PNEUMONIA" if classes == 3 else "")


def make_class_scores(
    n: int,
    classes: int,
    *,
    seed: int = 0,
    sharp: float = 1.5,
    truth_seed: int | None = None,
    noise: float = 1.0,
) -> ClassScores:
    """Return scores of a reader that is right more often than by chance.

    Args:
        n: Number of images.
        classes: Number of classes K; each has at least one image.
        seed: Seed of the scores.
        sharp: Mean difference between the logit of the true class and the others.
        truth_seed: Seed of the true classes; ``seed`` if None.
        noise: Standard deviation of the logits.
    """
    truth = np.random.default_rng(seed if truth_seed is None else truth_seed)
    number = np.concatenate([np.arange(classes), truth.integers(0, classes, n - classes)])
    rng = np.random.default_rng([seed, 1])
    logits = noise * rng.normal(size=(n, classes)) + sharp * np.eye(classes)[number]
    return ClassScores(space_of(classes), number, logits, softmax(logits))


def as_scores(own: ClassScores, *, part: str = "val", per_patient: int = 1) -> Scores:
    """Return scores of images that include those of each class."""
    n = len(own)
    names = tuple(f"{row}.png" for row in range(n))
    empty = np.zeros(n)
    patients = people(f"p{row // per_patient}" for row in range(n))
    return Scores(names, patients, own.label, empty, empty, part).with_classes(own)


def policy_of(own: ClassScores, *, level: float = 0.1) -> DecisionPolicy:
    """Return a policy whose prediction sets are fitted on validation scores."""
    rule = fit_conformal(as_scores(own), level=level)
    return DecisionPolicy(own.labels, OperatingPoint(), rule)

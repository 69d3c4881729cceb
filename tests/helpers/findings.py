"""A table of several findings per image, from the generated radiographs."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from pneumoscope.export import export
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.registry import build_model
from pneumoscope.reader.findings import FindingRule
from pneumoscope.reader.model_file.metadata import ModelInfo, OperatingPoint
from pneumoscope.reader.prediction import ERROR, NOT_ASSESSABLE, Prediction
from pneumoscope.reader.predictor import Predictor

FINDINGS = ("Consolidation", "Infiltrate", "Clear")

NAMES = ("Pleural_Effusion", "Consolidation", "Opacity of the left lower lobe")
EACH = {
    "POSITIVE": (("NEGATIVE", 0.6), ("POSITIVE", 0.2), ("UNCERTAIN", 0.7)),
    "UNCERTAIN": (("NEGATIVE", 0.6), ("UNCERTAIN", 0.2), ("NEGATIVE", 0.1)),
    "NEGATIVE": (("NEGATIVE", 0.6), ("NEGATIVE", 0.2), ("NEGATIVE", 0.1)),
    NOT_ASSESSABLE: (),
    ERROR: (),
}
"""The findings behind each conclusion; the likeliest one is not always the one that is present."""


def findings_table(folder: Path, out: Path) -> Path:
    """Write ``out``, a CSV of the images of a generated folder with a column a finding; return it.

    Consolidation is bacterial pneumonia, Infiltrate any pneumonia, Clear none; every fifth label
    is blank, and some that are blank are uncertain (-1).
    """
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "patient", "split", "sex", *FINDINGS))
        for number, path in enumerate(sorted(folder.rglob("*.jpeg"))):
            kind, patient, *_ = path.stem.split("-")
            part = path.relative_to(folder).parts[0]
            labels: list[object] = [
                int(kind == "BACTERIA"),
                int(kind != "NORMAL"),
                int(kind == "NORMAL"),
            ]
            labels[number % 3] = (
                ("", "", "-1")[number % 3] if number % 5 == 0 else labels[number % 3]
            )
            place = path.relative_to(out.parent)
            writer.writerow((place, f"{kind}-{patient}", part, "F" if number % 2 else "M", *labels))
    return out


def write_findings(path: Path, names: tuple[str, ...] = FINDINGS, *, sides: int = 32) -> Path:
    """Write an untrained model file of several findings; return its path."""
    spec = InputSpec(sides, sides)
    counts = [10] * 10
    rules = tuple(
        FindingRule(
            OperatingPoint("youden", 0.3 + 0.1 * number),
            reference={"probability_histogram": counts},
        )
        for number in range(len(names))
    )
    info = ModelInfo("several", spec, names, OperatingPoint(), {}, findings=rules)
    model = build_model(
        "seed-cnn", spec, filters=[4], classes=len(names), multilabel=True
    ).eval()  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (4, sides, sides), np.uint8)
    export(model, path, info=info, check=pixels)
    return path


def concluded(several: Predictor, content: bytes, conclusion: str) -> Prediction:
    """Return the result of an image with one of the conclusions of ``EACH``."""
    found = several.predict(content)
    findings = tuple(
        one._replace(conclusion=said, probability=probability)
        for one, (said, probability) in zip(found.findings, EACH[conclusion], strict=False)
    )
    return replace(
        found,
        conclusion=conclusion,
        findings=findings,
        reasons=("a reason",),
        error="it broke" if conclusion == ERROR else "",
    )

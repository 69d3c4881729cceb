"""Folders of three classes, from the generated radiographs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pneumoscope.export import export
from pneumoscope.images.prepare import InputSpec
from pneumoscope.labels import LabelSpace
from pneumoscope.models.registry import build_model
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.model_file.metadata import ModelInfo, OperatingPoint

KINDS = ("NORMAL", "BACTERIA", "VIRUS")
GROUP = "PNEUMONIA=BACTERIA,VIRUS"
TINY: dict[str, Any] = {
    "image_size": 32, "filters": (4, 8), "max_epochs": 1, "val_fraction": 0.5, "positive": GROUP,
    "error_level": 0.3, "calibration": "temperature",
}  # fmt: skip
"""Settings of a recipe for three classes that trains in a moment."""


def by_kind(folder: Path, out: Path) -> Path:
    """Copy a generated folder into class folders NORMAL, BACTERIA and VIRUS; return it."""
    for path in sorted(folder.rglob("*.jpeg")):
        kind = path.name.partition("-")[0]
        part = path.relative_to(folder).parts[0]
        place = out / part / kind / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    return out


def write_kinds(
    path: Path, *, sides: int = 32, quantiles: tuple[float, float, float] | None = None
) -> Path:
    """Write an untrained model file of the three classes; return its path.

    With the quantiles (0, 1, 1), its conclusion is always PNEUMONIA, kind uncertain.
    """
    spec = InputSpec(sides, sides)
    labels = LabelSpace.of(KINDS, KINDS[1:], "PNEUMONIA")
    info = ModelInfo(
        "kinds", spec, KINDS, OperatingPoint(), {}, positive=labels.positive, group=labels.group,
        conformal=None if quantiles is None else Conformal(0.1, quantiles),
    )  # fmt: skip
    model = build_model("seed-cnn", spec, filters=[4], classes=3).eval()
    if quantiles is not None:
        with torch.no_grad():
            model.get_parameter("network.output.bias")[0] -= 5  # no image is NORMAL
    pixels = np.random.default_rng(0).integers(0, 256, (4, sides, sides), np.uint8)
    export(model, path, info=info, check=pixels)
    return path

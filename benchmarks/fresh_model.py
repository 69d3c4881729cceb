"""A model file to read images with: its speed does not depend on what it has learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pneumoscope.export import export
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.registry import build_model
from pneumoscope.reader.bundle import ModelInfo, OperatingPoint


def write_fresh_model(path: Path) -> Path:
    """Write a freshly initialised ``seed-cnn`` and return its path."""
    torch.manual_seed(0)
    spec = InputSpec()
    info = ModelInfo("seed-cnn", spec, ("NORMAL", "PNEUMONIA"), OperatingPoint(), {})
    check = np.random.default_rng(0).integers(0, 256, (4, *spec.shape), np.uint8)
    export(build_model("seed-cnn", spec).eval(), path, info=info, check=check)
    return path

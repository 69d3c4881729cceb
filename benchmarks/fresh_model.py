"""An untrained model file, since the speed of a model does not depend on its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pneumoscope.export import export
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.registry import build_model
from pneumoscope.reader.model_file.metadata import ModelInfo, OperatingPoint


def write_fresh_model(path: Path, name: str = "seed-cnn", *, weights: str = "none") -> Path:
    """Write an untrained model, and return its path."""
    torch.manual_seed(0)
    spec = InputSpec()
    info = ModelInfo(name, spec, ("NORMAL", "PNEUMONIA"), OperatingPoint(), {})
    check = np.random.default_rng(0).integers(0, 256, (4, *spec.shape), np.uint8)
    network = build_model(name, spec, weights=weights).eval()
    export(network, path, info=info, check=check)
    return path

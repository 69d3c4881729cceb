"""Networks of timm with random weights, in files like published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file


def made_up(folder: Path, architecture: str, **options: Any) -> tuple[Any, Path]:
    """Return an RGB network of ten classes and a file of its weights."""
    torch.manual_seed(0)
    network = timm.create_model(architecture, num_classes=10, **options).eval()
    with torch.no_grad():
        for name, values in network.state_dict().items():
            if name.endswith("running_mean"):
                values.normal_(std=0.1)
            elif name.endswith("running_var"):
                values.uniform_(0.5, 2)
    path = folder / f"{architecture}.made-up.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: values.contiguous() for name, values in network.state_dict().items()}, path)
    return network, path

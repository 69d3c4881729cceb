"""Networks of timm with made-up weights, in files as others publish them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's weights, the hub's cache and the network out of the tests."""
    monkeypatch.setenv("PNEUMOSCOPE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


Published = Callable[..., tuple[nn.Module, Path]]


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """Return a function that makes an RGB network of ten classes and a file of its weights."""

    def make(architecture: str, **options: Any) -> tuple[nn.Module, Path]:
        torch.manual_seed(0)
        network = timm.create_model(architecture, num_classes=10, **options).eval()
        with torch.no_grad():
            for name, values in network.state_dict().items():
                if name.endswith("running_mean"):
                    values.normal_(std=0.1)
                elif name.endswith("running_var"):
                    values.uniform_(0.5, 2)
        path = tmp_path / f"{architecture}.made-up.safetensors"
        save_file(
            {name: values.contiguous() for name, values in network.state_dict().items()}, path
        )
        return network, path

    return make

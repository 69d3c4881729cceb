"""A common loop: Pillow and eager torch networks with random weights, one image at a time.

Prints seconds as one JSON line: torch_loop.py FILE-WITH-ONE-PATH-A-LINE [ARCHITECTURE]

The architecture is JSON: ``model`` (seed-cnn, timm:NAME), ``members`` (networks whose logits are
averaged), ``views`` (plain, flip, zoom) and ``size`` [height, width].
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()

import numpy as np  # noqa: E402 - the imports are timed
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

SEED_CNN: dict[str, Any] = {
    "model": "seed-cnn",
    "members": 1,
    "views": ["plain"],
    "size": [224, 224],
}


def main(list_of_paths: str, architecture: str = "") -> None:
    """Read the images and print the duration."""
    layout: dict[str, Any] = json.loads(architecture) if architecture else SEED_CNN
    torch.manual_seed(0)
    paths = Path(list_of_paths).read_text(encoding="utf-8").splitlines()
    height, width = layout["size"]
    members = [network(layout["model"], height, width).eval() for _ in range(layout["members"])]
    ready = time.perf_counter()
    probabilities = []
    with torch.no_grad():
        for path in paths:
            image = Image.open(path).convert("L").resize((width, height), Image.Resampling.BILINEAR)
            pixels = torch.from_numpy(np.array(image, np.float32) / 255)[None, None]
            seen = [view(pixels, name) for name in layout["views"]]
            logits = torch.stack([member(one) for one in seen for member in members]).mean(0)
            probabilities.append(logits.softmax(1)[0, 1].item())
    ended = time.perf_counter()
    facts = {
        "images": len(probabilities),
        "import": ready - STARTED,
        "loop": ended - ready,
    }
    print(json.dumps(facts))


def network(name: str, height: int, width: int) -> nn.Module:
    """Return a network with random weights: one of timm, or the report's."""
    family, _, architecture = name.partition(":")
    if family == "timm":
        import timm  # noqa: PLC0415 - for its networks alone

        built: nn.Module = timm.create_model(architecture, in_chans=1, num_classes=2)
        return built
    if name != "seed-cnn":
        raise SystemExit(f"torch_loop.py knows seed-cnn and timm:NAME, not {name}")
    return seed_cnn(height, width)


def seed_cnn(height: int, width: int) -> nn.Sequential:
    """Return the report's network."""
    layers: list[nn.Module] = []
    before = 1
    for filters in (32, 64, 64):
        layers += [nn.Conv2d(before, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        layers.append(nn.Dropout(0.4))
        before = filters
    flat = (height // 8) * (width // 8) * before
    layers += [nn.Flatten(), nn.Linear(flat, 64), nn.ReLU(), nn.Dropout(0.4)]
    return nn.Sequential(*layers, nn.Linear(64, 2))


def view(pixels: Tensor, name: str) -> Tensor:
    """Return an image unchanged, mirrored, or with its middle 80 % enlarged."""
    height, width = pixels.shape[-2:]
    if name == "flip":
        return pixels.flip(-1)
    if name == "zoom":
        top, left = height // 10, width // 10
        middle = pixels[..., top : height - top, left : width - left]
        return F.interpolate(middle, (height, width), mode="bilinear")
    return pixels


if __name__ == "__main__":
    main(*sys.argv[1:])

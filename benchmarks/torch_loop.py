"""The usual loop: Pillow and an eager torch network, one image at a time.

Prints seconds as one JSON line: torch_loop.py FILE-WITH-ONE-PATH-A-LINE
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

STARTED = time.perf_counter()

import numpy as np  # noqa: E402 - the imports are timed
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import nn  # noqa: E402

IMPORTED = time.perf_counter()


def main(list_of_paths: str) -> None:
    """Read the images and print what that took."""
    torch.manual_seed(0)
    paths = Path(list_of_paths).read_text(encoding="utf-8").splitlines()
    model = network().eval()
    began = time.perf_counter()
    probabilities = []
    with torch.no_grad():
        for path in paths:
            image = Image.open(path).convert("L").resize((224, 224), Image.Resampling.BILINEAR)
            pixels = torch.from_numpy(np.array(image, np.float32) / 255)[None, None]
            probabilities.append(model(pixels).softmax(1)[0, 1].item())
    ended = time.perf_counter()
    facts = {"images": len(probabilities), "import": IMPORTED - STARTED, "loop": ended - began}
    print(json.dumps(facts))


def network() -> nn.Sequential:
    """Return the report's network, written down plainly."""
    layers: list[nn.Module] = []
    before = 1
    for filters in (32, 64, 64):
        layers += [nn.Conv2d(before, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        layers.append(nn.Dropout(0.4))
        before = filters
    layers += [nn.Flatten(), nn.Linear(28 * 28 * 64, 64), nn.ReLU(), nn.Dropout(0.4)]
    return nn.Sequential(*layers, nn.Linear(64, 2))


if __name__ == "__main__":
    main(sys.argv[1])

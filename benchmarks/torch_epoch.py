"""Common fine-tuning code: torchvision's transforms, a loader, a loop.

Prints the seconds of an epoch as one JSON line: torch_epoch.py PLAN.json

The plan has ``model`` (a name of timm), ``train`` and ``val`` (pairs of path and label), ``size``
[height, width], ``batch_size``, ``workers``, and how the pixels are normalised (``mean``, ``std``).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms  # type: ignore[import-untyped]

Row = tuple[str, int]

_WARM_UP = 3  # batches


class Files(Dataset[tuple[Tensor, int]]):
    """Image files and labels; each image is decoded and transformed on access."""

    def __init__(self, rows: Sequence[Row], change: Any) -> None:
        self._rows = rows
        self._change = change

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self._rows[index]
        with Image.open(path) as image:
            return self._change(image.convert("L")), label


def training_changes(size: tuple[int, int], mean: float, std: float) -> Any:
    """Return the augmentation of the preset ``transfer``, as far as torchvision supports it."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.3, 1.0)),
            transforms.ColorJitter(brightness=0.2, contrast=0.4),
            transforms.RandomRotation(10),
            transforms.ToTensor(),
            transforms.Normalize([mean], [std]),
        ]
    )


def plain_changes(size: tuple[int, int], mean: float, std: float) -> Any:
    """Return the transforms of validation images."""
    return transforms.Compose(
        [
            transforms.Resize(size),
            transforms.ToTensor(),
            transforms.Normalize([mean], [std]),
        ]
    )


def main(plan: str) -> None:
    """Train for one epoch after a few untimed batches, validate, and print both durations."""
    settings = json.loads(Path(plan).read_text(encoding="utf-8"))
    size = (settings["size"][0], settings["size"][1])
    normal = (settings["mean"], settings["std"])
    torch.manual_seed(0)
    model = timm.create_model(settings["model"], in_chans=1, num_classes=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    options = {"batch_size": settings["batch_size"], "num_workers": settings["workers"]}
    changes = training_changes(size, *normal)
    few = settings["train"][: _WARM_UP * settings["batch_size"]]
    train_one(model, optimizer, DataLoader(Files(few, changes), shuffle=True, **options))
    training = DataLoader(Files(settings["train"], changes), shuffle=True, **options)
    validation = DataLoader(Files(settings["val"], plain_changes(size, *normal)), **options)
    started = time.perf_counter()
    train_one(model, optimizer, training)
    trained = time.perf_counter()
    loss, accuracy = validate(model, validation)
    ended = time.perf_counter()
    facts = {
        "seconds": ended - started,
        "training_seconds": trained - started,
        "images": [len(settings["train"]), len(settings["val"])],
        "val_loss": loss,
        "val_accuracy": accuracy,
        "torch": torch.__version__,
    }
    print(json.dumps(facts))


def train_one(
    model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[tuple[Tensor, int]]
) -> None:
    """Take one step per batch."""
    model.train()
    for images, labels in loader:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def validate(model: nn.Module, loader: DataLoader[tuple[Tensor, int]]) -> tuple[float, float]:
    """Return the mean loss and the accuracy."""
    model.eval()
    loss, right, count = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            logits = model(images)
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            right += int((logits.argmax(1) == labels).sum())
            count += len(labels)
    return loss / count, right / count


if __name__ == "__main__":
    main(sys.argv[1])

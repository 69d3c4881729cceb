"""Training on a GPU: images per second, and the time in which the GPU waits for them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from harness import Outcome, Plan, Row, say, skip
from pictures import replicate
from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import split_catalog
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.registry import build_model, to_unit
from pneumoscope.parallel import cores
from pneumoscope.training.augment import augment
from pneumoscope.training.augmentation import AUGMENTATIONS
from pneumoscope.training.datamodule import Batch, SplitData
from torch_epoch import Files, training_changes

_MODELS = ("seed-cnn", "timm:resnet50", "timm:convnextv2_nano")
_BATCH_SIZE = 128
_WARM_UP = 5
_MOST_WORKERS = 16

Step = Callable[[Tensor, Tensor], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of a training: images per second, and the share of time in which the GPU waits."""

    images_per_second: float
    waits: float


def measure(plan: Plan) -> Outcome:
    """Run the same step with our cache and with a common loader, in turns."""
    if not torch.cuda.is_available():
        return skip("no GPU here")
    name = torch.cuda.get_device_name()
    bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    prepared = _prepared(plan)
    steps = plan.count(60, generated=60, quick=2)
    rows: list[Row] = []
    details: dict[str, object] = {"gpu": name, "batch_size": _BATCH_SIZE, "steps": steps}
    for model in _MODELS:
        ours, theirs = compared(
            model,
            prepared,
            device=torch.device("cuda"),
            bfloat16=bfloat16,
            steps=steps,
            rounds=plan.count(3, generated=3, quick=1),
        )
        mine = statistics.median(pace.images_per_second for pace in ours)
        other = statistics.median(pace.images_per_second for pace in theirs)
        waits = statistics.median(pace.waits for pace in ours)
        waits_there = statistics.median(pace.waits for pace in theirs)
        precision = "bfloat16" if bfloat16 else "float32"
        rows.append(
            Row(
                f"training {model} on {name}, {precision}, channels-last, compiled",
                f"{mine:.0f} images/s, the GPU waits {waits:.0%} of the time",
                f"{other:.0f} images/s, it waits {waits_there:.0%} (the same step fed by a "
                f"DataLoader with torchvision, {_workers()} workers)",
                mine / other,
            )
        )
        details[model] = {
            "images_per_second": [pace.images_per_second for pace in ours],
            "waits": [pace.waits for pace in ours],
            "loader_images_per_second": [pace.images_per_second for pace in theirs],
            "loader_waits": [pace.waits for pace in theirs],
        }
    return Outcome(rows, details)


def compared(
    model: str,
    prepared: PreparedData,
    *,
    device: torch.device,
    bfloat16: bool,
    steps: int,
    rounds: int,
    compiled: bool = True,
) -> tuple[list[Pace], list[Pace]]:
    """Return the paces of a training with our batches, and with those of the usual loader."""
    step = _step(model, device, bfloat16=bfloat16, compiled=compiled)
    mine, theirs = _ours(prepared, device), _loader(prepared, device)
    for _ in range(_WARM_UP):  # compiles, chooses kernels, starts the workers
        step(*next(mine))
        step(*next(theirs))
    ours: list[Pace] = []
    loaders: list[Pace] = []
    for number in range(1, rounds + 1):
        ours.append(_pace(step, mine, steps, device))
        loaders.append(_pace(step, theirs, steps, device))
        say(
            f"{model}, round {number} of {rounds}: ours {ours[-1].images_per_second:.0f}, "
            f"loader {loaders[-1].images_per_second:.0f} images/s"
        )
    return ours, loaders


def _prepared(plan: Plan) -> PreparedData:
    images = plan.work / "images"
    replicate(plan.small, images, count=plan.count(5216, generated=2000, quick=400))
    cache, catalog = build_cache(read_catalog(images), InputSpec())
    return PreparedData(catalog, cache, split_catalog(catalog, seed=0))


def _step(model: str, device: torch.device, *, bfloat16: bool, compiled: bool) -> Step:
    """Return one step of training; batches of uint8 are augmented on the device."""
    torch.manual_seed(0)
    classifier = build_model(model, InputSpec()).to(device).train()
    classifier = classifier.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=1e-3, fused=True)
    network: Callable[[Tensor], Tensor] = classifier
    if compiled:
        network = torch.compile(classifier)
    changes = AUGMENTATIONS["geometric"]  # similar to the other loader

    def step(pixels: Tensor, labels: Tensor) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            images = augment(to_unit(pixels), changes) if pixels.dtype == torch.uint8 else pixels
            images = images.contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(network(images).float(), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _ours(prepared: PreparedData, device: torch.device) -> Iterator[Batch]:
    data = SplitData(prepared, batch_size=_BATCH_SIZE, seed=0)
    return _endless(data.train_dataloader(), device)


def _loader(prepared: PreparedData, device: torch.device) -> Iterator[Batch]:
    """Yield batches of files that worker processes decode and change with torchvision."""
    part = prepared.catalog.select(prepared.split.rows("train"))
    rows = [
        (str(part.file(entry)), label)
        for entry, label in zip(part.entries, part.labels.tolist(), strict=True)
    ]
    loader = DataLoader(
        Files(rows, training_changes(InputSpec().shape, 0.0, 1.0)),
        batch_size=_BATCH_SIZE,
        shuffle=True,
        drop_last=True,
        num_workers=_workers(),
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )
    return _endless(loader, device)


def _workers() -> int:
    return min(_MOST_WORKERS, cores())


def _endless(loader: Iterable[Any], device: torch.device) -> Iterator[Batch]:
    """Yield full batches on the device, epoch after epoch."""
    while True:
        for pixels, labels in loader:
            if len(labels) == _BATCH_SIZE:
                yield pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def _pace(step: Step, batches: Iterator[Batch], steps: int, device: torch.device) -> Pace:
    """Return the speed of some steps; the time between two steps counts as waiting."""
    on_gpu = device.type == "cuda"
    marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
    if on_gpu:
        torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(steps):
        pixels, labels = next(batches)
        if on_gpu:
            begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            begin.record()
            step(pixels, labels)
            end.record()
            marks.append((begin, end))
        else:
            step(pixels, labels)
    if on_gpu:
        torch.cuda.synchronize()
    took = time.perf_counter() - started
    gaps = [before[1].elapsed_time(after[0]) for before, after in pairwise(marks)]
    return Pace(steps * _BATCH_SIZE / took, sum(gaps) / 1000 / took)

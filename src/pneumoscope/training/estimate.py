"""Estimate the duration of a training from a few steps."""

from __future__ import annotations

import time

import torch
from torch.nn import functional as F

from pneumoscope.training.allocator import keep_large_blocks
from pneumoscope.training.augment import augment
from pneumoscope.training.devices import computes_in_bfloat16
from pneumoscope.training.network import network_of
from pneumoscope.training.recipe import Recipe

_STEPS = 3


def seconds_per_image(recipe: Recipe, *, device: str) -> float:
    """Return the time per training image, measured over a few steps on random images.

    The time does not depend on the weights, so random ones are used; the state of torch's generator
    is preserved.
    """
    keep_large_blocks()
    with torch.random.fork_rng(devices=[]):
        model = network_of(recipe, pretrained=False)
        network = model.to(device).to(memory_format=torch.channels_last)
        network.train()
        count = min(recipe.learning.batch_size, 32)
        labels = torch.zeros(count, dtype=torch.int64, device=device)
        bfloat16 = computes_in_bfloat16(recipe.learning.precision, device, network.network)
        seconds = []
        for _ in range(1 + _STEPS):
            started = time.perf_counter()
            pixels = torch.rand(count, 1, *recipe.data.input.shape, device=device)
            images = augment(pixels, recipe.learning.augmentation)
            with torch.autocast(device, dtype=torch.bfloat16, enabled=bfloat16):
                logits = network.uncorrected(images)
            F.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
            # Reading a number waits for the device.
            float(next(network.parameters()).grad.sum())  # type: ignore[union-attr]
            seconds.append(time.perf_counter() - started)
    return min(seconds[1:]) / count


def in_words(seconds: float) -> str:
    """Return a duration as text.

    >>> in_words(40), in_words(600), in_words(10_000)
    ('less than a minute', '10 minutes', '2.8 hours')
    """
    if seconds < 50:
        return "less than a minute"
    if seconds < 5400:
        minutes = max(1, round(seconds / 60))
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    return f"{seconds / 3600:.1f} hours"

"""The share of a training step spent on reading, copying and augmenting images."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator

import torch
from torch.nn import functional as F

from harness import Outcome, Plan, Row, say
from pictures import replicate
from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import split_catalog
from pneumoscope.models.registry import build_model, to_unit
from pneumoscope.training.allocator import keep_large_blocks
from pneumoscope.training.augment import augment
from pneumoscope.training.datamodule import Batch, SplitData
from pneumoscope.training.devices import computes_in_bfloat16
from pneumoscope.training.optimizer import build_optimizer
from pneumoscope.training.recipe import Recipe, recipe_of
from pneumoscope.training.task import ClassificationTask

_WARM_UP = 3


def measure(plan: Plan) -> Outcome:
    """Time both parts of each step of an epoch, as ``fit`` runs it, one after the other."""
    images = plan.small
    if plan.generated or plan.quick:
        images = plan.work / "images"
        replicate(plan.small, images, count=plan.count(0, generated=1000, quick=200))
    recipe = recipe_of("seed")
    cache, catalog = build_cache(read_catalog(images), recipe.data.input)
    prepared = PreparedData(catalog, cache, split_catalog(catalog, seed=recipe.seed))
    keep_large_blocks()  # as fit does
    torch.manual_seed(recipe.seed)
    classifier = build_model(
        recipe.learning.model, recipe.data.input, **recipe.learning.model_options
    )
    bfloat16 = computes_in_bfloat16(recipe.learning.precision, "cpu", classifier.network)
    task = ClassificationTask(classifier, recipe).train()
    optimizer = build_optimizer(recipe, classifier.network)
    batches = _full_batches(prepared, recipe)
    inputs: list[float] = []
    wholes: list[float] = []
    steps = plan.count(60, generated=60, quick=1)
    for number in range(1, _WARM_UP + steps + 1):
        started = time.perf_counter()
        pixels, labels = next(batches)
        with torch.autocast("cpu", torch.bfloat16) if bfloat16 else contextlib.nullcontext():
            changed = augment(to_unit(pixels), recipe.learning.augmentation)
            ready = time.perf_counter()
            loss = F.cross_entropy(task.classifier(changed).float(), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        ended = time.perf_counter()
        if number > _WARM_UP:
            inputs.append(ready - started)
            wholes.append(ended - started)
        if number > _WARM_UP and (number - _WARM_UP) % 20 == 0:
            say(f"{number - _WARM_UP} of {steps} steps")
    one, whole = statistics.median(inputs), statistics.median(wholes)
    row = Row(
        "share of a training step that its images take (read, copy, augment)",
        f"{one * 1000:.1f} ms",
        f"{whole * 1000:.1f} ms (the whole step, {'bfloat16' if bfloat16 else 'float32'})",
        one / whole,
        at_most=0.08,
    )
    details = {"share_of_the_sums": round(sum(inputs) / sum(wholes), 4), "steps": steps}
    return Outcome([row], details)


def _full_batches(prepared: PreparedData, recipe: Recipe) -> Iterator[Batch]:
    """Yield the training batches, epoch after epoch, without the smaller one at the end."""
    data = SplitData(prepared, batch_size=recipe.learning.batch_size, seed=recipe.seed)
    loader = data.train_dataloader()
    while True:
        for batch in loader:
            if len(batch[1]) == recipe.learning.batch_size:
                yield batch

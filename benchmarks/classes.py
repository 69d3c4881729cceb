"""The cost of 14 classes compared with two: an epoch of training, the graph, and reading files.

The same images, network and recipe for both; only the classes differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch

from harness import Outcome, Plan, Row, interleaved, medians, say
from pictures import replicate
from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import split_catalog
from pneumoscope.export import export
from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.labels import LabelSpace
from pneumoscope.models.registry import build_model
from pneumoscope.parallel import ordered_map
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.metadata import ModelInfo, OperatingPoint
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import RunFolder, write_csv
from pneumoscope.training.devices import Placement
from pneumoscope.training.fit import fit
from pneumoscope.training.recipe import Recipe, recipe_of

_MODEL = "timm:mobilenetv2_035"
_SEVERAL = 14
_BOUND = 1.05
_BATCH = 8  # as in the predictor


def measure(plan: Plan) -> Outcome:
    """Train and read with both, in turns."""
    trained, training = _training(plan)
    read, reading = _reading(plan)
    return Outcome([trained, *read], {"training_seconds": training, **reading})


def _training(plan: Plan) -> tuple[Row, dict[str, list[float]]]:
    """Return the time of an epoch that trains all layers, including validation."""
    recipe = recipe_of("transfer", model=_MODEL, max_epochs=2)
    batches = plan.count(20, generated=10, quick=2)
    count = round(batches * recipe.learning.batch_size / (1 - recipe.data.val_fraction))
    paths = replicate(plan.small, plan.work / "training", count=max(count, 6 * _SEVERAL))
    data = {number: _prepared(plan, paths, recipe, number) for number in (_SEVERAL, 2)}
    epochs: dict[str, list[float]] = {f"{number} classes": [] for number in data}
    rounds = plan.count(3, generated=3, quick=1)
    for turn in range(1, rounds + 1):
        for number, prepared in data.items():
            folder = RunFolder.create(plan.work / f"run-{number}-{turn}")
            fitted = fit(recipe, prepared, folder=folder, placement=Placement(accelerator="cpu"))
            epochs[f"{number} classes"].append(fitted.epochs[1].seconds)
        said = ", ".join(f"{name} {values[-1]:.2f} s" for name, values in epochs.items())
        say(f"round {turn} of {rounds}: {said}")
    several, two = (median(values) for values in epochs.values())
    row = Row(
        f"fine-tuning epoch of {_MODEL} with {_SEVERAL} classes, all layers, {len(paths):,} images",
        f"{several:.2f} s",
        f"{two:.2f} s (two classes)",
        several / two,
        at_most=None if plan.quick else _BOUND,
    )
    return row, epochs


def _prepared(plan: Plan, paths: Sequence[Path], recipe: Recipe, classes: int) -> PreparedData:
    """Return the images with generated classes, the same number of each."""
    table = plan.work / f"{classes}-classes.csv"
    rows = [(path, f"class {place % classes:02}") for place, path in enumerate(paths)]
    write_csv(table, ("path", "label"), rows)
    positive = ",".join(f"class {number:02}" for number in range(1, classes))
    cache, catalog = build_cache(read_catalog(table, positive=positive), recipe.data.input)
    return PreparedData(catalog, cache, split_catalog(catalog, seed=recipe.seed))


def _reading(plan: Plan) -> tuple[list[Row], dict[str, object]]:
    """Return the rates of the graph alone and of ``Predictor.predict_many``."""
    count = plan.count(512, generated=512, quick=16)
    rounds = plan.count(5, generated=5, quick=1)
    paths = replicate(plan.small, plan.work / "reading", count=count)
    models = {
        f"{number} classes": _written(plan.work / f"{number}.onnx", number)
        for number in (_SEVERAL, 2)
    }
    graph = interleaved({name: _graph(path, paths) for name, path in models.items()}, rounds=rounds)
    whole = interleaved({name: _files(path, paths) for name, path in models.items()}, rounds=rounds)
    rows = []
    for what, taken in (("the graph", graph), ("predict_many", whole)):
        several, two = medians(taken).values()
        row = Row(
            f"{what} of {_MODEL} with {_SEVERAL} classes, {count:,} images",
            f"{count / several:.0f} images/s",
            f"{count / two:.0f} images/s (two classes)",
            several / two,  # ratio of seconds, not of rates: the cost of the classes
            at_most=None if plan.quick else _BOUND,
        )
        rows.append(row)
    return rows, {"graph_seconds": graph, "predict_many_seconds": whole}


def _written(path: Path, classes: int) -> Path:
    """Write an untrained model with a number of classes, and return its path."""
    torch.manual_seed(0)
    spec = InputSpec()
    names = tuple(f"class {number:02}" for number in range(classes))
    labels = LabelSpace.of(names, names[1:])
    info = ModelInfo(_MODEL, spec, names, OperatingPoint(), {}, positive=labels.positive)
    network = build_model(_MODEL, spec, weights="none", classes=classes).eval()
    check = np.random.default_rng(0).integers(0, 256, (4, *spec.shape), np.uint8)
    export(network, path, info=info, check=check)
    return path


def _graph(model: Path, paths: Sequence[Path]) -> Callable[[], object]:
    bundle = open_bundle(model, threads=1)
    pixels = np.stack(list(ordered_map(lambda path: prepare(path, bundle.info.input), paths)))
    groups = [pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH)]
    outputs = ["logits", "probabilities"]
    bundle.run(groups[0], outputs)  # after the initialisation of the first call
    return lambda: list(ordered_map(lambda group: bundle.run(group, outputs), groups))


def _files(model: Path, paths: Sequence[Path]) -> Callable[[], object]:
    predictor = Predictor(model, gated=False)
    predictor.predict(paths[0])  # the same
    return lambda: list(predictor.predict_many(paths))

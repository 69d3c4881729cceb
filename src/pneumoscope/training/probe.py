"""Fit a linear probe on the features of a frozen network.

The features of every image are computed once. A logistic regression is fitted on those of the
training set, with its regularisation chosen by cross-validation that keeps patients together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import nn

from pneumoscope.data.prepared import PreparedData
from pneumoscope.errors import OptionError
from pneumoscope.export import trace
from pneumoscope.labels import LabelSpace
from pneumoscope.models.registry import Classifier, to_unit
from pneumoscope.parallel import cores
from pneumoscope.runs import RunFolder
from pneumoscope.stats.logistic import group_log_odds, log_loss
from pneumoscope.stats.roc import area_under_roc
from pneumoscope.training.allocator import keep_large_blocks
from pneumoscope.training.devices import best_device
from pneumoscope.training.fitted import Fitted, Traced
from pneumoscope.training.log import Epoch, write_log
from pneumoscope.training.logistic_regression import fit_findings, fit_logistic
from pneumoscope.training.network import network_of
from pneumoscope.training.recipe import Recipe

_BATCH = 64


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of images by a frozen network, from which probes are fitted.

    Attributes:
        classifier: The network, on the CPU, in evaluation mode.
        graph: The network as a graph, as returned by ``export.trace``; None if computed on a GPU.
        row_of: Catalog row → row of ``values``.
        values: The pooled features, float32 [n, d].
        device: The device that computed them.
        seconds: Duration of the computation.
    """

    classifier: Classifier
    graph: onnx.ModelProto | None
    row_of: Mapping[int, int]
    values: NDArray[np.float32]
    device: str
    seconds: float

    def of(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """Return the features of catalog rows, [n, d]."""
        return self.values[[self.row_of[row] for row in rows]]


def probe_features(
    recipe: Recipe,
    data: PreparedData,
    rows: Sequence[int],
    *,
    accelerator: str = "auto",
    on_step: Callable[[int, int], None] | None = None,
) -> Features:
    """Return the pooled features of catalog rows by the frozen network of a recipe.

    Args:
        recipe: Recipe with network and weights.
        data: The images.
        rows: The rows to use.
        accelerator: As for ``fit``.
        on_step: Called as ``on_step(done, total)`` after each batch.
    """
    keep_large_blocks()
    started = time.perf_counter()
    torch.manual_seed(recipe.seed)
    classes = len(data.catalog.findings or data.catalog.label_space)
    classifier = network_of(recipe, classes=classes).eval()
    device = best_device(accelerator)
    graph = None
    if device == "cpu":  # where the exported graph is twice as fast as torch
        graph = trace(classifier, recipe.data.input)
        features_of = _by_graph(graph)
    else:
        features_of = _by_network(classifier, device)
    values = _features(features_of, data, rows, on_step)
    classifier.cpu()
    row_of = {row: place for place, row in enumerate(rows)}
    return Features(classifier, graph, row_of, values, device, time.perf_counter() - started)


def probe_logits(
    recipe: Recipe,
    data: PreparedData,
    features: Features,
    training: Sequence[int],
    scored: Sequence[int],
) -> NDArray[np.float64]:
    """Return the logits of some rows by a probe that is fitted on others.

    Args:
        recipe: Recipe, of which ``seed`` and ``balance`` are used.
        data: The images.
        features: Features of all these rows.
        training: Rows to fit the probe on.
        scored: Rows to score.

    Returns:
        For two classes, the logit of the second against the first, [n]; for more, that of each, [n,
            K].

    Raises:
        DataError: There are too few patients for cross-validation.
    """
    labels = data.catalog.select(training).class_numbers
    groups = np.array(data.cohort.groups)[list(training)]
    weights, bias = fit_logistic(
        features.of(training), labels, groups, seed=recipe.seed, balanced=recipe.data.balance
    )
    logits: NDArray[np.float64] = features.of(scored) @ weights.T + bias
    return logits[:, 0] if logits.shape[1] == 1 else logits


def fit_probe(
    recipe: Recipe,
    data: PreparedData,
    *,
    folder: RunFolder,
    accelerator: str = "auto",
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    known: Features | None = None,
) -> Fitted:
    """Return a classifier whose last layer was fitted on the frozen network's features.

    Writes one row into ``log.csv``. Images are not augmented: the features are computed once.

    Args:
        recipe: Recipe with network and weights; ``seed`` determines the folds.
        data: The images; ``train`` rows are used to fit the probe and choose the penalty, ``val``
            rows only for the log.
        folder: Folder of the log.
        accelerator: As for ``fit``.
        on_epoch: Called with the row of the log.
        on_step: Called as ``on_step(done, total)`` after each batch of features.
        known: Features of these images, if computed before.

    Raises:
        OptionError: The network's last layer is not linear.
        DataError: There are too few patients for cross-validation.
    """
    keep_large_blocks()
    started = time.perf_counter() - (known.seconds if known else 0.0)
    space, findings = data.catalog.label_space, data.catalog.findings
    rows = {part: data.split.rows(part) for part in ("train", "val")}
    both = [*rows["train"], *rows["val"]]
    if known is None:
        known = probe_features(recipe, data, both, accelerator=accelerator, on_step=on_step)
    classifier, graph, features = known.classifier, known.graph, known.of(both)
    chosen = data.catalog.select(both)
    labels: NDArray[Any] = chosen.finding_labels if findings else chosen.class_numbers
    learnt = len(rows["train"])
    groups = np.array(data.cohort.groups)[rows["train"]]
    fit = fit_findings if findings else fit_logistic
    weights, bias = fit(
        features[:learnt], labels[:learnt], groups, seed=recipe.seed, balanced=recipe.data.balance
    )
    put_last_layer(classifier, weights, bias)
    logits = features @ weights.T + bias
    seconds = time.perf_counter() - started
    row = (
        findings_row(logits, labels, learnt, seconds=seconds)
        if findings
        else _row(logits, labels, learnt, space, seconds=seconds)
    )
    write_log(folder.log, [row])
    if on_epoch:
        on_epoch(row)
    return Fitted(
        classifier=classifier,
        epochs=(row,),
        best=row,
        seconds=time.perf_counter() - started,
        precision="float32",
        device=known.device,
        interrupted=False,
        leader=True,
        traced=Traced(graph, features[:learnt]) if graph else None,
    )


def _features(
    features_of: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    data: PreparedData,
    rows: Sequence[int],
    on_step: Callable[[int, int], None] | None,
) -> NDArray[np.float32]:
    """Return the pooled features of catalog rows, [n, features]."""
    count = -(-len(rows) // _BATCH)
    parts = []
    for done, pixels in enumerate(data.batches(rows, size=_BATCH), 1):
        parts.append(features_of(pixels))
        if on_step:
            on_step(done, count)
    return np.concatenate(parts)


def _by_graph(graph: onnx.ModelProto) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)

    def features_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run(["features"], {"pixels": pixels[:, None]})[0]
        return found

    return features_of


def _by_network(
    classifier: Classifier, device: str
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    network = classifier.to(device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def features_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = network.pooled(to_unit(torch.from_numpy(pixels)[:, None].to(device)))
        values: NDArray[np.float32] = found.float().cpu().numpy()
        return values

    return features_of


def put_last_layer(
    classifier: Classifier, weights: NDArray[np.float64], bias: NDArray[np.float64]
) -> None:
    """Set the last layer to output the logits, -z / 2 and z / 2 for two classes."""
    layer = classifier.network.last_layer
    if not isinstance(layer, nn.Linear):
        raise OptionError(
            "probe", must="used with a network whose last layer is linear", was=type(layer)
        )
    if len(bias) == 1 and not classifier.multilabel:
        weights, bias = (np.concatenate((-each / 2, each / 2)) for each in (weights, bias))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights))
        layer.bias.copy_(torch.from_numpy(bias))


def findings_row(
    logits: NDArray[np.float64], labels: NDArray[np.int8], learnt: int, *, seconds: float
) -> Epoch:
    """Return the row of the log: means over the labels of all findings, and the mean area.

    Args:
        logits: Logits of each finding, [n, F].
        labels: 1, 0, or -1 without a label; [n, F].
        learnt: Number of training images, which come first; the others are validation images.
        seconds: Duration.
    """
    known, truth = labels >= 0, (labels == 1).astype(np.int64)
    losses, right = log_loss(logits, truth), (logits >= 0) == (labels == 1)
    training, scored = known.copy(), known.copy()
    training[learnt:], scored[:learnt] = False, False
    areas = [
        area_under_roc(truth[rows, place], logits[rows, place])
        for place, rows in enumerate(scored.T)
    ]
    there = [area for area in areas if area is not None]
    return Epoch(
        epoch=1,
        loss=float(losses[training].mean()),
        accuracy=float(right[training].mean()),
        val_loss=float(losses[scored].mean()),
        val_accuracy=float(right[scored].mean()),
        val_auc=float(np.mean(there)) if there else float("nan"),
        seconds=round(seconds, 3),
        images_per_second=round(learnt / seconds, 1),
    )


def _row(
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    learnt: int,
    space: LabelSpace,
    *,
    seconds: float,
) -> Epoch:
    if len(space) == 2:
        ranked, positive = logits[:, 0], labels == 1
        losses, right = log_loss(ranked, labels), (ranked >= 0) == positive
    else:
        inside = np.array(space.is_positive)
        ranked, positive = group_log_odds(logits, inside), inside[labels]
        log_probability = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        losses, right = (
            -log_probability[np.arange(len(log_probability)), labels],
            log_probability.argmax(axis=1) == labels,
        )
    return Epoch(
        epoch=1,
        loss=float(losses[:learnt].mean()),
        accuracy=float(right[:learnt].mean()),
        val_loss=float(losses[learnt:].mean()),
        val_accuracy=float(right[learnt:].mean()),
        val_auc=float(roc_auc_score(positive[learnt:], ranked[learnt:])),
        seconds=round(seconds, 3),
        images_per_second=round(learnt / seconds, 1),
    )

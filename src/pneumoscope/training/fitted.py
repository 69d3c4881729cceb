"""Trained networks, from memory or from a run folder."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pneumoscope.errors import DataError
from pneumoscope.models.registry import Classifier
from pneumoscope.runs import RunFolder
from pneumoscope.training.log import Epoch
from pneumoscope.training.network import network_of
from pneumoscope.training.parts import Keep
from pneumoscope.training.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """A network of which only the last layer was trained, as a graph.

    Attributes:
        graph: The result of ``export.trace``, with another last layer.
        features: Input of that layer for each training image, float32 [n, d].
    """

    graph: onnx.ModelProto
    features: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The result of a training.

    Attributes:
        classifier: The network with the weights of the best epoch, on the CPU, in evaluation mode.
        epochs: The log.
        best: The epoch whose weights were kept: that of the lowest validation loss, or the last.
        seconds: Duration of the training.
        precision: ``float32`` or ``bfloat16``.
        device: The kind of device: ``cpu``, ``cuda``, ``mps``.
        interrupted: Whether training was interrupted by the user.
        leader: Whether this process writes the results.
        traced: The exported graph of a probe, for the model file.
    """

    classifier: Classifier
    epochs: tuple[Epoch, ...]
    best: Epoch
    seconds: float
    precision: str
    device: str
    interrupted: bool
    leader: bool
    traced: Traced | None = None


def kept_epoch(rows: Sequence[Epoch], keep: Keep) -> Epoch:
    """Return the epoch of a log whose weights are kept."""
    return rows[-1] if keep == "last" else min(rows, key=lambda row: row.val_loss)


def load_trained(folder: RunFolder, recipe: Recipe) -> Classifier:
    """Return the network of a run with its kept weights, ready for export.

    Raises:
        DataError: The run has no matching checkpoint.
        OptionError: The recipe names an unknown model.
    """
    kept = folder.checkpoints / "best.ckpt"
    if not kept.is_file():
        hint = (
            "linear probes have no checkpoint; their network is in model.onnx"
            if recipe.learning.probe
            else "the run has probably not completed an epoch"
        )
        raise DataError(f"{kept}: no such checkpoint; {hint}.")
    own = _weights(kept)
    offset = own.get("classifier.logit_offset")
    classifier = network_of(recipe, classes=2 if offset is None else len(offset))
    return _filled(classifier, own, kept)


def with_weights(classifier: Classifier, kept: Path) -> Classifier:
    """Return a classifier with the weights of a checkpoint, on the CPU, in evaluation mode.

    Raises:
        DataError: There is no matching checkpoint.
    """
    return _filled(classifier, _weights(kept), kept)


def _filled(classifier: Classifier, weights: dict[str, Tensor], kept: Path) -> Classifier:
    prefix = "classifier."
    own = {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
    try:
        classifier.cpu().load_state_dict(own)
    except RuntimeError as fault:
        raise DataError(f"{kept}: does not fit the network of its recipe ({fault}).") from fault
    return classifier.eval()


def _weights(path: Path) -> dict[str, Tensor]:
    """Return the weights saved by Lightning; only tensors and plain values are loaded."""
    try:
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)[
            "state_dict"
        ]
    except (OSError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as fault:
        raise DataError(f"{path}: not a readable checkpoint ({fault}).") from fault
    return weights

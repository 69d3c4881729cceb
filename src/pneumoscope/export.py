"""Trained network → one-file model, and the proof that both give the same numbers."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from pneumoscope.errors import ExportError
from pneumoscope.models.registry import Classifier
from pneumoscope.reader.bundle import KEY, ModelInfo
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.verify import finish
from pneumoscope.runs import written_whole
from pneumoscope.training.augment import to_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 1e-4
"""The largest difference in probability between the graph and the network (float32)."""


class ReaderGraph(nn.Module):
    """The whole way from prepared pixels to probabilities, as it is exported."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(
        self, pixels: UInt8[Tensor, "n 1 height width"]
    ) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"]]:
        """Return logits and probabilities in the order of the classes."""
        logits = self.classifier(to_unit(pixels))
        return logits, logits.softmax(1)


def export(
    classifier: Classifier, path: Path, *, info: ModelInfo, check: NDArray[np.uint8]
) -> float:
    """Write the model file; return the largest difference in probability to the network.

    The file appears only after the graph, run by ONNX Runtime, agreed with the network on images.

    Args:
        classifier: The trained network, in evaluation mode, on the CPU.
        path: Where the file goes.
        info: What it says of itself.
        check: Prepared images to compare on, uint8 [n, height, width].

    Raises:
        ExportError: They differ by more than ``TOLERANCE``.
        OutputError: The file cannot be written.
    """
    graph = ReaderGraph(classifier).eval()
    with written_whole(path) as temporary:
        _write(graph, info, temporary)
        predictor = Predictor(temporary, gated=False)
        difference = _largest_difference(graph, predictor, check)
        if not difference <= TOLERANCE:  # NaN must not pass
            raise ExportError(
                f"{path}: not written, since the exported graph differs from the network by "
                f"{difference:.2g} in probability ({TOLERANCE:g} is allowed). "
                "Please report it with the versions of torch and onnxruntime."
            )
        finish(temporary)
    return difference


def network_probabilities(
    classifier: Classifier, pixels: NDArray[np.uint8], *, batch_size: int = 32
) -> NDArray[np.float32]:
    """Return the probabilities [n, 2] that the network itself gives for prepared pixels."""
    graph = ReaderGraph(classifier).eval()
    with torch.inference_mode():
        parts = [
            graph(torch.from_numpy(pixels[start : start + batch_size, np.newaxis]))[1].numpy()
            for start in range(0, len(pixels), batch_size)
        ]
    return np.concatenate(parts)


def _largest_difference(
    graph: ReaderGraph, predictor: Predictor, pixels: NDArray[np.uint8]
) -> float:
    expected = network_probabilities(graph.classifier, pixels)
    found = [predictor.run(pixels[i : i + 16])[1] for i in range(0, len(pixels), 16)]
    return float(np.abs(np.concatenate(found) - expected).max())


def _write(graph: ReaderGraph, info: ModelInfo, path: Path) -> None:
    example = torch.zeros((2, 1, *info.input.shape), dtype=torch.uint8)
    with _quiet_exporter():
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            input_names=["pixels"],
            output_names=["logits", "probabilities"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            external_data=False,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - dynamo=True always returns one
    model = program.model_proto
    model.producer_name = "pneumoscope"
    for entry in list(model.metadata_props):
        model.metadata_props.remove(entry)
    onnx.helper.set_model_props(model, {KEY: info.to_json()})
    for node in model.graph.node:  # the exporter notes stack traces of this machine
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


@contextlib.contextmanager
def _quiet_exporter():  # type: ignore[no-untyped-def]
    """Keep the exporter's progress and its own deprecation notes from the user's terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)

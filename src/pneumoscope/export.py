"""Export a trained network to a model file, and verify that their outputs agree."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.func import functional_call

from pneumoscope.errors import ExportError
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.ensemble import Averaged
from pneumoscope.models.registry import Classifier, to_unit
from pneumoscope.reader.model_file.bundle import Bundle, open_bundle
from pneumoscope.reader.model_file.metadata import (
    CALIBRATION_BIAS,
    CALIBRATION_SCALE,
    KEY,
    ModelInfo,
)
from pneumoscope.reader.model_file.verify import finish
from pneumoscope.runs import written_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 1e-4
"""The largest difference in probability between the graph and the network (float32)."""

HALF_TOLERANCE = 0.02
"""The same for weights stored in half precision."""

_BATCH = 32
_LARGE = 256  # values; below this, a node would need more space than it saves
_STAND_INS = (0.7345129, 0.2381573)


class ReaderGraph(nn.Module):
    """The computation from prepared pixels to probabilities, as exported.

    Between logits and probabilities is the calibration: the difference of the two logits, or each
    logit for more classes, is multiplied by ``calibration_scale``, and ``calibration_bias`` is
    added. Both are initializers of the exported graph under these names, scalars for two classes
    and one value per class for more classes and for findings, so that a calibration that is fitted
    later can be written into the file without torch (``workflow.recalibrate``). The logits are not
    changed.
    """

    calibration_scale: Tensor
    calibration_bias: Tensor

    def __init__(self, classifier: Classifier | Averaged) -> None:
        super().__init__()
        self.classifier = classifier
        several = (classifier.classes,) if classifier.classes > 2 or classifier.multilabel else ()
        self.register_buffer(CALIBRATION_SCALE, torch.ones(several))
        self.register_buffer(CALIBRATION_BIAS, torch.zeros(several))

    def forward(self, pixels: UInt8[Tensor, "n 1 height width"]) -> dict[str, Tensor]:
        """Return the outputs by name.

        ``logits`` and ``probabilities`` [n, K] in the order of the classes, or of findings, each of
        which has its own probability; ``features`` [n, d], the input of the last layer; and
        ``evidence``, [n, rows, columns] for two classes, otherwise [n, K, rows, columns], the
        contributions to the logits, if supported by the network.
        """
        logits, features, evidence = self.classifier.explained(to_unit(pixels))
        if self.classifier.multilabel:
            probabilities = (logits * self.calibration_scale + self.calibration_bias).sigmoid()
        elif self.classifier.classes > 2:
            probabilities = (logits * self.calibration_scale + self.calibration_bias).softmax(1)
        else:
            line = (logits[:, 1:] - logits[:, :1]) * self.calibration_scale + self.calibration_bias
            probabilities = torch.cat((torch.zeros_like(line), line), 1).softmax(1)
        named = {"logits": logits, "probabilities": probabilities, "features": features}
        return named if evidence is None else {**named, "evidence": evidence}


def export(
    classifier: Classifier | Averaged,
    path: Path,
    *,
    info: ModelInfo,
    check: NDArray[np.uint8],
    half: bool = False,
    graph: onnx.ModelProto | None = None,
) -> float:
    """Write the model file; return the largest difference in probability to the network.

    The file only appears after the graph, run by ONNX Runtime, agreed with the network on images.

    Args:
        classifier: The trained network, in evaluation mode, on the CPU: from grey pixels in [0, 1]
            to the logit of each class.
        path: Path of the model file.
        info: Metadata of the file.
        check: Prepared images for the comparison, uint8 [n, height, width].
        half: Whether to store the weights in half precision; computations still use float32.
        graph: The result of ``trace`` for the same network before its last layer was fitted, which
            saves the time of tracing.

    Raises:
        ExportError: The probabilities differ by more than ``TOLERANCE``, or ``HALF_TOLERANCE`` for
            half precision, or the other outputs by ten times as much of their largest value.
        OutputError: The file cannot be written.
    """
    network = ReaderGraph(classifier).eval()
    with written_whole(path) as temporary:
        model = _with_last_layer(graph, network) if graph is not None else None
        _write(model or _traced(network, info.input), info, temporary, half=half)
        differences = _differences(network, open_bundle(temporary), check)
        for name, difference in differences.items():
            allowed = HALF_TOLERANCE if half else TOLERANCE
            if name != "probabilities":  # of sums of many values, which round more
                allowed *= 10
            if not difference <= allowed:  # NaN must not be accepted
                raise ExportError(
                    f"{path}: not written, because the exported graph differs from the network by "
                    f"{difference:.2g} in its {name} ({allowed:g} is allowed). Please report it "
                    "with the versions of torch and onnxruntime."
                )
        finish(temporary)
    return differences["probabilities"]


def network_logits(
    classifier: Classifier | Averaged, batches: Iterable[NDArray[np.uint8]]
) -> NDArray[np.float64]:
    """Return the logits of the network for prepared images.

    For two classes, the logit of the second against the first, [n]; for more, and for findings, the
    logit of each, [n, K].
    """
    graph = ReaderGraph(classifier).eval()
    logits = np.concatenate([_run(graph, pixels)["logits"] for pixels in batches])
    return own_logits(logits, multilabel=classifier.multilabel)


def own_logits(logits: NDArray[np.float32], *, multilabel: bool = False) -> NDArray[np.float64]:
    """Return the logits of a graph, [n, K], in the form of ``network_logits``: [n] for two."""
    exact = logits.astype(np.float64)
    if multilabel or exact.shape[1] != 2:
        return exact
    difference: NDArray[np.float64] = np.diff(exact).ravel()
    return difference


def _run(graph: ReaderGraph, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    with torch.inference_mode():
        outputs = graph(torch.from_numpy(pixels[:, np.newaxis]))
    return {name: values.numpy() for name, values in outputs.items()}


def _differences(graph: ReaderGraph, bundle: Bundle, pixels: NDArray[np.uint8]) -> dict[str, float]:
    """Return the largest difference of each output.

    That of probabilities is absolute, the others are relative to the largest value of the output,
    or to 1 if that is smaller.
    """
    found: dict[str, float] = {}
    for start in range(0, len(pixels), _BATCH):
        batch = pixels[start : start + _BATCH]
        expected = _run(graph, batch)
        for name, values in zip(expected, bundle.run(batch, [*expected]), strict=True):
            own = expected[name]
            scale = 1.0 if name == "probabilities" else max(1.0, float(np.abs(own).max()))
            difference = float(np.abs(values - own).max()) / scale
            found[name] = float(np.maximum(found.get(name, 0.0), difference))  # NaN if one is
    return found


def trace(classifier: Classifier, spec: InputSpec) -> onnx.ModelProto:
    """Return the graph of a network, for computing ``features`` before the last layer is fitted."""
    return _traced(ReaderGraph(classifier).eval(), spec, replaceable=True)


def _traced(graph: ReaderGraph, spec: InputSpec, *, replaceable: bool = False) -> onnx.ModelProto:
    """Return the graph as the exporter writes it.

    Args:
        graph: The network.
        spec: Its input.
        replaceable: Whether the weights of the last layer can be replaced in the result. The
            exporter otherwise computes constants from them, as for the evidence, which would stay.
    """
    free = _last_layer(graph) if replaceable else {}
    example = torch.zeros((2, 1, *spec.shape), dtype=torch.uint8)
    with torch.inference_mode():
        names = graph(example)
    with _quiet_exporter(), _visible_calibration(graph), _nothing_in_place(graph):
        program = torch.onnx.export(
            _WithInputs(graph, tuple(free)).eval() if free else graph,
            (example, *free.values()),
            dynamo=True,
            input_names=["pixels", *free],
            output_names=list(names),
            dynamic_shapes=(
                {0: torch.export.Dim("n")},
                *([tuple({} for _ in free)] if free else []),
            ),
            external_data=False,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - dynamo=True always returns one
    model = program.model_proto
    if free:
        _close(model, free)
    _write_calibration(model, graph)
    return model


class _WithInputs(nn.Module):
    """A reader graph that takes some of its weights as inputs."""

    def __init__(self, graph: ReaderGraph, names: tuple[str, ...]) -> None:
        super().__init__()
        self.reader = graph  # the exporter cannot handle a module of the name "graph"
        self.names = names

    def forward(self, pixels: Tensor, *weights: Tensor) -> dict[str, Tensor]:
        values = dict(zip(self.names, weights, strict=True))
        outputs: dict[str, Tensor] = functional_call(self.reader, values, (pixels,))
        return outputs


def _close(model: onnx.ModelProto, weights: Mapping[str, Tensor]) -> None:
    """Turn the inputs of a graph of ``_WithInputs`` into initializers."""
    own = "reader."
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.removeprefix(own)
    for node in model.graph.node:
        node.input[:] = [name.removeprefix(own) for name in node.input]
    for value in [value for value in model.graph.input if value.name in weights]:
        model.graph.input.remove(value)
    for name, values in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values.detach().numpy(), name))


def _last_layer(graph: ReaderGraph) -> dict[str, Tensor]:
    """Return the weights of the last layer by name; empty for several networks."""
    if not isinstance(graph.classifier, Classifier):
        return {}
    last = list(graph.classifier.network.last_layer.parameters())
    return {
        name: weights
        for name, weights in graph.named_parameters()
        if any(weights is own for own in last)
    }


def _with_last_layer(traced: onnx.ModelProto, graph: ReaderGraph) -> onnx.ModelProto:
    """Return the result of ``trace`` with the current weights of the last layer."""
    model = onnx.ModelProto()
    model.CopyFrom(traced)
    there = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, weights in _last_layer(graph).items():
        there[name].CopyFrom(onnx.numpy_helper.from_array(weights.detach().numpy(), name))
    return model


def _write(model: onnx.ModelProto, info: ModelInfo, path: Path, *, half: bool = False) -> None:
    if half:
        _store_in_half(model)
    model.producer_name = "pneumoscope"
    for entry in list(model.metadata_props):
        model.metadata_props.remove(entry)
    onnx.helper.set_model_props(model, {KEY: info.to_json()})
    for node in model.graph.node:  # the exporter records stack traces of this machine
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


@contextlib.contextmanager
def _nothing_in_place(graph: ReaderGraph) -> Iterator[None]:
    """Make activations return new tensors, since in-place changes slow down the exporter."""
    changed = [layer for layer in graph.modules() if getattr(layer, "inplace", False)]
    try:
        for layer in changed:
            layer.inplace = False  # type: ignore[assignment]
        yield
    finally:
        for layer in changed:
            layer.inplace = True  # type: ignore[assignment]


@contextlib.contextmanager
def _visible_calibration(graph: ReaderGraph) -> Iterator[None]:
    """Set the calibration to values that occur nowhere else in the graph.

    The exporter would remove a factor of 1 and a summand of 0, and merge equal constants.
    """
    buffers = (graph.calibration_scale, graph.calibration_bias)
    kept = [buffer.clone() for buffer in buffers]
    try:
        for buffer, stand_in in zip(buffers, _STAND_INS, strict=True):
            buffer.fill_(stand_in)
            if buffer.ndim:
                buffer.mul_(torch.linspace(1, 2, len(buffer)))
        yield
    finally:
        for buffer, value in zip(buffers, kept, strict=True):
            buffer.copy_(value)


def _store_in_half(model: onnx.ModelProto) -> None:
    """Store large float32 tensors as float16, each with a node that converts it back.

    The runtime folds these nodes when it opens the file, so inference is as fast and uses float32;
    only the weights are rounded.
    """
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or math.prod(tensor.dims) < _LARGE:
            continue
        name = tensor.name
        values = onnx.numpy_helper.to_array(tensor)
        if np.abs(values).max(initial=0) >= np.finfo(np.float16).max:
            continue  # float16 would overflow
        stored = f"{name}.half"
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _write_calibration(model: onnx.ModelProto, graph: ReaderGraph) -> None:
    values = {CALIBRATION_SCALE: graph.calibration_scale, CALIBRATION_BIAS: graph.calibration_bias}
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, value in values.items():
        if name not in found:
            raise ExportError(
                f"the exporter omitted {name!r} from the graph. Please report it with the "
                "versions of torch and onnxscript."
            )
        found[name].CopyFrom(onnx.numpy_helper.from_array(value.numpy(), name))


@contextlib.contextmanager
def _quiet_exporter():  # type: ignore[no-untyped-def]
    """Hide the exporter's progress and deprecation warnings."""
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

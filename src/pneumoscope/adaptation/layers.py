"""The convolutions of an exported graph, and the moments of their channels.

Exported graphs contain no batch normalisation: it is folded into the preceding convolution, whose
output then has, on training images, the mean and the variance given by the normalisation. A change
of image statistics can therefore be measured and corrected at the output of a convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

SMALLEST_VARIANCE = 1e-5
"""Added to variances before division, as in batch normalisation."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution.

    Attributes:
        node: Index among the nodes of the graph.
        output: Name of the output.
        weight: The tensor with the weights, in any precision.
        bias: The tensor with the bias; empty if there is none.
        channels: Number of output channels.
        kind: ``stem`` for the first one, ``depthwise``, ``linear`` if no activation follows it, or
            ``pointwise``.
    """

    node: int
    output: str
    weight: str
    bias: str
    channels: int
    kind: str


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and variance of every channel over the positions of images.

    The channels are those of all layers, one layer after the other.

    Attributes:
        mean: Mean of each channel, float64 [channels]; [classes, channels] if by class.
        variance: Variance of each channel, in the same shape.
        weight: Number of images; float64 [classes] if by class.
    """

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    weight: NDArray[np.float64]

    def mixed(self, shares: NDArray[np.float64]) -> Moments:
        """Return the moments of images of all classes in these shares, [classes]."""
        part = shares / shares.sum()
        mean = part @ self.mean
        second = part @ (self.variance + self.mean**2)
        return Moments(mean, np.maximum(second - mean**2, 0.0), self.weight.sum())


def layers_of(model: onnx.ModelProto, path: Path) -> tuple[Layer, ...]:
    """Return the convolutions of a graph that are measured and adapted, in its order.

    Those are the first one and the depthwise ones; all of them in a graph without depthwise ones.

    Raises:
        ModelFileError: The graph has no convolutions, or they use integer arithmetic.
    """
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    takers: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node.op_type)
    if any(node.op_type == "DequantizeLinear" for node in graph.node):
        raise ModelFileError(
            f"{path}: its weights are 8-bit integers, which cannot be adapted; adapt "
            "the file with weights in float16 or float32."
        )
    found: list[Layer] = []
    for place, node in enumerate(graph.node):
        if node.op_type != "Conv":
            continue
        weight, *rest = (_stored(name, made_by) for name in node.input[1:] if name)
        bias = rest[0] if rest else ""
        if weight not in tensors or (bias and bias not in tensors):
            continue  # its weights are computed, so it has no weights of its own
        channels = int(tensors[weight].dims[0])
        kind = _kind(node, first=not found, channels=channels, takers=takers)
        found.append(Layer(place, node.output[0], weight, bias, channels, kind))
    if any(layer.kind == "depthwise" for layer in found):
        # They occur in every block, and are as informative as all convolutions, in a third of the
        # space.
        found = [layer for layer in found if layer.kind in {"stem", "depthwise"}]
    if not found:
        raise ModelFileError(
            f"{path}: its graph has no convolutions, so there are no statistics to adapt."
        )
    return tuple(found)


def parts(layers: Sequence[Layer]) -> list[slice]:
    """Return the positions of each layer's channels among those of all layers."""
    ends = np.cumsum([layer.channels for layer in layers])
    return [
        slice(int(end) - layer.channels, int(end)) for layer, end in zip(layers, ends, strict=True)
    ]


def _stored(name: str, made_by: dict[str, onnx.NodeProto]) -> str:
    """Return a tensor by name, which may be stored in half precision."""
    node = made_by.get(name)
    return node.input[0] if node is not None and node.op_type == "Cast" else name


def _kind(node: onnx.NodeProto, *, first: bool, channels: int, takers: dict[str, list[str]]) -> str:
    if first:
        return "stem"
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    if groups == channels:
        return "depthwise"
    straight = all(taker in {"Conv", "Add"} for taker in takers.get(node.output[0], ()))
    return "linear" if straight else "pointwise"

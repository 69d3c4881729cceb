"""Change the channel statistics of the convolutions of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.adaptation.layers import SMALLEST_VARIANCE, Layer, Moments, parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx


def renormalised(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    *,
    reference: Moments,
    site: Moments,
    share: float,
) -> onnx.ModelProto:
    """Return a graph whose channels have, on a site's images, the statistics of training images.

    A channel y of mean m and variance v on the site becomes (y - m) sqrt(u / v') + m', where u is
    the variance of the reference, v' is the given share of the way from u to v, and m' the same
    share of the way from m to the mean of the reference. Since y is linear in weights and bias,
    only these are changed, and no node is added.

    Args:
        model: The graph; it is not changed.
        layers: The convolutions to adapt.
        reference: Moments of their channels on training images, with the class mixture of the site.
        site: Moments on the site's images, with preceding layers already adapted.
        share: Strength of the adaptation, from 0 (no change) to 1.
    """
    import onnx as package  # noqa: PLC0415 - of the extra "adapt"
    from onnx import numpy_helper  # noqa: PLC0415

    changed = package.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    between = (1 - share) * reference.variance + share * site.variance
    scale = np.sqrt((reference.variance + SMALLEST_VARIANCE) / (between + SMALLEST_VARIANCE))
    goal = (1 - share) * site.mean + share * reference.mean
    for layer, where in zip(layers, parts(layers), strict=True):
        tensor = tensors[layer.weight]
        weight = numpy_helper.to_array(tensor)
        by = scale[where]
        moved = weight * by.reshape(-1, *(1,) * (weight.ndim - 1))
        tensor.CopyFrom(numpy_helper.from_array(moved.astype(weight.dtype), layer.weight))
        known = numpy_helper.to_array(tensors[layer.bias]) if layer.bias else np.float32(0)
        # A new float32 tensor: half precision has too few digits for a sum of two moments, and
        # equal tensors of several layers may be stored only once.
        name = f"{layer.output}_bias"
        bias = np.asarray((known - site.mean[where]) * by + goal[where], np.float32)
        stored = numpy_helper.from_array(bias, name)
        if name in tensors:  # in a graph that was adapted before
            tensors[name].CopyFrom(stored)
        else:
            graph.initializer.append(stored)
        node = graph.node[layer.node]
        del node.input[2:]
        node.input.append(name)
    return changed

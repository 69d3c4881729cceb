"""Measure the moments of channels with ONNX Runtime, image by image of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pneumoscope.adaptation.layers import SMALLEST_VARIANCE, Layer, Moments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import onnx
    import onnxruntime
    from numpy.typing import NDArray

_MEANS, _VARIANCES = "channel_means", "channel_variances"
_PLACES, _IMAGES = "channel_places", "channel_images"
_KNOWN = "known_mean", "known_variance"
_AXES_ARE_INPUTS = 18  # of ReduceMean, from this opset version on


class Batch(NamedTuple):
    """A batch of images that are measured together.

    Attributes:
        pixels: uint8 [n, height, width].
        classes: Membership of each image in each class, [n, classes]: labels as 0 and 1, or
            probabilities.
    """

    pixels: NDArray[np.uint8]
    classes: NDArray[np.float64]


def by_class(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    batches: Iterable[Batch],
    *,
    threads: int = 1,
) -> Moments:
    """Return the moments of the output channels of layers for each class.

    Args:
        model: The graph; it is not changed.
        layers: The convolutions to measure.
        batches: The images, with their classes.
        threads: Number of CPU threads.
    """
    session = _session(_measuring(model, layers, None), threads)
    first: NDArray[np.float64] | None = None
    second: NDArray[np.float64] | None = None
    weight: NDArray[np.float64] | None = None
    for batch in batches:
        sums = [
            batch.classes.T @ found
            for found in _moments(session, {"pixels": batch.pixels[:, None]})
        ]
        first = sums[0] if first is None else first + sums[0]
        second = sums[1] if second is None else second + sums[1]
        own = batch.classes.sum(0)
        weight = own if weight is None else weight + own
    assert first is not None and second is not None and weight is not None  # noqa: PT018, S101
    count = np.maximum(weight, 1e-9)[:, None]
    average = first / count
    return Moments(average, np.maximum(second / count - average**2, 0.0), weight)


def behind_adapted(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    batches: Iterable[Batch],
    *,
    reference: Moments,
    share: float,
    threads: int = 1,
) -> Moments:
    """Return the moments of a site's images, with preceding layers already adapted.

    The output of every layer is normalised by the moments of the batch before it reaches the next
    layer, as in a network with batch normalisation in training mode, so a single pass is
    sufficient. Each batch is compared with the moments of training images of the same classes.

    Args:
        model: The graph; it is not changed.
        layers: The convolutions to adapt.
        batches: The site's images, about thirty each, with the class mixture of the whole.
        reference: Moments of training images, for each class.
        share: Share of the difference from the reference that is corrected, 0 to 1.
        threads: Number of CPU threads.
    """
    session = _session(_measuring(model, layers, share), threads)
    channels = reference.mean.shape[1]
    images, first, second = 0.0, np.zeros(channels), np.zeros(channels)
    for batch in batches:
        known = reference.mixed(batch.classes.mean(0))
        feed: dict[str, NDArray[Any]] = {
            "pixels": batch.pixels[:, None],
            _KNOWN[0]: known.mean.astype(np.float32),
            _KNOWN[1]: known.variance.astype(np.float32),
        }
        mean, square = _moments(session, feed)
        images += len(batch.pixels)
        first += mean.sum(0)
        second += square.sum(0)
    average = first / images
    return Moments(average, np.maximum(second / images - average**2, 0.0), np.array(images))


def _moments(
    session: onnxruntime.InferenceSession, feed: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and mean square of each channel and image, [n, channels] each.

    The graph returns variances: in float32, the mean square of a channel that is nearly constant
    does not determine its variance, not even the sign.
    """
    mean, variance = (
        found.astype(np.float64) for found in session.run([_MEANS, _VARIANCES], dict(feed))
    )
    return mean, variance + mean**2


def _session(content: bytes, threads: int) -> onnxruntime.InferenceSession:
    import onnxruntime  # noqa: PLC0415 - only if there is something to run

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _measuring(model: onnx.ModelProto, layers: Sequence[Layer], share: float | None) -> bytes:
    """Return a graph whose outputs are mean and variance of each image, [n, channels].

    With a share, the layers are normalised, and the graph takes the moments of the channels as
    input.
    """
    import onnx as package  # noqa: PLC0415 - of the extra "adapt"

    helper = package.helper
    changed = package.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    by_place = {layer.node: number for number, layer in enumerate(layers)}
    writer = _Writer(graph, changed.opset_import[0].version, share)
    nodes: list[onnx.NodeProto] = []
    if share is not None:
        sizes = np.array([layer.channels for layer in layers])
        nodes += writer.known_of(sizes)
    for place, node in enumerate(graph.node):
        nodes.append(node)
        if place in by_place:
            nodes += writer.measured(node, by_place[place])
    for total, kind in ((_MEANS, "mean"), (_VARIANCES, "within")):
        flat = [f"{kind}_{number}_flat" for number in range(len(layers))]
        nodes += [
            helper.make_node("Flatten", [f"{kind}_{number}"], [name], axis=1)
            for number, name in enumerate(flat)
        ]
        nodes.append(helper.make_node("Concat", flat, [total], axis=1))
    kept = [package.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:], graph.output[:], graph.value_info[:]
    graph.node.extend(kept)
    graph.output.extend(
        helper.make_tensor_value_info(name, package.TensorProto.FLOAT, [None, None])
        for name in (_MEANS, _VARIANCES)
    )
    if share is not None:
        graph.input.extend(
            helper.make_tensor_value_info(name, package.TensorProto.FLOAT, [None])
            for name in _KNOWN
        )
    content: bytes = changed.SerializeToString()
    return content


class _Writer:
    """Builds the nodes that follow one convolution."""

    def __init__(self, graph: onnx.GraphProto, opset: int, share: float | None) -> None:
        self._graph = graph
        self._axes_are_inputs = opset >= _AXES_ARE_INPUTS
        self._share = share
        if self._axes_are_inputs:
            self._constant(_PLACES, np.array([2, 3]))
            self._constant(_IMAGES, np.array([0]))
        if share is not None:
            self._constant("share_new", np.array(share))
            self._constant("share_old", np.array(1 - share))
            self._constant("small", np.array(SMALLEST_VARIANCE))

    def known_of(self, sizes: NDArray[np.int64]) -> list[onnx.NodeProto]:
        """Return the nodes that give each layer its part of the moments."""
        from onnx.helper import make_node  # noqa: PLC0415 - loaded already

        self._constant("sizes", sizes)
        self._constant("column", np.array([1, -1, 1, 1]))
        nodes = []
        for name in _KNOWN:
            names = [f"{name}_{number}" for number in range(len(sizes))]
            flat = [f"{one}_flat" for one in names]
            nodes.append(make_node("Split", [name, "sizes"], flat, axis=0))
            nodes += [
                make_node("Reshape", [one, "column"], [out])
                for one, out in zip(flat, names, strict=True)
            ]
        return nodes

    def measured(self, node: onnx.NodeProto, number: int) -> list[onnx.NodeProto]:
        """Return the nodes that measure and normalise the output of a convolution."""
        from onnx.helper import make_node  # noqa: PLC0415 - loaded already

        name = node.output[0]
        raw = name if self._share is None else f"{name}_raw"
        node.output[0] = raw
        nodes = [
            self._mean_of(raw, f"mean_{number}", _PLACES, [2, 3]),
            make_node("Sub", [raw, f"mean_{number}"], [f"apart_{number}"]),
            make_node("Mul", [f"apart_{number}", f"apart_{number}"], [f"squared_{number}"]),
            self._mean_of(f"squared_{number}", f"within_{number}", _PLACES, [2, 3]),
        ]
        if self._share is None:
            return nodes
        nodes += [
            self._mean_of(f"mean_{number}", f"center_{number}", _IMAGES, [0]),
            self._mean_of(f"within_{number}", f"inside_{number}", _IMAGES, [0]),
            make_node("Sub", [f"mean_{number}", f"center_{number}"], [f"offset_{number}"]),
            make_node("Mul", [f"offset_{number}", f"offset_{number}"], [f"offsets_{number}"]),
            self._mean_of(f"offsets_{number}", f"among_{number}", _IMAGES, [0]),
        ]
        known_mean, known_variance = (f"{known}_{number}" for known in _KNOWN)
        steps = (
            ("Add", ("inside", "among"), "variance_bare"),
            ("Add", ("variance_bare", "small"), "variance"),
            ("Add", (known_variance, "small"), "wanted"),
            ("Mul", ("variance", "share_new"), "variance_new"),
            ("Mul", ("wanted", "share_old"), "variance_old"),
            ("Add", ("variance_new", "variance_old"), "between"),
            ("Div", ("wanted", "between"), "ratio"),
            ("Sqrt", ("ratio",), "scale"),
            ("Sub", (raw, "center"), "centred"),
            ("Mul", ("centred", "scale"), "scaled"),
            ("Mul", ("center", "share_old"), "center_old"),
            ("Mul", (known_mean, "share_new"), "center_new"),
            ("Add", ("center_old", "center_new"), "goal"),
        )
        own = {output for _, _, output in steps} | {"center", "inside", "among"}
        nodes += [
            make_node(
                operator,
                [f"{one}_{number}" if one in own else one for one in inputs],
                [f"{output}_{number}"],
            )
            for operator, inputs, output in steps
        ]
        nodes.append(make_node("Add", [f"scaled_{number}", f"goal_{number}"], [name]))
        return nodes

    def _mean_of(self, source: str, output: str, axes: str, numbers: list[int]) -> onnx.NodeProto:
        from onnx.helper import make_node  # noqa: PLC0415 - loaded already

        if self._axes_are_inputs:
            return make_node("ReduceMean", [source, axes], [output], keepdims=1)
        return make_node("ReduceMean", [source], [output], axes=numbers, keepdims=1)

    def _constant(self, name: str, values: NDArray[Any]) -> None:
        from onnx import numpy_helper  # noqa: PLC0415 - loaded already

        kind = np.int64 if values.dtype.kind == "i" else np.float32
        self._graph.initializer.append(
            numpy_helper.from_array(np.ascontiguousarray(values.astype(kind)), name)
        )

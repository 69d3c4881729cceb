"""torch's ONNX exporter, without work that the tests would repeat.

Tracing a small network takes one to four seconds of processor time, and the tests export about a
hundred networks, most of them of the same layers.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

    from pneumoscope.export import ReaderGraph
    from pneumoscope.images.prepare import InputSpec

FOLDER = "PNEUMOSCOPE_TEST_GRAPHS"
"""The environment variable with the folder of the graphs, which all processes share."""


def read_operators_once() -> None:
    """Make the exporter keep its table of operators, whose parsing takes a second.

    The table is a constant of the installed torch and onnxscript.
    """
    from torch.onnx._internal.exporter import _registration  # noqa: PLC0415 - loads torch

    registry: Any = getattr(_registration, "ONNXRegistry", None)
    if hasattr(registry, "from_torchlib"):
        registry.from_torchlib = staticmethod(functools.cache(registry.from_torchlib))


def trace_once() -> None:
    """Trace equal networks once in all processes of a test run.

    ``seed-cnn`` without batch normalisation is traced once for each structure: the graph is traced
    with random weights, and each export fills in its own. The exporter computes values from the
    weights of other networks, so they are only equal with the same weights.
    """
    from pneumoscope import export  # noqa: PLC0415 - loads torch

    if not hasattr(export._traced, "__wrapped__"):
        export._traced = _kept(export._traced)


def _kept(traced: Any) -> Any:
    @functools.wraps(traced)
    def of(graph: ReaderGraph, spec: InputSpec, *, replaceable: bool = False) -> onnx.ModelProto:
        import onnx  # noqa: PLC0415
        from torch import nn  # noqa: PLC0415

        from pneumoscope.models.seed_cnn import SeedCNN  # noqa: PLC0415

        folder = os.environ.get(FOLDER)
        if folder is None:
            found: onnx.ModelProto = traced(graph, spec, replaceable=replaceable)
            return found
        name = _structure(graph, spec)
        filled = isinstance(getattr(graph.classifier, "network", None), SeedCNN) and not any(
            isinstance(layer, nn.BatchNorm2d) for layer in graph.modules()
        )
        if not filled:
            name = f"{name}-{replaceable}-{_weights(graph)}"
        place = Path(folder) / name
        if not place.exists():
            if filled:
                with _stand_ins(graph):
                    found = traced(graph, spec, replaceable=True)
            else:
                found = traced(graph, spec, replaceable=replaceable)
            temporary = place.with_name(f"{name}.{os.getpid()}")
            temporary.write_bytes(found.SerializeToString())
            temporary.replace(place)
        found = onnx.ModelProto.FromString(place.read_bytes())
        if filled:
            _fill(found, graph)
        return found

    return of


def _structure(graph: ReaderGraph, spec: InputSpec) -> str:
    """Return a digest of the layers and their settings, without their weights."""
    lines = [repr(spec), repr(graph)]
    for name, layer in graph.named_modules():
        plain = {
            key: value
            for key, value in vars(layer).items()
            if isinstance(value, bool | int | float | str | tuple | None)
        }
        lines.append(f"{name} {type(layer)} {sorted(plain.items(), key=str)}")
    lines += [f"{name} {tuple(own.shape)} {own.dtype}" for name, own in graph.state_dict().items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _weights(graph: ReaderGraph) -> str:
    """Return a digest of all tensors."""
    digest = hashlib.sha256()
    for own in graph.state_dict().values():
        digest.update(own.detach().numpy().tobytes())
    return digest.hexdigest()[:16]


@contextmanager
def _stand_ins(graph: ReaderGraph) -> Iterator[None]:
    """Give each tensor values that no other has, so that the exporter merges none of them."""
    import torch  # noqa: PLC0415

    kept = {name: own.clone() for name, own in graph.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for own in graph.state_dict().values():
                if own.is_floating_point():
                    own.copy_(torch.rand(own.shape, generator=generator) + 0.5)
        yield
    finally:
        graph.load_state_dict(kept)


def _fill(model: onnx.ModelProto, graph: ReaderGraph) -> None:
    """Write the weights into the graph; ``export`` compares all its outputs with the network."""
    from onnx import numpy_helper  # noqa: PLC0415

    there = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, own in graph.state_dict().items():
        if own.is_floating_point():
            there[name].CopyFrom(numpy_helper.from_array(own.detach().numpy(), name))

"""A model file that is written in milliseconds; its logit depends on the mean brightness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pneumoscope.images.prepare import InputSpec
from pneumoscope.reader.model_file.metadata import KEY, ModelInfo, OperatingPoint
from pneumoscope.reader.model_file.verify import finish

SPEC = InputSpec(32, 32)
MIDDLE = 100.0
"""The mean grey level for which the probability of the tiny model is one half."""


def tiny_info(**changes: Any) -> ModelInfo:
    """Return the metadata of the tiny model."""
    values: dict[str, Any] = {
        "name": "tiny",
        "input": SPEC,
        "classes": ("NORMAL", "PNEUMONIA"),
        "operating_point": OperatingPoint("probability=0.5", 0.5),
        "training": {"data_fingerprint": "none"},
        **changes,
    }
    return ModelInfo(**values)


def tiny_proto(info: ModelInfo | None = None) -> onnx.ModelProto:
    """Return the graph: logit = (mean - 100) / 10, and its evidence."""
    weights = numpy_helper.from_array(np.array([[0, 0.1]], np.float32), "weights")
    bias = numpy_helper.from_array(np.array([0, -MIDDLE / 10], np.float32), "bias")
    axes = numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    one = numpy_helper.from_array(np.array([1], np.int64), "one")
    nodes = [
        helper.make_node("Cast", ["pixels"], ["grey"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["grey", "axes"], ["features"], keepdims=0),
        helper.make_node("Gemm", ["features", "weights", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("Squeeze", ["grey", "one"], ["flat"]),
        helper.make_node("Constant", [], ["middle"], value_float=MIDDLE),
        helper.make_node("Sub", ["flat", "middle"], ["off"]),
        helper.make_node("Constant", [], ["ten"], value_float=10.0),
        helper.make_node("Div", ["off", "ten"], ["evidence"]),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 1, *SPEC.shape])
    shapes: dict[str, tuple[int, ...]] = {
        "logits": (2,),
        "probabilities": (2,),
        "features": (1,),
        "evidence": SPEC.shape,
    }
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
        for name, shape in shapes.items()
    ]
    graph = helper.make_graph(nodes, "tiny", [pixels], outputs, [weights, bias, axes, one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {KEY: (info or tiny_info()).to_json()})
    return model


def write_tiny(path: Path, info: ModelInfo | None = None) -> Path:
    """Write the tiny model, with self-test and checksum, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(tiny_proto(info), path)
    finish(path)
    return path


def grey_image(mean: int, *, side: int = 96, seed: int = 0) -> np.ndarray:
    """Return pixels with some contrast and this mean, uint8 [side, side]."""
    noise = np.random.default_rng(seed).normal(0, 25, (side // 8, side // 8))
    smooth = np.kron(noise - noise.mean(), np.ones((8, 8)))
    found: np.ndarray = np.clip(mean + smooth, 0, 255).astype(np.uint8)
    return found

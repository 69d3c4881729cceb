"""A small model file with a first and a depthwise convolution, made without a training framework.

The first channel is the brightness of the image, the second its local variation. The logit
increases with the second, so images with structure are positive.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pneumoscope.images.prepare import InputSpec
from pneumoscope.reader.model_file.metadata import (
    CALIBRATION_BIAS,
    CALIBRATION_SCALE,
    KEY,
    ModelInfo,
    OperatingPoint,
)
from pneumoscope.reader.model_file.verify import finish

SPEC = InputSpec(32, 32)


def conv_info(classes: int = 2, **changes: Any) -> ModelInfo:
    names = ("NORMAL", "PNEUMONIA") if classes == 2 else ("NORMAL", "BACTERIA", "VIRUS")
    values: dict[str, Any] = {
        "name": "convolutions",
        "input": SPEC,
        "classes": names,
        "operating_point": OperatingPoint("probability=0.5", 0.5),
        "training": {"data_fingerprint": "none"},
        **({} if classes == 2 else {"positive": names[1:], "group": "PNEUMONIA"}),
        **changes,
    }
    return ModelInfo(**values)


def conv_proto(info: ModelInfo, *, half: bool = False) -> onnx.ModelProto:
    """Return the graph."""
    count = len(info.classes)
    level = np.full((1, 3, 3), 1 / 9)
    edges = np.zeros((1, 3, 3))
    edges[0, 1, 1], edges[0, 1, 2] = 1, -1
    first = np.stack([level, edges, -edges]).astype(np.float16 if half else np.float32)
    middle = np.zeros((3, 1, 3, 3), np.float32)
    middle[:, :, 1, 1] = 1
    last = np.zeros((count, 3), np.float32)
    last[-1] = (0, 200, 200)
    if count == 3:
        last[1] = (0, 0, 300)
    tensors = {
        "grey_levels": np.float32(255),
        "first.half" if half else "first": first,
        "first_bias": np.zeros(3, np.float32),
        "middle": middle,
        "axes": np.array([2, 3], np.int64),
        "last": last,
        "last_bias": np.array([0, *[-10.0] * (count - 1)], np.float32),
        CALIBRATION_SCALE: np.ones(count if count > 2 else (), np.float32),
        CALIBRATION_BIAS: np.zeros(count if count > 2 else (), np.float32),
    }
    cast = [helper.make_node("Cast", ["first.half"], ["first"], to=TensorProto.FLOAT)]
    nodes = [
        *(cast if half else ()),
        helper.make_node("Cast", ["pixels"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["levels", "grey_levels"], ["grey"]),
        helper.make_node("Conv", ["grey", "first", "first_bias"], ["one"]),
        helper.make_node("Relu", ["one"], ["active"]),
        helper.make_node("Conv", ["active", "middle"], ["two"], group=3),
        helper.make_node("ReduceMean", ["two", "axes"], ["features"], keepdims=0),
        helper.make_node("Gemm", ["features", "last", "last_bias"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 1, *SPEC.shape])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
        for name, width in (("logits", count), ("probabilities", count), ("features", 3))
    ]
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "convolutions", [pixels], outputs, kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {KEY: info.to_json()})
    return model


def write_conv(path: Path, info: ModelInfo | None = None, *, half: bool = False) -> Path:
    """Write the model, with self-test and checksum, and return its path."""
    onnx.save(conv_proto(info or conv_info(), half=half), path)
    finish(path)
    return path


def chest_like(
    count: int, *, ill: float, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images and whether they are positive; positive ones have more structure."""
    rng = np.random.default_rng(seed)
    label = (np.arange(count) < round(ill * count)).astype(np.int64)
    label = rng.permutation(label)
    ground = np.linspace(60, 160, 32)[None, None, :] + rng.normal(0, 8, (count, 1, 1))
    size = np.where(label == 1, 22.0, 6.0) * rng.uniform(0.85, 1.15, count)
    pixels = ground + rng.normal(0, 1, (count, 32, 32)) * size[:, None, None]
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8), label

"""The exported graph agrees with the network, or there is no file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from helpers.exporter import FOLDER
from pneumoscope import export as module
from pneumoscope.errors import ExportError
from pneumoscope.export import ReaderGraph, export, trace
from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.models.registry import Classifier, build_model
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.checksum import with_checksum
from pneumoscope.reader.model_file.metadata import (
    CALIBRATION_BIAS,
    CALIBRATION_SCALE,
    ModelInfo,
    OperatingPoint,
)
from pneumoscope.reader.predictor import Predictor


@pytest.fixture(autouse=True)
def _traced_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)


def info_of(spec: InputSpec) -> ModelInfo:
    return ModelInfo("seed-cnn", spec, ("NORMAL", "PNEUMONIA"), OperatingPoint(), {})


def noise(spec: InputSpec, n: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *spec.shape), dtype=np.uint8)


def probabilities(model: Classifier, pixels: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        outputs = ReaderGraph(model).eval()(torch.from_numpy(pixels[:, None]))
    return np.asarray(outputs["probabilities"])


@pytest.mark.parametrize(
    "options", [{}, {"batch_norm": True}, {"filters": [4], "dropout": 0.0}, {"pooling": "stride"}]
)
def test_graph_and_network_agree(tmp_path: Path, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    spec = InputSpec(32, 48)
    model = build_model("seed-cnn", spec, **options).eval()
    pixels = noise(spec)
    assert export(model, tmp_path / "m.onnx", info=info_of(spec), check=pixels) < 1e-5
    predictor = Predictor(tmp_path / "m.onnx")
    for count in (1, 2, 5):  # any batch size
        found = predictor.run(pixels[:count])[1]
        np.testing.assert_allclose(found, probabilities(model, pixels[:count]), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize("output", ["probabilities", "logits", "features", "evidence"])
def test_a_graph_that_disagrees_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    spec = InputSpec(32, 32)
    model = build_model("seed-cnn", spec, filters=[4]).eval()
    honest = module._run

    def other(*given: Any, **named: Any) -> dict[str, Any]:
        found = honest(*given, **named)
        off = np.float32(2e-4 if output == "probabilities" else 2e-2)
        return {**found, output: found[output] + off}

    monkeypatch.setattr(module, "_run", other)
    with pytest.raises(ExportError, match=f"differs from the network by .* in its {output}"):
        export(model, tmp_path / "m.onnx", info=info_of(spec), check=noise(spec))
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_nan_is_not_written(tmp_path: Path) -> None:
    spec = InputSpec(32, 32)
    model = build_model("seed-cnn", spec, filters=[4]).eval()
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(ExportError):
        export(model, tmp_path / "m.onnx", info=info_of(spec), check=noise(spec))
    assert list(tmp_path.iterdir()) == []


def test_the_file_tells_nothing_of_the_machine_that_wrote_it(tmp_path: Path) -> None:
    spec = InputSpec(32, 32)
    model = build_model("seed-cnn", spec, filters=[4]).eval()
    export(model, tmp_path / "m.onnx", info=info_of(spec), check=noise(spec))
    content = (tmp_path / "m.onnx").read_bytes()
    assert str(Path(module.__file__).parent).encode() not in content
    assert {entry.key for entry in onnx.load(tmp_path / "m.onnx").metadata_props} == {"pneumoscope"}


def test_the_calibration_stands_in_the_graph_by_name(tmp_path: Path) -> None:
    spec = InputSpec(32, 32)
    model = build_model("seed-cnn", spec, filters=[4]).eval()
    pixels = noise(spec)
    export(model, tmp_path / "m.onnx", info=info_of(spec), check=pixels)
    graph = onnx.load(tmp_path / "m.onnx")
    found = {tensor.name: tensor for tensor in graph.graph.initializer}
    for name, value in ((CALIBRATION_SCALE, 1.0), (CALIBRATION_BIAS, 0.0)):
        assert onnx.numpy_helper.to_array(found[name]) == value
        changed = np.array(2.5 if value else -1.5, np.float32)
        found[name].CopyFrom(onnx.numpy_helper.from_array(changed, name))
    (tmp_path / "changed.onnx").write_bytes(with_checksum(graph.SerializeToString()))
    before, _ = Predictor(tmp_path / "m.onnx").run(pixels)
    logits, probabilities = Predictor(tmp_path / "changed.onnx").run(pixels)
    np.testing.assert_array_equal(logits, before)
    line = 2.5 * (logits[:, 1] - logits[:, 0]) - 1.5
    np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-line)), atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_graph_that_was_traced_before_gets_the_last_layer_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int
) -> None:
    spec = InputSpec(32, 32)
    model = build_model("seed-cnn", spec, filters=[4], classes=classes).eval()
    classed: dict[str, Any] = {}
    if classes == 3:
        classed = {"classes": ("NORMAL", "BACTERIA", "VIRUS"), "positive": ("BACTERIA", "VIRUS")}
    pixels = noise(spec)
    graph = trace(model, spec)
    before = graph.SerializeToString()
    with torch.no_grad():
        for weights in model.network.last_layer.parameters():
            weights.normal_(generator=torch.Generator().manual_seed(5))

    def again(*_: Any) -> None:
        raise AssertionError("traced twice")

    monkeypatch.setattr(module, "_traced", again)
    info = replace(info_of(spec), **classed)
    assert export(model, tmp_path / "m.onnx", info=info, check=pixels, graph=graph) < 1e-5
    with torch.inference_mode():
        own = module.ReaderGraph(model).eval()(torch.from_numpy(pixels[:, None]))
    read = open_bundle(tmp_path / "m.onnx").run(pixels, [*own])
    for values, expected in zip(read, own.values(), strict=True):  # also the evidence
        np.testing.assert_allclose(values, expected, atol=1e-5 * float(expected.abs().max() + 1))
    assert graph.SerializeToString() == before


def test_real_files_read_as_the_network_reads_them(tmp_path: Path, shared: Path) -> None:
    """From 200 original files on, the graph and the network agree within 1e-4."""
    torch.manual_seed(0)
    spec = InputSpec()
    model = build_model("seed-cnn", spec, dropout=0.4).eval()
    data = shared / "data"
    files = sorted((data / "chest_xray_native").rglob("*.jpeg"))
    files += sorted((data / "chest_xray" / "train").rglob("*.jpeg"))[::50]
    files = files[:200]
    assert len(files) == 200
    pixels = np.stack([prepare(path, spec) for path in files])
    export(model, tmp_path / "m.onnx", info=info_of(spec), check=pixels[:8])
    read = [p.probability for p in Predictor(tmp_path / "m.onnx").predict_many(files)]
    expected = probabilities(model, pixels)[:, 1]
    assert np.abs(np.array(read, np.float64) - expected).max() < 1e-4

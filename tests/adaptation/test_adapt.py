"""Adapting a model file to a site's images without labels."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image

from helpers.conv_model import chest_like, conv_info, write_conv
from pneumoscope.adaptation.layers import Moments, layers_of
from pneumoscope.adaptation.measure import Batch, behind_adapted, by_class
from pneumoscope.adaptation.reference import KEY, finding_groups, packed, unpacked
from pneumoscope.adaptation.rewrite import renormalised
from pneumoscope.adaptation.site import Distance, batches_of, check_distance
from pneumoscope.cli import main
from pneumoscope.errors import DataError, ModelFileError, OptionError
from pneumoscope.reader.checks.gate import Look, PixelGate
from pneumoscope.reader.findings import FindingRule
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.checksum import with_info
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.reader.model_file.session import read_model
from pneumoscope.reader.model_file.verify import verify
from pneumoscope.workflow.adapt import adapt


def darker(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images of a detector with half the contrast."""
    return np.round(40 + 0.5 * pixels.astype(np.float64)).astype(np.uint8)


def told(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(open_bundle(path).run(pixels, ["probabilities"])[0][:, 1], np.float64)


def folder_of(pixels: NDArray[np.uint8], folder: Path) -> Path:
    folder.mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number:04}.png")
    return folder


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """Return a model file that holds statistics of its training images."""
    path = write_conv(tmp_path / "model.onnx")
    pixels, label = chest_like(300, ill=0.7)
    graph = onnx.load(path)
    classes = np.eye(2)[label]
    found = by_class(graph, layers_of(graph, path), batches_of(pixels, classes))
    info = replace(open_bundle(path).info, reference={KEY: packed(found)})
    path.write_bytes(with_info(read_model(path), info))
    return path


def test_moments_are_those_of_numpy(tmp_path: Path) -> None:
    path = write_conv(tmp_path / "model.onnx")
    graph = onnx.load(path)
    layers = layers_of(graph, path)
    assert [layer.kind for layer in layers] == ["stem", "depthwise"]
    pixels, label = chest_like(40, ill=0.5)
    found = by_class(graph, layers, [Batch(pixels, np.eye(2)[label])])
    grey = pixels / 255
    blur = np.lib.stride_tricks.sliding_window_view(grey, (3, 3), axis=(1, 2)).mean((3, 4))
    for number in (0, 1):
        own = blur[label == number]
        assert found.mean[number, 0] == pytest.approx(own.mean(), rel=1e-5)
        assert found.variance[number, 0] == pytest.approx(own.var(), rel=1e-3)
    both = found.mixed(np.array([0.5, 0.5]))
    assert both.mean[0] == pytest.approx(blur.mean(), rel=1e-5)
    assert both.variance[0] == pytest.approx(blur.var(), rel=1e-3)


def test_a_channel_that_hardly_varies_around_a_large_mean_is_measured(tmp_path: Path) -> None:
    """In float32, its mean square does not determine its variance, nor the sign of it."""
    path = write_conv(tmp_path / "model.onnx")
    graph = onnx.load(path)
    layers = layers_of(graph, path)
    pixels, label = chest_like(64, ill=0.5)
    batches = batches_of(pixels, np.eye(2)[label], size=64)
    plain = by_class(graph, layers, batches)
    (bias,) = (one for one in graph.graph.initializer if one.name == "first_bias")
    bias.CopyFrom(numpy_helper.from_array(np.full(3, 1000, np.float32), bias.name))
    moved = by_class(graph, layers, batches)
    np.testing.assert_allclose(moved.mean[:, 0], plain.mean[:, 0] + 1000, rtol=1e-5)
    np.testing.assert_allclose(moved.variance[:, 0], plain.variance[:, 0], rtol=0.01)
    constant = Moments(moved.mean, np.zeros_like(moved.variance), moved.weight)
    found = behind_adapted(graph, layers, batches, reference=constant, share=0.5)
    assert np.isfinite(found.mean).all()
    assert (found.variance >= 0).all()


@pytest.mark.parametrize("half", [False, True])
def test_channels_get_the_moments_of_training(tmp_path: Path, half: bool) -> None:
    path = write_conv(tmp_path / "model.onnx", half=half)
    graph = onnx.load(path)
    layers = layers_of(graph, path)
    pixels, label = chest_like(128, ill=0.5)
    classes = np.eye(2)[label]
    reference = by_class(graph, layers, batches_of(pixels, classes))
    batches = batches_of(darker(pixels), classes, size=64)
    alike = reference.mixed(classes.mean(0))
    for share in (0.0, 1.0):
        site = behind_adapted(graph, layers, batches, reference=reference, share=share)
        new = renormalised(graph, layers, reference=alike, site=site, share=share)
        one = by_class(new, layers, [Batch(darker(pixels), np.ones((128, 1)))])
        away = np.abs(one.mean[0] - alike.mean) / np.sqrt(alike.variance)
        wide = np.sqrt(one.variance[0] / alike.variance)
        if share:
            assert away.max() < 0.02
            np.testing.assert_allclose(wide, 1, atol=0.05)
        else:
            assert away.max() > 0.1
            assert (
                new.graph.node
                == renormalised(graph, layers, reference=alike, site=site, share=0.0).graph.node
            )


def test_another_detector_is_undone_and_another_prevalence_is_not(
    known: Path, tmp_path: Path
) -> None:
    # Half the contrast hides the ill images; adapted, they are found again.
    pixels, label = chest_like(400, ill=0.7, seed=1)
    shifted = darker(pixels)
    before = told(known, shifted) >= 0.5
    out = tmp_path / "site.onnx"
    found = adapt(known, [str(folder_of(shifted, tmp_path / "site"))], out, strength=1)
    after = told(out, shifted) >= 0.5
    assert found.distance.verdict == "large"
    assert (after == label).mean() > (before == label).mean() + 0.1
    # The same detector and few ill patients: what the reader says must stay.
    pixels, label = chest_like(400, ill=0.1, seed=2)
    out = tmp_path / "same.onnx"
    found = adapt(known, [str(folder_of(pixels, tmp_path / "few"))], out, strength=1)
    assert found.distance.verdict != "large"
    before, after = (told(path, pixels) >= 0.5 for path in (known, out))
    assert (after == label).mean() >= (before == label).mean() - 0.01
    assert found.changed < 0.02


def test_the_new_file_is_sealed_and_tells_what_was_done(
    known: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels, _ = chest_like(150, ill=0.7, seed=3)
    images = folder_of(darker(pixels), tmp_path / "site")
    Image.fromarray(darker(pixels)[0]).save(images / "copy.png")
    (images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    out = tmp_path / "site.onnx"
    old = known.read_bytes()
    assert main(["adapt", str(known), str(images), "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert known.read_bytes() == old
    assert said["images"] == {
        "given": 152,
        "used": 150,
        "unreadable": 1,
        "copies": 1,
        "refused": 0,
    }
    assert said["share"] == pytest.approx(0.1 * 150 / 250)
    assert verify(out).passed
    assert verify(out).seal == "intact"
    (change,) = open_bundle(out).info.history
    assert change["from_model"] == open_bundle(known).sha256
    assert change["distance"] == said["distance"]
    assert change["left_out"] == {"unreadable": 1, "copies": 1, "refused": 0}
    assert str(tmp_path) not in json.dumps(change)
    assert main(["model", str(out)]) == 0
    assert "on 150 images" in capsys.readouterr().out
    # Not twice on top of each other, unless the reference is given.
    again = ["adapt", str(out), str(images), "--out", str(tmp_path / "again.onnx")]
    assert main(again) == 1
    assert "adapted before" in capsys.readouterr().err
    assert main([*again, "--reference", str(images)]) == 0
    assert "Distance:" in capsys.readouterr().out


def test_without_statistics_a_reference_is_asked_for(tmp_path: Path) -> None:
    path = write_conv(tmp_path / "model.onnx")
    pixels, _ = chest_like(120, ill=0.5)
    images = [str(folder_of(pixels, tmp_path / "site"))]
    with pytest.raises(DataError, match="`reference`"):
        adapt(path, images, tmp_path / "out.onnx")
    found = adapt(path, images, tmp_path / "out.onnx", reference=images)
    assert found.distance.mean < 0.05
    assert open_bundle(tmp_path / "out.onnx").info.history


def test_three_classes(tmp_path: Path) -> None:
    path = write_conv(tmp_path / "model.onnx", conv_info(3))
    pixels, _ = chest_like(160, ill=0.5)
    reference = [str(folder_of(pixels, tmp_path / "known"))]
    images = [str(folder_of(darker(pixels), tmp_path / "site"))]
    out = tmp_path / "out.onnx"
    found = adapt(path, images, out, reference=reference, strength=1)
    assert found.before.positive != found.after.positive or found.distance.mean > 0
    (logits,) = open_bundle(out).run(pixels[:4], ["logits"])
    assert logits.shape == (4, 3)


def test_groups_of_findings_exclude_each_other() -> None:
    groups = finding_groups(np.array([[1.0, 1.0], [1, 0], [0, 0], [0.5, 0.25]]))
    assert groups.sum(1) == pytest.approx(1)
    expected = [[0, 0.5, 0.5], [0, 1, 0], [1, 0, 0], [0.375, 0.625 * 2 / 3, 0.625 / 3]]
    assert groups == pytest.approx(np.array(expected), abs=2e-3)
    assert (groups > 0).all()  # of a rare finding too


def test_several_findings(tmp_path: Path) -> None:
    """Another detector is undone in part; the shares are those of the findings' thresholds."""
    rules = tuple(FindingRule(OperatingPoint(threshold=threshold)) for threshold in (0.5, 0.45))
    info = replace(conv_info(2), classes=("Edema", "Mass"), findings=rules)
    path = write_conv(tmp_path / "model.onnx", info)
    pixels, _ = chest_like(200, ill=0.5)
    graph = onnx.load(path)
    said = open_bundle(path).run(pixels, ["probabilities"])[0]
    moments = by_class(graph, layers_of(graph, path), batches_of(pixels, finding_groups(said)))
    known = replace(info, reference={KEY: packed(moments)})
    path.write_bytes(with_info(read_model(path), known))
    site = darker(pixels)
    out = tmp_path / "out.onnx"
    found = adapt(path, [str(folder_of(site, tmp_path / "site"))], out, strength=1)
    before, after = (open_bundle(one).run(site, ["probabilities"])[0] for one in (path, out))
    assert np.abs(after - said).mean() < np.abs(before - said).mean() / 2
    thresholds = np.array([0.5, 0.45], np.float32)
    assert found.before.positive == (before >= thresholds).any(1).mean()
    assert found.after.positive == (after >= thresholds).any(1).mean()
    assert found.changed == ((before >= thresholds) != (after >= thresholds)).any(1).mean()
    assert open_bundle(out).info.history[-1]["changed"] == found.changed


def test_too_few_and_too_odd_images_are_refused(known: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    pixels, _ = chest_like(99, ill=0.5)
    with pytest.raises(DataError, match="too few"):
        adapt(known, [str(folder_of(pixels, tmp_path / "few"))], out)
    usual, _ = chest_like(300, ill=0.5, seed=4)
    info = replace(open_bundle(known).info, gate=PixelGate(look=Look.fit(usual)).to_dict())
    known.write_bytes(with_info(read_model(known), info))
    turned = np.rot90(usual[:150], 1, (1, 2))
    with pytest.raises(DataError, match="gate rejects"):
        adapt(known, [str(folder_of(turned, tmp_path / "odd"))], out)
    with pytest.raises(OptionError, match="strength"):
        adapt(known, [str(tmp_path / "odd")], out, strength=1.5)
    assert not out.exists()


def test_a_site_too_far_away_is_refused() -> None:
    check_distance(Distance(0.5, 1.2, 0.02))
    for far in (Distance(1.5, 1.0, 0.02), Distance(0.5, 0.1, 0.02)):
        with pytest.raises(DataError, match="too far"):
            check_distance(far)


def test_whole_numbers_and_graphs_without_convolutions_are_refused(tmp_path: Path) -> None:
    from helpers.tiny_model import write_tiny  # noqa: PLC0415 - used here alone

    path = write_tiny(tmp_path / "tiny.onnx")
    with pytest.raises(ModelFileError, match="no convolutions"):
        layers_of(onnx.load(path), path)
    graph = onnx.load(write_conv(tmp_path / "conv.onnx"))
    graph.graph.node.append(onnx.helper.make_node("DequantizeLinear", ["a", "b"], ["c"]))
    with pytest.raises(ModelFileError, match="8-bit integers"):
        layers_of(graph, path)


def test_damaged_statistics_are_refused(known: Path, tmp_path: Path) -> None:
    moments = Moments(np.ones((2, 3)), np.ones((2, 3)), np.array([4.0, 5.0]))
    back = unpacked({KEY: packed(moments)}, classes=2, channels=3)
    assert back is not None
    np.testing.assert_array_equal(back.mean, moments.mean)
    np.testing.assert_array_equal(back.weight, moments.weight)
    assert unpacked({}, classes=2, channels=3) is None
    good = packed(moments)
    for damage in ({"mean": "x"}, {"images": [1]}, {"deviation": good["mean"][:8]}, {"images": 3}):
        with pytest.raises(ValueError, match="statistics"):
            unpacked({KEY: {**good, **damage}}, classes=2, channels=3)
    info = replace(open_bundle(known).info, reference={KEY: {**good, "mean": "x"}})
    known.write_bytes(with_info(read_model(known), info))
    pixels, _ = chest_like(120, ill=0.5)
    images = [str(folder_of(pixels, tmp_path / "site"))]
    with pytest.raises(ModelFileError, match="damaged"):
        adapt(known, images, tmp_path / "out.onnx")


def test_it_needs_no_training_framework(known: Path, tmp_path: Path) -> None:
    pixels, _ = chest_like(120, ill=0.5)
    images = folder_of(pixels, tmp_path / "site")
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['scipy'] = sys.modules['sklearn'] = None\n"
        "from pneumoscope.cli import main\n"
        f"raise SystemExit(main(['adapt', {str(known)!r}, {str(images)!r}, '--out', "
        f"{str(tmp_path / 'out.onnx')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""The gate: reasons in words, and its limits in the model file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.files import dicom_file
from helpers.tiny_model import SPEC, grey_image, tiny_info, write_tiny
from pneumoscope.errors import ModelFileError
from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.images.read import chroma
from pneumoscope.reader.checks.appearance import kind
from pneumoscope.reader.checks.feature_distance import FeatureDistribution
from pneumoscope.reader.checks.gate import FeatureGate, Look, PixelGate, Rules
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.self_test import generated_image
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.preprocess import Shape, load_image

GATE = PixelGate()
EVEN = Shape(300, 300)


def encoded(pixels: np.ndarray, form: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


@pytest.mark.parametrize(
    ("pixels", "shape", "says"),
    [
        (grey_image(100), Shape(63, 200), "63 x 200 pixels, too few"),
        (grey_image(100), Shape(200, 900), "4.5 times the other"),
        (grey_image(100), Shape(200, 200, chroma=30.0), "in colour"),
        (np.full((96, 96), 80, np.uint8), EVEN, "blank"),
        (np.linspace(0, 200, 96).astype(np.uint8)[:, np.newaxis].repeat(96, 1), EVEN, "no detail"),
        (np.where(grey_image(128) > 110, 255, 10).astype(np.uint8), EVEN, "is pure white"),
        (np.where(grey_image(128) > 150, 200, 0).astype(np.uint8), EVEN, "is pure black"),
    ],
)
def test_each_rule_speaks(pixels: np.ndarray, shape: Shape, says: str) -> None:
    reason, *instead = GATE.reasons(pixels, shape)
    assert says in reason
    assert all(text.startswith("it looks like a screen") for text in instead)


def test_a_small_input_lowers_the_least_size() -> None:
    assert GATE.reasons(grey_image(100, side=32), Shape(32, 32)) == ()
    assert GATE.reasons(grey_image(100, side=32), Shape(31, 32)) != ()


def test_limits_are_data() -> None:
    strict = PixelGate.from_dict({"rules": {**GATE.to_dict()["rules"], "aspect": 1.5}})
    assert strict.reasons(grey_image(100), Shape(200, 320))
    assert GATE.reasons(grey_image(100), Shape(200, 320)) == ()
    assert PixelGate.from_dict(json.loads(json.dumps(GATE.to_dict()))).rules == Rules()


def test_colour_is_seen_in_every_format_and_grey_stored_as_colour_is_not() -> None:
    grey = grey_image(120, side=200)
    three = np.stack([grey] * 3, axis=2)
    tinted = np.clip(three + np.array([60, 0, -60]), 0, 255).astype(np.uint8)
    for form in ("JPEG", "PNG"):
        assert chroma(encoded(grey, form), name="x") == 0
        assert chroma(encoded(three, form), name="x") < 2
        assert chroma(encoded(tinted, form), name="x") > 40
        assert load_image(encoded(tinted, form), SPEC).shape.chroma > 40
    palette = Image.fromarray(tinted).convert("P", palette=Image.Palette.ADAPTIVE)
    out = io.BytesIO()
    palette.save(out, "PNG")
    assert chroma(out.getvalue(), name="x") > 30


def test_what_is_taken_is_what_prepare_gives(phantoms: Path) -> None:
    path = min(phantoms.rglob("*.jpeg"))
    for source in (path, str(path), path.read_bytes(), grey_image(90)):
        for spec in (SPEC, InputSpec(40, 56)):
            expected = prepare(source if not isinstance(source, str) else Path(source), spec)
            np.testing.assert_array_equal(load_image(source, spec).pixels, expected)


@pytest.fixture(scope="module")
def chests() -> np.ndarray:
    """Return one drawn chest in 240 variations, uint8 [240, 64, 64]."""
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.normal(0, 20, (240, 8, 8)), np.ones((8, 8)))
    return np.clip(generated_image(64, 64) + smooth, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def look(chests: np.ndarray) -> Look:
    return Look.fit(chests[:200])


def test_a_look_tells_turned_and_inverted_images(look: Look, chests: np.ndarray) -> None:
    gate = PixelGate(look=look)
    new = chests[200:]
    refused = sum(bool(gate.reasons(image, EVEN)) for image in new)
    assert refused <= 2
    for turns, says in (
        (1, "rotated by 90° to the left"),
        (2, "rotated by 180°"),
        (3, "rotated by 90° to the right"),
        (0, "inverted"),
    ):
        changed = [np.ascontiguousarray(np.rot90(p, turns)) if turns else 255 - p for p in new]
        said = [gate.reasons(image, EVEN) for image in changed]
        assert sum(bool(reasons) for reasons in said) >= 0.9 * len(new), says
        assert sum(any(says in reason for reason in reasons) for reasons in said) >= 0.8 * len(new)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    assert any("not look like" in reason for reason in gate.reasons(noise, EVEN))


def _page() -> np.ndarray:
    page = np.full((224, 224), 252, np.uint8)
    rng = np.random.default_rng(0)
    page[20:200:8, 20:200] = np.where(rng.random((23, 180)) < 0.5, 20, 252)
    page[21:200:8, 20:200] = page[20:200:8, 20:200]
    return page


def _screen() -> np.ndarray:
    screen = np.full((224, 224), 60, np.uint8)
    screen[10:120, 15:140], screen[80:200, 100:210] = 200, 130
    return screen


def test_a_refused_image_is_called_what_its_pixels_show(
    look: Look, chests: np.ndarray, shared: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 224), dtype=np.uint8)
    gate = PixelGate(look=look)
    assert kind(noise[:100, :100]) == ()  # at this size a chest is as rough
    for pixels, says in ((noise, "noise"), (_page(), "page of text"), (_screen(), "screen")):
        (words,) = kind(pixels)
        assert f"looks like {'a ' if says != 'noise' else ''}{says}" in words
        assert gate.reasons(pixels, EVEN)[-1] == words
    folder = shared / "data" / "chest_xray_native"
    assert not any(kind(prepare(path, InputSpec())) for path in sorted(folder.rglob("*.jpeg"))[:30])


@pytest.mark.parametrize(
    ("elements", "says"),
    [
        ({"ViewPosition": "LL"}, "view 'LL'; only frontal views"),
        ({"BodyPartExamined": "HAND"}, "body part 'HAND'; only chest"),
        ({"Modality": "CT"}, "modality 'CT'; only radiographs"),
    ],
)
def test_another_kind_of_image_is_refused_and_named(
    tmp_path: Path, elements: dict[str, Any], says: str
) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom_file(grey_image(100, side=200), **elements))
    model = write_tiny(tmp_path / "m.onnx", tiny_info(gate=PixelGate().to_dict()))
    found = Predictor(model).predict(path)
    assert (found.conclusion, found.probability, found.error) == ("NOT_ASSESSABLE", None, "")
    assert len(found.reasons) == 1
    assert says in found.reasons[0]
    assert str(path) not in found.reasons[0]
    (ungated,) = Predictor(model, gated=False).predict_many([path])
    assert ungated.probability is not None
    assert says in ungated.reasons[0]
    path.write_bytes(dicom_file(grey_image(100, side=200)))
    assert Predictor(model, gated=False).predict(path).probability == ungated.probability


def test_a_look_survives_the_file(look: Look, chests: np.ndarray, tmp_path: Path) -> None:
    again = Look.from_dict(json.loads(json.dumps(look.to_dict())))
    np.testing.assert_allclose(look.distances(chests[0]), again.distances(chests[0]), rtol=1e-5)
    assert len(json.dumps(look.to_dict())) < 32_000
    info = tiny_info(gate=PixelGate(look=look).to_dict())
    predictor = Predictor(write_tiny(tmp_path / "m.onnx", info))
    upside_down = np.ascontiguousarray(np.rot90(chests[201], 2))
    found = predictor.predict(upside_down)
    assert found.conclusion == "NOT_ASSESSABLE"
    assert found.probability is None
    assert found.distance is not None
    assert found.distance == pytest.approx(look.distances(prepare(upside_down, SPEC))[0], rel=1e-4)
    assert "rotated by 180°" in found.reasons[0]
    assert Predictor(predictor.path, gated=False).predict(upside_down).probability is not None


def test_few_images_carry_no_look() -> None:
    with pytest.raises(ValueError, match="at least 200 images"):
        Look.fit(np.zeros((199, 32, 32), np.uint8))


def test_distances_are_those_of_the_full_covariance() -> None:
    """With all directions kept but one, it is Mahalanobis' distance itself."""
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5))
    fitted = FeatureDistribution.fit(vectors, rank=4)
    centred = vectors - vectors.mean(0)
    inverse = np.linalg.inv(np.cov(centred.T))
    expected = np.sqrt(np.einsum("ni,ij,nj->n", centred, inverse, centred) / 5)
    found = fitted.distance(vectors.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=0.02)


def test_rounding_the_directions_moves_no_distance() -> None:
    """Where the variance along a direction is 100,000 times that beyond, it still counts once."""
    rng = np.random.default_rng(2)
    spread = np.r_[300.0, 30.0, np.full(298, 0.1)]
    turned, _ = np.linalg.qr(rng.normal(size=(300, 300)))
    vectors = (rng.normal(size=(600, 300)) * spread) @ turned
    fitted = FeatureDistribution.fit(vectors, rank=2)
    exact, _ = np.linalg.qr(fitted.directions.T.astype(np.float64))
    centred = vectors - fitted.mean
    along = centred @ exact
    beyond = (centred**2).sum(1) - (along**2).sum(1)
    expected = np.sqrt(((along**2 / fitted.variances).sum(1) + beyond / fitted.rest) / 300)
    np.testing.assert_allclose(fitted.distance(vectors.astype(np.float32)), expected, rtol=5e-4)


def test_the_gate_of_features_judges_what_the_network_saw(tmp_path: Path) -> None:
    """The tiny model's only feature is the mean grey level."""
    known = np.random.default_rng(0).normal(100, 10, (500, 2)).astype(np.float32)[:, :1]
    distribution = FeatureDistribution(
        known.mean(0), np.eye(1, dtype=np.float32), known.var(0).astype(np.float32), 1.0
    )
    gate = FeatureGate(distribution, farthest=4.0)
    info = tiny_info(gate={"features": gate.to_dict()})
    predictor = Predictor(write_tiny(tmp_path / "m.onnx", info))
    assert predictor.predict(grey_image(110)).probability is not None
    refused = predictor.predict(grey_image(180))
    assert refused.conclusion == "NOT_ASSESSABLE"
    assert refused.probability is None
    assert "unlike the chest X-rays" in refused.reasons[0]


@pytest.mark.parametrize(
    "gate",
    [
        {"rules": {}},
        {"rules": {**GATE.to_dict()["rules"], "side_px": "wide"}},
        {"features": {"likeness": {}, "farthest": 1}},
        {"features": {"likeness": {"mean": "AAAA", "directions": "!", "variances": [1],
                                   "rest": 1}, "farthest": 1}},
    ],
)  # fmt: skip
def test_a_damaged_gate_is_named(tmp_path: Path, gate: dict[str, object]) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(ModelFileError, match="its gate is damaged"):
        write_tiny(path, tiny_info(gate=gate))
    assert path.exists()
    with pytest.raises(ModelFileError, match="its gate is damaged"):
        open_bundle(path)


def test_real_radiographs_pass_the_plain_rules(shared: Path) -> None:
    files = sorted((shared / "data" / "chest_xray_native").rglob("*.jpeg"))
    files += sorted((shared / "data" / "chest_xray").rglob("*.jpeg"))[::20]
    for path in files:
        taken = load_image(path, InputSpec())
        assert GATE.reasons(taken.pixels, taken.shape) == (), path


@pytest.mark.parametrize("side", [160, 192, 224])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_steep_gradient_is_blank_at_any_size(side: int, axis: int) -> None:
    ramp = np.linspace(0, 255, 300).astype(np.uint8)
    picture = np.tile(ramp, (300, 1)) if axis else np.tile(ramp[:, None], (1, 300))
    taken = load_image(picture, InputSpec(side, side))
    assert any(
        "only a gradient" in reason for reason in PixelGate().reasons(taken.pixels, taken.shape)
    )

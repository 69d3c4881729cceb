"""The evidence picture contains all information needed to interpret it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from helpers.tiny_model import grey_image, tiny_info, write_tiny
from pneumoscope.reader.checks.gate import PixelGate
from pneumoscope.reader.evidence import evidence_image, share_at_edges
from pneumoscope.reader.evidence_sheet import PANEL_PX, draw_evidence, evidence_sheet
from pneumoscope.reader.model_file.metadata import NOTICE
from pneumoscope.reader.overlay import EVIDENCE_FULL, UNSTATED, Scale
from pneumoscope.reader.policy import NOT_ASSESSABLE
from pneumoscope.reader.predictor import Predictor

MADE = datetime(2026, 11, 28, 4, 12, tzinfo=UTC)


def file_of(pixels: np.ndarray, place: Path) -> Path:
    Image.fromarray(pixels).save(place)
    return place


def drawn(
    predictor: Predictor, path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Image.Image, str]:
    """Return the picture of a file and all that is written on it, each line within the picture."""
    said: list[tuple[str, tuple[float, ...]]] = []
    honest = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, xy: tuple[float, float], what: str, **rest: Any) -> None:
        box = self.textbbox(xy, what, font=rest["font"], anchor=rest.get("anchor", "la"))
        said.append((what, box))
        honest(self, xy, what, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(ImageDraw.ImageDraw, "text", text)
        found = predictor.predict(path)
        picture = evidence_sheet(predictor, found, path, name=path.name, made=MADE)
    for what, box in said:
        assert box[0] >= 0, what
        assert box[2] <= picture.width, what
        assert box[3] <= picture.height, what
    return picture, " ".join(what for what, _ in said)


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    return Predictor(write_tiny(tmp_path / "m.onnx"))


@pytest.mark.parametrize("shape", [(224, 224), (96, 400), (1400, 900), (500, 2400)])
def test_all_that_is_needed_stands_in_the_pixels(
    shape: tuple[int, int], predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = grey_image(150, side=max(shape) // 8 * 8 + 8)[: shape[0], : shape[1]]
    path = file_of(pixels, tmp_path / "a-radiograph with a name.png")
    picture, said = drawn(predictor, path, monkeypatch)
    found = predictor.predict(path)
    for what in (
        found.conclusion, "p(PNEUMONIA)", "at probability 0.5 or above (rule probability=0.5)",
        "a-radiograph with a name.png", "2026-11-28 04:12", "Model tiny", predictor.sha256[:12],
        f"-{UNSTATED.full:g}", f"+{UNSTATED.full:g}", "logits", "The scale is the same",
        "outer eighth on each side", "44% of the area", NOTICE,
    ):  # fmt: skip
        assert what in said, what
    assert picture.width >= 2 * min(PANEL_PX[0], 1400 * shape[0] / shape[1])


def test_the_original_stands_beside_the_overlay(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bright = np.full((448, 448), 60, np.uint8)
    bright[100:200, 100:200] = 255
    found = predictor.predict(file_of(bright, tmp_path / "x.png"))
    picture, _ = drawn(predictor, tmp_path / "x.png", monkeypatch)
    assert found.probability is not None
    pixels = np.asarray(picture).astype(int)
    coloured = np.abs(pixels[..., 0] - pixels[..., 2]) > 20
    columns = np.flatnonzero(coloured[150:400].any(0))
    assert columns.min() > 448  # the left half is the image as it is
    grey = pixels[..., 0] == pixels[..., 2]
    assert grey[100:500, 20:440].all()


def test_one_scale_serves_all_images_of_a_reader(tmp_path: Path) -> None:
    info = tiny_info(reference={EVIDENCE_FULL: 8.0})
    stated = Predictor(write_tiny(tmp_path / "stated.onnx", info))
    assert Scale.of_reader(stated.info) == Scale(8.0, 1.0)
    for wrong in (None, "8", -1.0, float("inf")):
        assert Scale.of_reader(tiny_info(reference={EVIDENCE_FULL: wrong})) == UNSTATED
    # Twice the evidence is twice the colour, in two images.
    colours = []
    for grey in (130, 160):
        path = file_of(np.full((200, 200), grey, np.uint8), tmp_path / f"{grey}.png")
        predicted = stated.predict(path)
        if predicted.probability is None:
            predicted = Predictor(tmp_path / "stated.onnx", gated=False).predict(path)
        image = np.asarray(evidence_image(stated, predicted, path)).astype(int)
        colours.append((image[50, 50, 0] - image[50, 50, 2]) / (image[50, 50].mean()))
    assert colours[1] > 1.5 * colours[0] > 0


def test_an_image_that_cannot_be_assessed_gets_its_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated = Predictor(write_tiny(tmp_path / "g.onnx", tiny_info(gate=PixelGate().to_dict())))
    path = file_of(grey_image(150, side=24), tmp_path / "small.png")
    found = gated.predict(path)
    assert found.conclusion == NOT_ASSESSABLE
    picture, said = drawn(gated, path, monkeypatch)
    assert NOT_ASSESSABLE in said
    assert "no evidence is drawn" in said
    assert " ".join(found.reasons[0].split()) in said
    assert NOTICE in said
    pixels = np.asarray(picture).astype(int)
    shown = draw_evidence(gated, found, tmp_path / "e")
    assert Path(shown.evidence).is_file()
    assert pixels[200:400, 20:400].std() > 5  # the image is shown


def test_evidence_at_the_edges_is_counted_by_its_size() -> None:
    middle = np.zeros((16, 16), np.float32)
    middle[4:12, 4:12] = 3.0
    assert share_at_edges(middle)[0] == pytest.approx(0, abs=1e-9)
    assert share_at_edges(3.0 - middle)[0] == pytest.approx((256 - 144) / (256 - 64), abs=1e-9)
    against = -middle
    against[0] = 1.5
    assert share_at_edges(against)[0] == pytest.approx(16 * 1.5 / (16 * 1.5 + 64 * 3))
    assert share_at_edges(np.zeros((7, 7), np.float32)) == (0.0, 1 - (6 / 8) ** 2)
    # Seven places: the outer ones lie outside the middle for seven eighths of their width.
    edge = np.zeros((7, 7), np.float32)
    edge[3, 0] = 1
    assert share_at_edges(edge)[0] == pytest.approx(7 / 8)

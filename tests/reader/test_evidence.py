"""Pictures of where a conclusion comes from, with maps that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from helpers.tiny_model import grey_image, tiny_info, write_tiny
from pneumoscope.reader.evidence import evidence_caveat, finding_drawn, other_findings
from pneumoscope.reader.evidence_sheet import draw_evidence
from pneumoscope.reader.findings import Finding
from pneumoscope.reader.overlay import AGAINST, FOR, Scale, overlay
from pneumoscope.reader.predictor import Predictor

GREY = np.full((300, 400), 90, np.uint8)


def blob(value: float) -> np.ndarray:
    """Return a 7 x 7 map whose upper left ninth has a value, the rest none."""
    found = np.zeros((7, 7), np.float32)
    found[1:3, 1:3] = value
    return found


def colours(picture: Image.Image) -> np.ndarray:
    """Return red minus blue without the strip: above 0 speaks for, below against."""
    pixels = np.asarray(picture).astype(int)[:250]
    found: np.ndarray = pixels[..., 0] - pixels[..., 2]
    return found


def test_the_picture_has_the_size_of_the_image() -> None:
    for shape in ((300, 400), (1000, 700), (20, 30)):
        picture = overlay(blob(3), np.full(shape, 90, np.uint8), caption="PNEUMONIA 0.930")
        assert (picture.height, picture.width) == shape


def test_for_and_against_have_their_colours_and_places() -> None:
    for value, sign in ((4.0, 1), (-4.0, -1)):
        found = colours(overlay(blob(value), GREY, caption="x"))
        assert sign * found[60:120, 80:160].mean() > 30
        assert np.abs(found[180:, 200:]).max() == 0
    assert sum(FOR) != sum(AGAINST)


def test_the_scale_holds_the_map_and_stretches_no_weak_evidence() -> None:
    nothing = colours(overlay(blob(0.49), GREY, caption="x"))
    weak = colours(overlay(blob(1.0), GREY, caption="x"))
    strong = colours(overlay(blob(4.0), GREY, caption="x"))
    assert np.abs(nothing).max() == 0
    assert 0 < weak.max() < 0.3 * strong.max()
    other = overlay(blob(1.0), GREY, caption="x", scale=Scale(full=1.0, least=0.1))
    assert colours(other).max() == strong.max()
    beyond = overlay(blob(40.0), GREY, caption="x", scale=Scale())
    assert colours(beyond).max() == strong.max()
    found = {value: Scale.of(blob(value)) for value in (0.0, -4.0, 4.1, -30.0)}
    assert [(scale.full, scale.least) for scale in found.values()] == [
        (4, 0.5), (4, 0.5), (8, 1), (32, 4)
    ]  # fmt: skip


def test_places_of_strong_evidence_can_be_told_apart() -> None:
    evidence = blob(29.0)
    evidence[4:6, 4:6] = 9.0
    found = colours(overlay(evidence, GREY, caption="x"))
    assert 0 < found[180:240, 240:320].max() < 0.4 * found.max()


def words(monkeypatch: pytest.MonkeyPatch, *, size: tuple[int, int], value: float) -> list[str]:
    """Return what is written onto a picture of a size (width, height)."""
    said: list[str] = []
    honest = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, xy: tuple[float, float], what: str, **rest: Any) -> None:
        box = self.textbbox(xy, what, font=rest["font"], anchor=rest["anchor"])
        assert box[0] >= 0, what
        assert box[2] <= size[0], what
        said.append(what)
        honest(self, xy, what, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(ImageDraw.ImageDraw, "text", text)
        picture = overlay(
            blob(value),
            np.full(size[::-1], 90, np.uint8),
            caption="UNCERTAIN · p(PNEUMONIA) 0.930",
        )
    assert picture.size == size
    return said


def test_no_evidence_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(value: float) -> str:
        return " ".join(words(monkeypatch, size=(900, 600), value=value))

    assert "no evidence (±0.5)" in said(0.0)
    assert "no evidence (±0.5)" in said(0.4)
    assert "no evidence for it" in said(-3.0)
    assert "no evidence" not in said(3.0)


@pytest.mark.parametrize("size", [(1500, 1200), (600, 220), (224, 224), (150, 400), (100, 90)])
@pytest.mark.parametrize("value", [3.0, -3.0, 100.0])
def test_scale_and_probability_are_readable_at_each_size(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], value: float
) -> None:
    said = " ".join(words(monkeypatch, size=size, value=value))
    full = "128" if value == 100 else "4"
    assert f"-{full}" in said
    assert f"+{full}" in said
    if value < 0:
        assert "no evidence for it" in said
    if value > 0 or size != (100, 90):
        assert "p(PNEUMONIA) 0.930" in said


def test_the_image_shows_where_there_is_no_evidence() -> None:
    image = grey_image(120, side=320)
    picture = np.asarray(overlay(np.zeros((7, 7), np.float32), image, caption="x"))
    np.testing.assert_array_equal(picture[:280, :, 0], image[:280])
    deep = image.astype(np.uint16) * 16
    shown = np.asarray(overlay(np.zeros((7, 7), np.float32), deep, caption="x"))
    assert np.corrcoef(shown[:280, :, 1].ravel(), image[:280].ravel())[0, 1] > 0.99


def test_a_map_of_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="not numbers"):
        overlay(np.full((2, 2), np.nan, np.float32), GREY, caption="x")


def test_a_picture_is_written_for_a_prediction(tmp_path: Path) -> None:
    predictor = Predictor(write_tiny(tmp_path / "m.onnx"))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(grey_image(160, side=200)).save(tmp_path / folder / "x.png")
    places = set()
    for folder in ("a", "b"):
        found = predictor.predict(tmp_path / folder / "x.png")
        drawn = draw_evidence(predictor, found, tmp_path / "evidence")
        assert drawn.probability == found.probability
        places.add(drawn.evidence)
        with Image.open(drawn.evidence) as picture:
            assert colours(picture.convert("RGB")).max() > 0
    assert len(places) == 2


def test_a_card_says_what_the_evidence_is_worth() -> None:
    card = {
        "auc_lungs_blanked": 0.943,
        "auc_borders_alone": 0.901,
        "evidence_peak_in_opacity": 0.02,
        "evidence_peak_in_opacity_by_chance": 0.07,
    }
    said = evidence_caveat(tiny_info(card=card))
    for number in ("0.94", "0.90", "in 2%", "by chance: 7%"):
        assert number in said
    assert evidence_caveat(tiny_info()) == ""


def finding(name: str, conclusion: str, probability: float) -> Finding:
    return Finding(name, probability, 0.0, 0.5, conclusion)


def test_the_likeliest_present_finding_is_drawn_before_a_likelier_absent_one() -> None:
    absent, unclear = finding("A", "NEGATIVE", 0.6), finding("B", "UNCERTAIN", 0.5)
    present = [finding("C", "POSITIVE", 0.1), finding("D", "POSITIVE", 0.2)]
    assert finding_drawn([absent, unclear, *present]).name == "D"
    assert finding_drawn([absent, unclear]).name == "B"
    assert finding_drawn([finding("E", "NEGATIVE", 0.1), absent]).name == "A"


def test_a_caption_counts_the_conclusions_and_names_the_other_present_findings() -> None:
    absent, unclear = finding("A", "NEGATIVE", 0.6), finding("B", "UNCERTAIN", 0.5)
    present = [finding("C", "POSITIVE", 0.1), finding("D", "POSITIVE", 0.2)]
    assert other_findings([absent, unclear, *present], "D") == (
        "2 of 4 POSITIVE, 1 UNCERTAIN",
        ["C POSITIVE 0.100", "B UNCERTAIN 0.500"],
    )
    assert other_findings([absent, unclear], "B") == ("1 of 2 UNCERTAIN", [])
    assert other_findings([absent], "A") == ("all 1 NEGATIVE", [])
    assert other_findings([], None) == ("", [])
    many = [finding(str(number), "POSITIVE", number / 20) for number in range(14)]
    counted, said = other_findings(many, "13")
    assert counted == "14 of 14 POSITIVE"
    assert said == [f"{number} POSITIVE {number / 20:.3f}" for number in range(12, 6, -1)]

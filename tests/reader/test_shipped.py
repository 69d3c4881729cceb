"""The reader that comes with the package: whole, small, and any good."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pneumoscope.reader.bundle import open_bundle
from pneumoscope.reader.graph import SHIPPED_FILE
from pneumoscope.reader.predictor import Predictor, load
from pneumoscope.reader.verify import verify

CARD = Path(__file__).parents[2] / "docs" / "reference" / "reader-card.json"


def test_it_is_whole_and_small() -> None:
    found = verify("shipped")
    assert found.seal == "intact"
    assert found.answers
    assert SHIPPED_FILE.stat().st_size < 6_000_000


def test_it_says_what_it_is_and_nothing_of_where_it_was_made() -> None:
    info = open_bundle(None).info
    assert info.classes == ("NORMAL", "PNEUMONIA")
    assert info.operating_point.rule == "sensitivity>=0.97"
    assert info.conformal is not None
    assert {"rules", "look", "features"} <= set(info.gate)
    assert "CC BY 4.0" in info.licence
    assert "CC BY 4.0" in info.card["data"]
    text = info.to_json()
    assert "/home" not in text
    assert "/work" not in text
    assert "/tmp" not in text  # noqa: S108 - that it is not there


def test_its_card_is_of_this_file() -> None:
    numbers = json.loads(CARD.read_text(encoding="utf-8"))
    assert numbers["sha256"] == open_bundle(None).sha256
    assert numbers["bytes"] == SHIPPED_FILE.stat().st_size


def test_it_refuses_what_is_no_radiograph() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8)
    found = load().predict(noise)
    assert found.conclusion == "NOT_ASSESSABLE"
    assert found.probability is None
    assert found.reasons


def test_it_reads_real_radiographs(shared: Path) -> None:
    files = sorted((shared / "data" / "chest_xray_native").rglob("*.jpeg"))
    found = list(Predictor(gated=False).predict_many(files))
    ill = np.array(["PNEUMONIA" in str(path.parent) for path in files])
    said = np.array([prediction.probability for prediction in found], np.float64)
    assert said[ill].mean() > 0.9
    assert said[~ill].mean() < 0.2
    refused = sum(p.conclusion == "NOT_ASSESSABLE" for p in Predictor().predict_many(files))
    assert refused <= 0.06 * len(files)

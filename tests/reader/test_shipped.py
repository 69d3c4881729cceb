"""The included reader: complete, small, and as good as its card states."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.session import SHIPPED_FILE
from pneumoscope.reader.model_file.training_hashes import learnt_from
from pneumoscope.reader.model_file.verify import verify
from pneumoscope.reader.predictor import Predictor, load
from pneumoscope.training.recipe import Recipe
from pneumoscope.workflow.decide import decide_on
from pneumoscope.workflow.recalibrate import calibration_of

sys.path.append(str(Path(__file__).parents[2] / "tools"))
from reader_numbers import computed, readme_text, scores_from_dict

RECIPE = Path(__file__).parents[2] / "recipes" / "reader.yaml"
README = Path(__file__).parents[2] / "README.md"
CARD = Path(__file__).parents[2] / "docs" / "reference" / "reader-card.json"


def test_it_is_whole_and_small() -> None:
    found = verify("shipped")
    assert found.seal == "intact"
    assert found.answers
    assert SHIPPED_FILE.stat().st_size < 6_000_000


def test_it_says_what_it_is_and_nothing_of_where_it_was_made() -> None:
    info = open_bundle(None).info
    assert info.classes == ("NORMAL", "PNEUMONIA")
    assert info.operating_point.rule == Recipe.load(RECIPE).decision.operating_point
    assert info.conformal is not None
    assert info.policy().zone is not None
    assert {"rules", "look", "features"} <= set(info.gate)
    assert "CC BY 4.0" in info.licence
    assert "CC BY 4.0" in info.card["data"]
    text = info.to_json()
    assert "/home" not in text
    assert "/work" not in text
    assert "/tmp" not in text  # noqa: S108 - that it is not there


def test_its_card_is_of_this_file() -> None:
    numbers = json.loads(CARD.read_text(encoding="utf-8"))
    bundle = open_bundle(None)
    assert numbers["sha256"] == bundle.sha256
    assert numbers["bytes"] == SHIPPED_FILE.stat().st_size
    assert bundle.info.card["auc_lungs_blanked"] == numbers["shortcuts"]["lung fields blanked out"]
    assert bundle.info.card["auc_borders_alone"] == numbers["shortcuts"]["borders alone"]
    assert bundle.info.card["evidence_peak_in_opacity"] == numbers["evidence"]["pointing_game"]


AGAIN = "make it anew: python tools/make_reader.py DATA --native NATIVE --decide-only"


def test_its_decision_and_card_are_what_the_code_computes_now() -> None:
    numbers = json.loads(CARD.read_text(encoding="utf-8"))
    bundle = open_bundle(None)
    info, calibration = bundle.info, calibration_of(bundle)
    assert isinstance(calibration, Calibration)
    scores = scores_from_dict(numbers["scores"], calibration)
    decided = decide_on(scores, Recipe.load(RECIPE))
    assert isinstance(decided.calibration, Calibration)
    assert decided.notes == ()
    assert decided.calibration.scale == pytest.approx(calibration.scale, rel=1e-5), AGAIN
    assert decided.point.threshold == pytest.approx(info.operating_point.threshold, abs=1e-6), AGAIN
    assert decided.conformal is not None
    assert info.conformal is not None
    assert decided.conformal.quantiles == pytest.approx(info.conformal.quantiles, abs=1e-6), AGAIN
    assert (decided.conformal.n, decided.conformal.level) == (
        info.conformal.n,
        info.conformal.level,
    )
    for name, now in computed(scores, info).items():
        found, before = flat(now), flat(numbers[name])
        assert found.keys() == before.keys(), AGAIN
        for place, value in found.items():
            if isinstance(value, str):
                assert value == before[place], AGAIN
            else:
                assert value == pytest.approx(before[place], rel=1e-4, abs=1e-6), (place, AGAIN)


def test_it_keeps_what_its_zone_promises_on_its_validation_images() -> None:
    numbers = json.loads(CARD.read_text(encoding="utf-8"))["policy"]
    for promised in ("missed", "false_alarms"):
        assert numbers["deployed"][promised]["value"] <= numbers["error_level"]
    assert numbers["deployed"]["error"]["value"] <= 0.03
    assert numbers["deployed"]["set_aside"]["value"] <= 0.08
    assert numbers["gate_known"]


def test_the_readme_says_what_its_card_says() -> None:
    numbers = json.loads(CARD.read_text(encoding="utf-8"))
    assert readme_text(numbers) in README.read_text(encoding="utf-8")


def flat(values: object, prefix: str = "") -> dict[str, float | str | bool]:
    """Return the leaves of JSON values by their path; what is null is a text."""
    if isinstance(values, dict):
        pairs = [(str(key), value) for key, value in values.items()]
    elif isinstance(values, list):
        pairs = [(str(key), value) for key, value in enumerate(values)]
    else:
        return {prefix: values if isinstance(values, float | int | str) else "null"}
    return {
        path: leaf for key, value in pairs for path, leaf in flat(value, f"{prefix}/{key}").items()
    }


def test_it_knows_what_it_learnt_from() -> None:
    info = open_bundle(None).info
    assert info.learnt["train"]["images"] > 4500
    assert info.learnt["val"]["images"] > 500
    assert learnt_from(info, ["00" * 32, "ab" * 32]) == 0


def test_it_recognises_the_images_that_it_learnt_from(shared: Path) -> None:
    files = sorted((shared / "data" / "chest_xray" / "train").rglob("*.jpeg"))[::100]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    info = open_bundle(None).info
    known = learnt_from(info, hashes), learnt_from(info, hashes, part="val")
    assert sum(known) == len(files)
    assert known[0] > known[1] > 0
    other = sorted((shared / "data" / "chest_xray" / "val").rglob("*.jpeg"))
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in other]
    assert learnt_from(info, hashes) == learnt_from(info, hashes, part="val") == 0


def test_no_real_image_is_uncertain_without_a_possible_class(shared: Path) -> None:
    files = sorted((shared / "data" / "chest_xray_native").rglob("*.jpeg"))
    low, high = open_bundle(None).info.policy().zone or (1, 0)
    for found in Predictor().predict_many(files):
        possible = found.conformal_set
        if found.conclusion == "NOT_ASSESSABLE":
            assert (possible, found.probability) == (None, None)
            continue
        assert possible
        assert found.probability is not None
        assert (found.conclusion == "UNCERTAIN") == (len(possible) == 2)
        assert (found.conclusion == "UNCERTAIN") == (low <= found.probability < high)


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

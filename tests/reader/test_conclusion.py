"""From a probability to a conclusion and its reasons, and the drift of many images."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.tiny_model import SPEC, grey_image, tiny_info, tiny_proto, write_tiny
from pneumoscope.errors import ModelFileError
from pneumoscope.reader.archive.summary import RunSummary
from pneumoscope.reader.checks.intended_use import scope_of
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.drift import (
    bin_of,
    distance_histogram,
    drift,
    histogram,
    reference_counts,
)
from pneumoscope.reader.model_file import self_test as selfcheck
from pneumoscope.reader.model_file import session as graph_module
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.checksum import with_info
from pneumoscope.reader.model_file.metadata import KEY, ModelInfo, OperatingPoint
from pneumoscope.reader.model_file.self_test import SelfTest, generated_image
from pneumoscope.reader.model_file.session import find_model
from pneumoscope.reader.model_file.verify import verify
from pneumoscope.reader.policy import UNCERTAIN
from pneumoscope.reader.predictor import Predictor, load
from pneumoscope.reader.records import COLUMNS, record_of, row_of

UNIT = st.floats(0, 1)


@given(st.integers(0, 10_000), st.sampled_from([0.2, 0.1, 0.05]))
def test_the_set_holds_the_true_class_as_often_as_it_promises(seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    distance = rng.beta(1, 4, 400)
    rank = int(np.ceil((200 + 1) * (1 - level)))
    quantile = float(np.sort(distance[:200])[rank - 1])
    rule = Conformal(level, (quantile, quantile))
    held = np.mean([rule.holds((1 - each, each))[1] for each in distance[200:]])
    deviation = np.sqrt(2 * level * (1 - level) / 200)  # of both halves together
    assert held > 1 - level - 5 * deviation


@pytest.mark.parametrize(
    "conformal", [{"level": 1.5, "quantiles": [0.1, 0.1]}, {"level": 0.1, "quantiles": [0.1]},
                  {"level": 0.1, "quantiles": [0.1, 2]}, {"quantiles": [0.1, 0.1]}, 7]
)  # fmt: skip
def test_conformal_rules_that_cannot_be_are_refused(conformal: object) -> None:
    facts = {**tiny_info().to_dict(), "conformal": conformal}
    with pytest.raises(ValueError, match=r"conformal|incomplete|not enough values"):
        ModelInfo.from_json(json.dumps(facts))


@pytest.mark.parametrize(
    ("facts", "outside", "unknown"),
    [
        ({}, [], []),
        ({"age_years": "3", "view": "AP"}, [], []),
        ({"age_years": "5.9"}, [], []),
        (
            {"age_years": "43"},
            ["the patient is 43 years old; the reader is for patients aged 1 to 5"],
            [],
        ),
        ({"age_years": "0.25"}, ["the patient is 3 months old"], []),
        ({"age_years": ""}, [], ["the age of the patient is not known"]),
        ({"view": "LL"}, ["the view is LL; the reader is for AP or PA"], []),
        ({"view": ""}, [], ["the file does not state the view"]),
        ({"view": "ap supine"}, [], []),
        ({"view": "SUPINE"}, ["the view is SUPINE"], []),
        ({"modality": "MR", "age_years": "70"}, ["the patient is 70", "the modality is MR"], []),
    ],
)
def test_what_is_outside_of_the_scope_is_told_from_what_is_unknown(
    facts: dict[str, str], outside: list[str], unknown: list[str]
) -> None:
    intended = {"age_years": [1, 5], "view": ["AP", "PA"], "modality": ["CR", "DX"]}
    for found, wanted in zip(scope_of(facts, intended), (outside, unknown), strict=True):
        assert len(found) == len(wanted)
        assert all(text in note for text, note in zip(wanted, found, strict=True))
    assert scope_of(facts, {}) == ((), ())


def test_a_record_says_everything(tmp_path: Path) -> None:
    info = tiny_info(version="3", conformal=Conformal(0.1, (0.9, 0.9)))
    predictor = load(write_tiny(tmp_path / "m.onnx", info))
    found = predictor.predict(grey_image(101))
    assert found.conclusion == UNCERTAIN
    assert found.seconds > 0
    record = record_of(found)
    assert record["model"] == {"name": "tiny", "version": "3", "sha256": predictor.sha256}
    assert record["conformal_set"] == ["NORMAL", "PNEUMONIA"]
    assert record["rule"] == "probability=0.5"
    assert json.loads(json.dumps(record)) == record
    row = row_of(record)
    assert tuple(row) == COLUMNS
    assert row["conformal_set"] == "NORMAL; PNEUMONIA"
    assert row["model_sha256"] == predictor.sha256
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - for other processes


def test_the_shipped_reader_is_found_by_name_and_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_module, "SHIPPED_FILE", tmp_path / "reader.onnx")
    for place in (None, "shipped", Path("shipped")):
        with pytest.raises(ModelFileError, match="no included reader"):
            find_model(place)
    write_tiny(tmp_path / "reader.onnx")
    for place in (None, "shipped", Path("shipped")):
        assert Predictor(place).path == tmp_path / "reader.onnx"
    assert load().predict(grey_image(150)).conclusion == "PNEUMONIA"


def test_a_model_that_changed_its_mind_fails_its_self_test(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "m.onnx")
    good = verify(path)
    assert good.passed
    assert good.seal == "intact"
    assert good.expected is not None
    assert good.found.logit == pytest.approx(good.expected.logit, abs=1e-4)
    wrong = SelfTest("lungs-1", good.found.logit + 1, 0.5)
    path.write_bytes(with_info(path.read_bytes(), tiny_info(self_test=wrong)))
    with pytest.raises(ModelFileError, match="failed its self-test"):
        load(path)
    with pytest.raises(ModelFileError, match="failed its self-test"):
        list(Predictor(path).predict_many([tmp_path / "gone.png"]))
    assert not verify(path).passed


def test_a_changed_weight_breaks_the_seal(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "m.onnx")
    content = bytearray(path.read_bytes())
    weight = content.index(np.float32(0.1).tobytes())
    content[weight] ^= 1
    path.write_bytes(bytes(content))
    found = verify(path)
    assert found.seal == "broken"
    assert not found.passed
    for use in (load, open_bundle):
        with pytest.raises(ModelFileError, match="its checksum does not match"):
            use(path)
    with pytest.raises(ModelFileError, match="its checksum does not match"):
        Predictor(path).predict(grey_image(100))
    assert open_bundle(path, allow_changed=True).info.name == "tiny"


def test_no_changed_byte_of_a_model_file_gives_a_conclusion(tmp_path: Path) -> None:
    content = write_tiny(tmp_path / "m.onnx").read_bytes()
    changed = tmp_path / "changed.onnx"
    metadata = content.index(b'{"seal"')
    places = [*range(0, len(content), 23), *range(metadata, metadata + 80)]
    places.append(content.index(b'"self_test"') + 1)
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1
        changed.write_bytes(bytes(flipped))
        with pytest.raises(ModelFileError):
            Predictor(changed).predict(grey_image(100))


def test_files_without_a_seal_and_files_being_written_are_used(tmp_path: Path) -> None:
    import onnx  # noqa: PLC0415 - here alone

    onnx.save(tiny_proto(), tmp_path / "writing.onnx")  # its seal is not set yet
    assert load(tmp_path / "writing.onnx").predict(grey_image(150)).conclusion == "PNEUMONIA"
    facts = tiny_info().to_dict()  # has no seal, as in files from before there were seals
    model = tiny_proto()
    onnx.helper.set_model_props(model, {KEY: json.dumps(facts)})
    onnx.save(model, tmp_path / "old.onnx")
    assert load(tmp_path / "old.onnx").predict(grey_image(150)).conclusion == "PNEUMONIA"


@pytest.mark.parametrize("fault", [MemoryError("no room"), SystemExit(3), ValueError("odd")])
def test_a_self_test_that_fails_to_run_has_not_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def broken(_: object) -> SelfTest:
        raise fault

    path = write_tiny(tmp_path / "m.onnx")
    monkeypatch.setattr(selfcheck, "say", broken)
    with pytest.raises(ModelFileError, match="self-test could not be run") as told:
        Predictor(path).predict(grey_image(100))
    assert told.value.__cause__ is fault


def test_a_self_test_of_another_version_is_not_guessed() -> None:
    facts = {**tiny_info().to_dict(), "self_test": {"image": "lungs-9", "logit": 0}}
    with pytest.raises(ValueError, match="update pneumoscope"):
        ModelInfo.from_json(json.dumps(facts))


def test_the_generated_image_never_changes() -> None:
    image = generated_image(*SPEC.shape)
    assert image.dtype == np.uint8
    assert [int(image[row, 5 * row % 32]) for row in range(0, 32, 4)] == GENERATED
    assert generated_image(224, 224).std() > 20


GENERATED = [60, 160, 115, 172, 208, 175, 159, 151]


def test_a_model_without_numbers_is_an_error_not_a_class(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "m.onnx")
    predictor = Predictor(path)
    predictor.check()
    bundle = predictor._bundle
    honest = bundle.run

    def broken(pixels: np.ndarray, outputs: list[str]) -> list[np.ndarray]:
        return [values * np.float32(np.nan) for values in honest(pixels, outputs)]

    bundle.run = broken  # type: ignore[method-assign]
    (found,) = predictor.predict_many([_saved(tmp_path / "a.png")])
    assert found.conclusion == "ERROR"
    assert "is not a number" in found.error
    with pytest.raises(ModelFileError, match="is not a number"):
        predictor.predict(grey_image(100))


def _saved(path: Path) -> Path:
    from PIL import Image  # noqa: PLC0415 - here alone

    Image.fromarray(grey_image(100)).save(path)
    return path


def test_equal_shares_are_no_drift_and_others_are() -> None:
    rng = np.random.default_rng(0)
    reference = histogram(rng.beta(2, 5, 2000))
    same = drift(histogram(rng.beta(2, 5, 2000)), reference)
    other = drift(histogram(rng.beta(5, 2, 2000)), reference)
    assert same is not None
    assert other is not None
    assert same.verdict == "none"
    assert same.ks < 0.06
    assert other.verdict == "large"
    assert other.ks > 0.4
    assert drift(histogram(rng.random(99)), reference) is None
    with pytest.raises(ValueError, match="bins"):
        drift([1, 2], reference)


def test_drift_agrees_with_a_case_by_hand() -> None:
    found = drift([300, 100], [100, 300])
    assert found is not None
    # Shares .75/.25 against .25/.75, with half an image in each bin.
    p = 300.5 / 401
    expected = 2 * (p - (1 - p)) * np.log(p / (1 - p))
    assert found.psi == pytest.approx(expected)
    assert found.ks == pytest.approx(0.5)


@given(st.lists(UNIT, min_size=1))
def test_each_probability_is_in_its_bin(probabilities: list[float]) -> None:
    assert sum(histogram(probabilities)) == len(probabilities)
    for value in probabilities:
        assert bin_of(value, bins=20) / 20 <= value


def test_a_tally_counts_and_tells_of_drift() -> None:
    tally = RunSummary({"probability_histogram": [500, 0]})
    for _ in range(200):
        tally.add({"conclusion": "PNEUMONIA", "probability": 0.9, "reasons": ["too old"]})
    tally.add({"conclusion": "ERROR", "probability": None, "reasons": []})
    assert tally.images == 201
    lines = tally.lines()
    assert lines[0] == "200 of 201: too old"
    assert "large drift" in lines[1]
    assert tally.to_dict()["drift"]["verdict"] == "large"
    assert reference_counts({"probability_histogram": [1, -1]}) is None
    assert reference_counts({"probability_histogram": "no"}) is None
    assert RunSummary({}).drift() is None


def test_distances_drift_too() -> None:
    rng = np.random.default_rng(0)
    known = rng.normal(1, 0.2, 2000)
    reference = {"distance_histogram": distance_histogram([float(each) for each in known])}
    assert sum(reference["distance_histogram"]["counts"]) == 2000
    for mean, verdict in ((1.0, "none"), (1.5, "large")):
        tally = RunSummary(reference)
        for each in rng.normal(mean, 0.2, 1000):
            record = {"conclusion": "NORMAL", "probability": 0.1, "reasons": []}
            tally.add({**record, "distance": float(each)})
        assert tally.to_dict()["distance_drift"]["verdict"] == verdict
        assert any("drift: the feature distances" in line for line in tally.lines()) == (
            verdict == "large"
        )
    for broken in ({"edges": [1], "counts": [1]}, {"edges": [2, 1], "counts": [1, 1, 1]}, 3):
        assert RunSummary({"distance_histogram": broken}).distance_drift() is None


def test_an_operating_point_names_its_rule(tmp_path: Path) -> None:
    point = OperatingPoint("sensitivity>=0.95", 0.01)
    path = write_tiny(tmp_path / "m.onnx", tiny_info(operating_point=point))
    found = Predictor(path).predict(grey_image(80))
    assert (found.rule, found.threshold, found.conclusion) == (point.rule, 0.01, "PNEUMONIA")

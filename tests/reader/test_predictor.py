"""Reading images with a model file."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from pneumoscope.errors import DataError, ImageError, ModelFileError
from pneumoscope.images.prepare import prepare
from pneumoscope.reader.archive.inputs import iterate_images
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.metadata import KEY, ModelInfo, OperatingPoint
from pneumoscope.reader.predictor import Predictor, load
from pneumoscope.workflow.train import Trained


@pytest.fixture(scope="module")
def images(phantoms: Path) -> list[str]:
    return [str(path) for path in iterate_images([str(phantoms)])]


def test_the_order_is_kept_and_unreadable_files_are_rows(
    trained: Trained, images: list[str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpeg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 cut")
    given = [*images[:9], str(broken), *images[9:], str(tmp_path / "missing.png")]
    found = list(Predictor(trained.run.root).predict_many(given))
    assert [prediction.path for prediction in found] == given
    errors = [prediction for prediction in found if prediction.conclusion == "ERROR"]
    assert [prediction.path for prediction in errors] == [given[9], given[-1]]
    assert all(p.probability is None and p.path in p.error for p in errors)


def test_one_by_one_and_many_at_once_agree(trained: Trained, images: list[str]) -> None:
    predictor = Predictor(trained.run.root)
    many = list(predictor.predict_many(images, workers=3))
    for prediction in many[::7]:
        alone = predictor.predict(prediction.path)
        assert alone.conclusion == prediction.conclusion
        assert alone.probability == pytest.approx(prediction.probability, abs=1e-6)


def test_path_bytes_and_prepared_array_agree(trained: Trained, images: list[str]) -> None:
    predictor = load(trained.run.model)
    path = Path(images[0])
    expected = predictor.predict(path)
    assert predictor.predict(path.read_bytes()).probability == expected.probability
    pixels = prepare(path, predictor.info.input)
    assert predictor.predict(pixels).probability == expected.probability
    assert predictor.predict(pixels).path == ""


def test_probability_logit_threshold_and_conclusion_fit_together(
    trained: Trained, images: list[str]
) -> None:
    for prediction in Predictor(trained.run.root).predict_many(images):
        assert prediction.probability is not None
        assert prediction.logit is not None
        assert prediction.threshold is not None
        expected = 1 / (1 + np.exp(-prediction.logit))
        assert prediction.probability == pytest.approx(expected, abs=1e-6)
        positive = prediction.probability >= prediction.threshold
        assert prediction.conclusion == ("PNEUMONIA" if positive else "NORMAL")


def test_a_folder_of_a_million_is_read_as_it_is_asked_for(
    trained: Trained, images: list[str]
) -> None:
    asked = 0

    def endless() -> itertools.chain[str]:
        def count(path: str) -> str:
            nonlocal asked
            asked += 1
            return path

        return itertools.chain(map(count, itertools.cycle(images)))

    predictions = Predictor(trained.run.root).predict_many(endless(), workers=2)
    first = list(itertools.islice(predictions, 20))
    predictions.close()  # type: ignore[attr-defined]
    assert [p.path for p in first] == list(itertools.islice(itertools.cycle(images), 20))
    assert asked < 200


def test_an_unreadable_image_alone_raises(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        Predictor(trained.run.root).predict(tmp_path / "missing.png")


def test_what_is_no_model_is_named(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.onnx").write_text("no model")
    plain = onnx.load(trained.run.model)
    onnx.helper.set_model_props(plain, {"other": "{}"})
    onnx.save(plain, tmp_path / "plain.onnx")
    for place, says in (
        (tmp_path / "empty", r"no model\.onnx in this folder"),
        (tmp_path / "missing", "no such model file"),
        (tmp_path / "text.onnx", "not a readable model file"),
        (tmp_path / "plain.onnx", "not a pneumoscope model"),
    ):
        with pytest.raises(ModelFileError, match=says):
            open_bundle(place)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 99}, "update pneumoscope"),
        ({"classes": ["a"]}, "its classes are"),
        ({"input": {"height_px": -1}}, "height_px"),
        ({"operating_point": {"rule": "x", "threshold": 7}}, "threshold"),
        ({"operating_point": {"cut": 1}}, "incomplete"),
    ],
)
def test_metadata_that_cannot_be_are_refused(
    trained: Trained, tmp_path: Path, change: dict[str, object], says: str
) -> None:
    model = onnx.load(trained.run.model)
    facts = json.loads(next(p.value for p in model.metadata_props if p.key == KEY))
    onnx.helper.set_model_props(model, {KEY: json.dumps({**facts, **change})})
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ModelFileError, match=says):
        open_bundle(tmp_path / "model.onnx")


def test_what_a_model_says_of_itself_survives(trained: Trained) -> None:
    info = Predictor(trained.run.root).info
    assert info.classes == ("NORMAL", "PNEUMONIA")
    assert info.input.shape == (32, 32)
    point = info.operating_point
    assert (point.rule, point.threshold) == ("probability=0.5", 0.5)
    assert point.achieved["part"] == "val"
    assert info.training["seed"] == 0
    moved = dataclasses.replace(info, operating_point=OperatingPoint("x", 0.25))
    assert ModelInfo.from_json(moved.to_json()) == moved


def test_files_folders_and_patterns(tmp_path: Path, phantoms: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "sub/c.jpeg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "no-suffix").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "sub" / "circle").symlink_to(tmp_path)
    folder = str(tmp_path)
    assert list(iterate_images([folder])) == [
        f"{folder}/{name}" for name in ("a.JPG", "b.png", "no-suffix", "sub/c.jpeg")
    ]
    found = iterate_images([f"{folder}/*.png", "x.png"])
    assert list(found) == [f"{folder}/b.png", "x.png"]
    with pytest.raises(DataError, match="matches no file"):
        iterate_images([f"{folder}/*.bmp"])
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no images in this folder"):
        iterate_images([f"{folder}/none"])

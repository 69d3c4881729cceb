"""A reader accepts images of every kind, and can be sent to other processes."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pneumoscope.errors import ModelFileError, OptionError
from pneumoscope.reader.archive.inputs import iterate_images
from pneumoscope.reader.predictor import Predictor
from pneumoscope.workflow.train import Trained


@pytest.fixture(scope="module")
def path(phantoms: Path) -> Path:
    return Path(str(next(iterate_images([str(phantoms)]))))


def test_every_kind_of_source_gets_the_conclusion_of_the_file(trained: Trained, path: Path) -> None:
    reader = Predictor(trained.run.root)
    expected = reader.predict(path)
    with Image.open(path) as image:
        pixels = np.asarray(image)
        sources: list[Any] = [image, pixels, pixels[None], io.BytesIO(path.read_bytes())]
        found = list(reader.predict_many(sources))
    for prediction in found:
        assert prediction.conclusion == expected.conclusion
        assert prediction.probability == pytest.approx(expected.probability, abs=0.05)
        assert prediction.path == ""


def test_a_bad_item_among_many_is_a_row(trained: Trained, path: Path) -> None:
    bad = [None, [1, 2], 3.5, np.zeros((2, 2)), io.StringIO("x"), Path("missing.png"), object()]
    sources: list[Any] = [path, *bad, path]
    found = list(Predictor(trained.run.root).predict_many(sources))
    assert [p.conclusion == "ERROR" for p in found] == [False, *[True] * len(bad), False]
    assert all(p.error for p in found[1:-1])


@pytest.mark.parametrize("one", ["a.png", b"bytes", Path("a.png")])
def test_one_image_instead_of_many_is_named(trained: Trained, one: object) -> None:
    with pytest.raises(OptionError, match="Give a list"):
        list(Predictor(trained.run.root).predict_many(one))  # type: ignore[arg-type]


def test_a_pickled_reader_says_the_same(trained: Trained, path: Path) -> None:
    reader = Predictor(trained.run.root, gated=False, threads=2)
    again = pickle.loads(pickle.dumps(reader))  # noqa: S301 - made here
    assert (again.gated, again.path, again.sha256) == (False, reader.path.absolute(), reader.sha256)
    assert again.predict(path).logit == pytest.approx(reader.predict(path).logit, abs=1e-5)


def test_a_reader_travels_to_a_new_process(trained: Trained, path: Path) -> None:
    reader = Predictor(trained.run.root)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (found,) = pool.map(reader.predict, [str(path)])
    assert found.conclusion == reader.predict(path).conclusion
    assert found.model is not None
    assert found.model.sha256 == reader.sha256


def test_another_file_in_its_place_is_refused(trained: Trained, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    shutil.copy(trained.run.model, model)
    pickled = pickle.dumps(Predictor(model))
    model.unlink()
    with pytest.raises(ModelFileError):
        pickle.loads(pickled)  # noqa: S301 - made here
    other = Predictor()
    shutil.copy(other.path, model)
    with pytest.raises(ModelFileError, match="was changed after"):
        pickle.loads(pickled)  # noqa: S301 - made here

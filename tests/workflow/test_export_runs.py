"""Several runs as one file: averaged, judged by who did not learn, stored in less."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pneumoscope.errors import DataError, OptionError
from pneumoscope.reader.bundle import open_bundle
from pneumoscope.reader.learnt import learnt_from
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import rows_of
from pneumoscope.training.recipe import recipe_of
from pneumoscope.workflow.export import export_runs
from pneumoscope.workflow.train import train_reader


@pytest.fixture(scope="module")
def runs(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return two folds of the same data."""
    place = tmp_path_factory.mktemp("folds")
    for fold in (0, 1):
        recipe = recipe_of(
            "seed", image_size=32, filters=(4, 8), max_epochs=1, validation="kfold", folds=2,
            fold=fold, seed=fold,
        )  # fmt: skip
        train_reader(phantoms, place / str(fold), recipe=recipe)
    return [place / "0", place / "1"]


def test_folds_judge_every_image_by_the_member_that_did_not_see_it(
    runs: list[Path], phantoms: Path, tmp_path: Path
) -> None:
    made = export_runs(runs, tmp_path / "both.onnx", operating_point="youden")
    assert made.members == tuple(runs)
    judged = {
        row["path"] for run in runs for row in rows_of(run / "split.csv") if row["split"] == "val"
    }
    assert made.evaluation.n == len(judged)
    images = sorted((phantoms / "train").rglob("*.jpeg"))
    readers = [Predictor(run, gated=False) for run in (*runs, made.model)]
    said = [[reader.predict(path).logit for reader in readers] for path in images[:6]]
    one, two, both = np.array(said, np.float64).T
    np.testing.assert_allclose(both, (one + two) / 2, atol=1e-4)
    info = open_bundle(made.model).info
    assert info.operating_point.rule == "youden"
    assert len(info.training["members"]) == 2
    assert info.self_test is not None
    # Some member learnt from every image that is not of the test part.
    taught = {
        row["path"] for run in runs for row in rows_of(run / "split.csv") if row["split"] == "train"
    }
    hashes = {row["path"]: row["sha256"] for row in rows_of(runs[0] / "catalog.csv")}
    assert learnt_from(info, hashes.values()) == len({hashes[path] for path in taught})
    assert learnt_from(info, [hashes[path] for path in judged], part="val") == len(judged)
    assert info.training["calibration"]["method"] == "none"
    assert str(tmp_path) not in info.to_json()


@pytest.mark.parametrize(("precision", "close"), [("float16", 0.02), ("int8", 0.3)])
def test_smaller_precisions_say_nearly_the_same(
    runs: list[Path], phantoms: Path, tmp_path: Path, precision: str, close: float
) -> None:
    plain = export_runs(runs[:1], tmp_path / "plain.onnx")
    small = export_runs(runs[:1], tmp_path / "small.onnx", precision=precision)  # type: ignore[arg-type]
    assert small.bytes < plain.bytes
    assert small.difference < close
    assert plain.difference < 1e-4
    paths = sorted((phantoms / "test").rglob("*.jpeg"))
    one, two = (
        np.array(
            [found.probability for found in Predictor(made.model, gated=False).predict_many(paths)]
        )
        for made in (plain, small)
    )
    assert np.abs(one - two).max() < close


def test_wrong_calls_are_named(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--precision"):
        export_runs(runs, tmp_path / "x.onnx", precision="float8")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no run"):
        export_runs([tmp_path], tmp_path / "x.onnx")
    with pytest.raises(DataError, match="--data"):
        export_runs(runs, tmp_path / "x.onnx", data=tmp_path / "gone")
    assert not (tmp_path / "x.onnx").exists()

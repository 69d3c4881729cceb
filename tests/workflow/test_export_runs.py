"""Several runs as one file: averaged, judged by who did not learn, stored in less."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import Split
from pneumoscope.errors import DataError, ExportError, OptionError
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.training_hashes import learnt_from
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import rows_of
from pneumoscope.training.recipe import recipe_of
from pneumoscope.workflow import finish
from pneumoscope.workflow import shift as shifts
from pneumoscope.workflow.export import Exported, export_runs
from pneumoscope.workflow.shift import Shift
from pneumoscope.workflow.train import train_reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.data.cache import ImageCache


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


@pytest.fixture(scope="module")
def plain(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return the first of them in full precision."""
    return export_runs(runs[:1], tmp_path_factory.mktemp("plain") / "plain.onnx")


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
    # Some member learnt from every image that is not of the test set.
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
    runs: list[Path],
    plain: Exported,
    phantoms: Path,
    tmp_path: Path,
    precision: str,
    close: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Of so few images, one pair that changes its order is 0.01 of the AUC.
    monkeypatch.setattr("pneumoscope.workflow.shift.LARGEST_LOSS", 0.03)
    small = export_runs(runs[:1], tmp_path / "small.onnx", precision=precision)  # type: ignore[arg-type]
    assert small.bytes < plain.bytes
    assert small.shift.largest < close
    assert plain.shift.largest < 1e-4
    assert plain.shift.changed == 0
    for made in (plain, small):  # the file says so itself
        assert open_bundle(made.model).info.training["shift"] == made.shift.to_dict()
    paths = sorted((phantoms / "test").rglob("*.jpeg"))
    one, two = (
        np.array(
            [found.probability for found in Predictor(made.model, gated=False).predict_many(paths)]
        )
        for made in (plain, small)
    )
    assert np.abs(one - two).max() < close


def test_a_precision_that_changes_too_much_leaves_the_earlier_file(
    runs: list[Path], plain: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "reader.onnx"
    good = plain.model.read_bytes()
    out.write_bytes(good)

    monkeypatch.setattr(shifts, "LARGEST_SHIFT", 0.0)
    with pytest.raises(ExportError, match=r"reader.onnx: not written: in int8, .*allowed"):
        export_runs(runs[:1], out, precision="int8")
    assert out.read_bytes() == good
    assert [path.name for path in tmp_path.iterdir()] == ["reader.onnx"]


def test_the_bounds_of_a_smaller_precision(tmp_path: Path) -> None:
    label = np.repeat([0, 1], 100)
    before = np.linspace(0.01, 0.99, 200)

    def shift(after: NDArray[np.float64], changed: int) -> Shift:
        return Shift.between(before, after, label, changed=changed)

    found = shift(before + 0.05, 4)
    assert (found.n, found.changed) == (200, 4)
    assert found.largest == pytest.approx(0.05)
    assert found.usual == pytest.approx(0.05)
    assert found.auc_loss == 0
    found.check(tmp_path, "int8")
    with pytest.raises(ExportError, match=r"5 of 200 conclusions change \(at most 4 allowed"):
        shift(before, 5).check(tmp_path, "float16")
    with pytest.raises(ExportError, match=r"move by 0.19 or more \(0.1 is allowed"):
        shift(before * 0.8, 0).check(tmp_path, "int8")
    tangled = before.copy()
    tangled[95:105] = tangled[95:105][::-1]
    with pytest.raises(ExportError, match="AUC falls by"):
        shift(tangled, 0).check(tmp_path, "int8")
    with pytest.raises(ExportError):
        shift(np.full(200, np.nan), 0).check(tmp_path, "int8")


def test_the_proof_is_on_images_of_all_classes(phantoms: Path) -> None:
    """Rows stand class by class, so the first ones are of one class."""
    catalog = read_catalog(phantoms)
    rows = [*np.flatnonzero(catalog.labels == 0), *np.flatnonzero(catalog.labels == 1)]
    data = PreparedData(catalog, cast("ImageCache", None), Split(("val",) * len(catalog)))
    chosen = finish._of_all_classes(data, [int(row) for row in rows], 10)
    assert len(chosen) == len(set(chosen)) == 10
    assert catalog.labels[chosen].sum() == 5
    few = [int(row) for row in [*rows[:20], rows[-1]]]
    assert len(finish._of_all_classes(data, few, 10)) == 10
    assert catalog.labels[finish._of_all_classes(data, few, 10)].sum() == 1
    assert finish._of_all_classes(data, few, 100) == sorted(few)


def test_wrong_calls_are_named(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="precision must be"):
        export_runs(runs, tmp_path / "x.onnx", precision="float8")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="not a run"):
        export_runs([tmp_path], tmp_path / "x.onnx")
    with pytest.raises(DataError, match="give their folder as `data`"):
        export_runs(runs, tmp_path / "x.onnx", data=tmp_path / "gone")
    assert not (tmp_path / "x.onnx").exists()

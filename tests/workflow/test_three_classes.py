"""Three classes through the whole road: folder, network, model file, conclusions, numbers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from helpers.classes import KINDS, TINY
from pneumoscope.cli import main
from pneumoscope.data.catalog import read_catalog
from pneumoscope.errors import DataError, ModelFileError, OptionError
from pneumoscope.evaluation.multiclass.calibration import VectorCalibration, softmax
from pneumoscope.evaluation.scores import Scores
from pneumoscope.export import export, network_logits, trace
from pneumoscope.export_int8 import quantize
from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.labels import LabelSpace
from pneumoscope.models.registry import Classifier, build_model
from pneumoscope.reader.evidence_sheet import draw_evidence
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.checksum import with_info
from pneumoscope.reader.model_file.metadata import ModelInfo, OperatingPoint
from pneumoscope.reader.model_file.session import read_model
from pneumoscope.reader.model_file.verify import verify
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.records import COLUMNS, record_of, row_of, write_csv, write_parquet
from pneumoscope.training.recipe import recipe_of
from pneumoscope.workflow.compare import compare_readers
from pneumoscope.workflow.evaluate import evaluate_reader
from pneumoscope.workflow.export import export_runs
from pneumoscope.workflow.recalibrate import calibration_of, recalibrate
from pneumoscope.workflow.train import Trained, train_reader


@pytest.fixture(scope="module")
def run(kinds_run: Trained) -> Trained:
    return kinds_run


def test_a_run_knows_its_classes(run: Trained) -> None:
    info = open_bundle(run.run.model).info
    assert info.classes == KINDS
    assert info.positive == KINDS[1:]
    assert info.pair == ("NORMAL", "PNEUMONIA")
    assert info.to_dict()["format"] == 2
    assert ModelInfo.from_json(info.to_json()) == info
    numbers = json.loads(run.run.metrics.read_text())["test"]
    assert numbers["classes"]["labels"]["names"] == list(KINDS)
    assert np.array(numbers["classes"]["confusion"]).sum() == numbers["n"]["value"]
    assert numbers["policy"]["error_level"] == 0.3
    with run.run.catalog.open() as file:
        assert {row["label"] for row in csv.DictReader(file)} == set(KINDS)
    assert run.run.report.is_file()
    assert verify(run.run.model).passed


def test_the_file_says_what_the_scores_say(run: Trained, kinds: Path) -> None:
    predictor = Predictor(run.run.model, gated=False)
    scores = Scores.load(run.run.scores("val"))
    assert scores.classes is not None
    paths = [kinds / path for path in scores.path[:6]]
    for row, found in enumerate(predictor.predict_many(paths)):
        assert found.classes == KINDS
        assert found.probabilities is not None
        assert found.probabilities == pytest.approx(scores.classes.probabilities[row], abs=1e-5)
        assert sum(found.probabilities) == pytest.approx(1, abs=1e-6)
        assert found.probability == pytest.approx(sum(found.probabilities[1:]))
        assert found.logit == pytest.approx(scores.logit[row], abs=1e-3)
        assert found.conclusion in {*KINDS, "PNEUMONIA", "UNCERTAIN"}
        assert found.conformal_set


def test_records_name_the_probability_of_each_class(
    run: Trained, kinds: Path, tmp_path: Path
) -> None:
    source = min((kinds / "test").rglob("*.jpeg"))
    found = Predictor(run.run.model, gated=False).predict(source)
    record = record_of(found)
    assert tuple(record["probabilities"]) == KINDS
    assert json.loads(json.dumps(record)) == record
    with (tmp_path / "rows.csv").open("w") as file:
        write_csv(file, [record])
    with (tmp_path / "rows.csv").open() as file:
        (row,) = csv.DictReader(file)
    told = dict(text.split(" ") for text in row["probabilities"].split("; "))
    assert [float(told[name]) for name in KINDS] == pytest.approx(found.probabilities, rel=1e-4)
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(tmp_path / "rows.parquet", [record])
    table = parquet.read_table(tmp_path / "rows.parquet")
    assert table.column_names == list(COLUMNS)
    assert table["probabilities"][0].as_py() == row_of(record)["probabilities"]


def test_two_classes_have_no_such_column(trained: Trained, phantoms: Path) -> None:
    found = Predictor(trained.run.model, gated=False).predict(min(phantoms.rglob("*.jpeg")))
    assert found.probabilities is None
    record = record_of(found)
    assert record["probabilities"] is None
    assert row_of(record)["probabilities"] is None
    assert open_bundle(trained.run.model).info.to_dict()["format"] == 1


def test_evidence_of_any_class(run: Trained, phantoms: Path, tmp_path: Path) -> None:
    predictor = Predictor(run.run.model, gated=False)
    source = min((phantoms / "test").rglob("*.jpeg"))  # large enough for a caption
    pixels = prepare(source, predictor.info.input)[np.newaxis]
    maps = {name: predictor.evidence(pixels, name) for name in KINDS}
    assert {one.shape for one in maps.values()} == {(1, 8, 8)}
    assert np.abs(sum(maps.values())).max() < 1e-4  # each speaks against the mean of the others
    group = (maps["BACTERIA"] + maps["VIRUS"]) / 2 - maps["NORMAL"]
    np.testing.assert_allclose(predictor.evidence(pixels), group * 2 / 3, atol=1e-5)
    with pytest.raises(OptionError, match="must be one of NORMAL"):
        predictor.evidence(pixels, "TUBERCULOSIS")
    found = predictor.predict(source)
    drawn = [draw_evidence(predictor, found, tmp_path / of, of=of) for of in KINDS]
    assert len({Path(one.evidence).read_bytes() for one in drawn}) == 3
    assert draw_evidence(predictor, found, tmp_path / "own").evidence


def test_the_verbs_speak_of_each_class(
    run: Trained, kinds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, image = str(run.run.model), str(min((kinds / "test").rglob("*.jpeg")))
    assert main(["predict", image, "--model", model]) == 0
    assert "NORMAL 0." in capsys.readouterr().out
    drawn = ["--evidence", str(tmp_path / "drawn"), "--evidence-of", "VIRUS"]
    assert main(["predict", image, "--model", model, *drawn]) == 0
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 1
    assert main(["predict", image, "--model", model, *drawn[:-1], "TB"]) == 1
    assert "one of NORMAL, BACTERIA, VIRUS" in capsys.readouterr().err
    assert main(["model", model]) == 0
    assert "3 classes: NORMAL, BACTERIA, VIRUS" in capsys.readouterr().out
    assert main(["evaluate", str(run.run.scores("test"))]) == 0
    told = capsys.readouterr().out
    for text in ("each class against the rest", "predicted (the most probable class)", "Macro AUC"):
        assert text in told
    assert "A group, kind uncertain" in told


def test_evaluate_recalibrate_compare(run: Trained, kinds: Path, tmp_path: Path) -> None:
    found = evaluate_reader(
        run.run.root, kinds, scores_file=tmp_path / "s.csv", report=tmp_path / "page"
    )
    assert found.by_class is not None
    assert found.by_class.sets is not None
    assert found.by_class.calibration is not None
    assert found.classes == ("NORMAL", "PNEUMONIA")
    again = evaluate_reader(tmp_path / "s.csv")
    assert again.by_class is not None
    assert again.by_class["macro_auc"].value == found.by_class["macro_auc"].value
    validation = run.run.scores("val")
    for method in ("temperature", "platt"):
        out = tmp_path / f"{method}.onnx"
        made = recalibrate(run.run.root, validation, out, method=method, level=0.3)
        assert isinstance(made.after, VectorCalibration)
        held = calibration_of(open_bundle(out))
        assert isinstance(held, VectorCalibration)
        assert held.scales == pytest.approx(made.after.scales, rel=1e-5)
        assert held.biases == pytest.approx(made.after.biases, abs=1e-5)
        assert json.loads(json.dumps(made.to_dict()))["calibration"]["method"] == held.method
    other = compare_readers([run.run.root, tmp_path / "platt.onnx"], data=kinds)
    assert len(other.pairs) == 1
    bare = tmp_path / "bare.csv"
    bare.write_text("label,probability\n1,0.9\n0,0.2\n")
    with pytest.raises(DataError, match="has no probabilities of the classes"):
        recalibrate(run.run.root, bare, tmp_path / "x.onnx")


def test_two_seeds_as_one_file(run: Trained, kinds: Path, tmp_path: Path) -> None:
    found = export_runs([run.run.root, run.run.root], tmp_path / "both.onnx")
    assert found.evaluation.by_class is not None
    assert found.evaluation.labels.names == KINDS
    predictor = Predictor(found.model, gated=False)
    said = predictor.predict(min((kinds / "test").rglob("*.jpeg")))
    assert said.probabilities is not None
    assert len(said.probabilities) == 3


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_smaller_files(precision: str, tmp_path: Path) -> None:
    spec, path = InputSpec(32, 32), tmp_path / "m.onnx"
    labels = LabelSpace.of(KINDS, KINDS[1:])
    info = ModelInfo("x", spec, KINDS, OperatingPoint(), {}, positive=labels.positive)
    model = build_model("seed-cnn", spec, filters=[4], classes=3).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32), np.uint8)
    export(model, path, info=info, check=pixels, half=precision == "float16")
    exact = _said(model, pixels)
    if precision == "int8":
        quantize(path, pixels)
        path.write_bytes(with_info(read_model(path), info, path=path))
    found = Predictor(path, gated=False).run(pixels)[1]
    assert found.shape == (20, 3)
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.abs(found - exact).max() < 0.05


def _said(model: Classifier, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return softmax(network_logits(model, [pixels]))


def test_a_probe_of_three_classes(kinds: Path, tmp_path: Path) -> None:
    recipe = recipe_of("seed", probe=True, balance="weights", **{**TINY, "val_fraction": 0.3})
    found = train_reader(kinds, tmp_path / "probe", recipe=recipe)
    assert found is not None
    assert found.evaluations["test"].by_class is not None
    (row,) = found.fitted.epochs
    assert 0 <= row.val_auc <= 1
    assert row.loss < np.log(3)


def test_a_model_of_classes_that_nobody_names(run: Trained, tmp_path: Path) -> None:
    model = onnx.load(run.run.model)
    entry = next(one for one in model.metadata_props if one.key == "pneumoscope")
    values = json.loads(entry.value)
    del values["positive"], values["seal"]
    entry.value = json.dumps(values)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="none is marked as positive"):
        open_bundle(tmp_path / "m.onnx")


def test_a_reader_of_three_refuses_other_classes(run: Trained, phantoms: Path) -> None:
    with pytest.raises(DataError, match="unknown class 'PNEUMONIA'; the model has NORMAL and"):
        read_catalog(phantoms, classes=open_bundle(run.run.model).info.labels)


@pytest.mark.parametrize("classes", [2, 3, 14])
def test_networks_of_any_number_of_classes(classes: int) -> None:
    spec = InputSpec(32, 32)
    model = build_model("seed-cnn", spec, filters=[4], classes=classes).eval()
    graph = trace(model, spec)
    shapes = {
        output.name: [size.dim_value for size in output.type.tensor_type.shape.dim][1:]
        for output in graph.graph.output
    }
    assert shapes["logits"] == shapes["probabilities"] == [classes]
    assert shapes["evidence"] == ([16, 16] if classes == 2 else [classes, 16, 16])

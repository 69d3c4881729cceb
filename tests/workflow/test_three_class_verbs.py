"""What can be done with a run of three classes: calibrate, repeat, make smaller, report."""

from __future__ import annotations

import csv
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.classes import GROUP, KINDS, TINY
from helpers.warm import WarmChild
from pneumoscope.cli import main
from pneumoscope.data.catalog import read_catalog
from pneumoscope.errors import ExportError, OptionError
from pneumoscope.evaluation.multiclass.calibration import VectorCalibration, softmax
from pneumoscope.evaluation.numbers import numbers_of
from pneumoscope.evaluation.robustness import robustness
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.scoring import score
from pneumoscope.labels import LabelSpace
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.predictor import Predictor
from pneumoscope.report.checklist import fill
from pneumoscope.report.facts import RunFacts
from pneumoscope.training.recipe import recipe_of
from pneumoscope.workflow import shift as shifts
from pneumoscope.workflow import side_by_side
from pneumoscope.workflow.evaluate import evaluate_reader
from pneumoscope.workflow.export import export_runs
from pneumoscope.workflow.recalibrate import calibration_of, recalibrate
from pneumoscope.workflow.seeds import train_seeds
from pneumoscope.workflow.shift import Shift
from pneumoscope.workflow.train import Trained


@pytest.fixture(scope="module")
def run(kinds_run: Trained) -> Trained:
    return kinds_run


@pytest.mark.parametrize("method", ["vector", "dirichlet", "auto"])
def test_recalibrate_by_any_method(
    run: Trained, kinds: Path, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file says what the calibration makes of its logits, and can be calibrated once more."""
    out, again = tmp_path / "a.onnx", tmp_path / "b.onnx"
    validation = run.run.scores("val")
    command = ["recalibrate", str(run.run.root), str(validation), "--out", str(out)]
    assert main([*command, "--method", method, "--error-level", "0.3"]) == 0
    told = capsys.readouterr().out
    assert ("loss on patients left out of the fit" in told) == (method != "vector")
    held = calibration_of(open_bundle(out))
    assert isinstance(held, VectorCalibration)
    assert held.method == ("vector" if method == "vector" else held.method)
    assert bool(held.matrix) == (held.method == "dirichlet")
    if method == "dirichlet":
        assert held.method == "dirichlet"
        assert "a matrix of 3 classes" in told
    image = min((kinds / "test").rglob("*.jpeg"))
    found = Predictor(out, gated=False).predict(image)
    assert found.logits is not None
    assert found.probabilities == pytest.approx(
        held.apply(np.array([found.logits]))[0].tolist(), abs=1e-5
    )
    said = Scores.load(validation)
    assert said.classes is not None
    now = replace(said.classes, probabilities=held.apply(said.classes.logits))
    scores = tmp_path / "s.csv"
    replace(said, model="").with_classes(now).save(scores)
    recalibrate(out, scores, again, method="temperature", level=0.3)
    last = calibration_of(open_bundle(again))
    assert isinstance(last, VectorCalibration)
    assert last.method == "temperature"
    assert not last.matrix
    evaluated = evaluate_reader(out, kinds)
    assert evaluated.by_class is not None
    assert evaluated.by_class.calibration is not None
    assert evaluated.by_class.calibration.method == held.method


def test_two_classes_have_no_such_methods(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="one of temperature, platt"):
        recalibrate(
            trained.run.root, trained.run.scores("val"), tmp_path / "x.onnx", method="dirichlet"
        )


@pytest.mark.parametrize("places", [(), ({"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "1"})])
def test_seeds_in_turn_and_side_by_side(
    kinds: Path,
    tmp_path: Path,
    places: tuple[dict[str, str], ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forks = SimpleNamespace(Popen=WarmChild, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr(side_by_side, "subprocess", forks)
    recipe = recipe_of("seed", **TINY)
    found = train_seeds(kinds, tmp_path / "runs", recipe=recipe, seeds=2, places=places)
    written = json.loads((tmp_path / "runs" / "seeds.json").read_text())["parts"]["test"]
    numbers = [json.loads(run.metrics.read_text())["test"]["classes"] for run in found.runs]
    areas = [own["values"]["macro_auc"]["value"] for own in numbers]
    assert written["mean"]["classes_macro_auc"] == pytest.approx(np.mean(areas))
    virus = [own["by_class"]["VIRUS"]["auc"]["value"] for own in numbers]
    assert written["mean"]["auc VIRUS"] == pytest.approx(np.mean(virus))
    with (tmp_path / "runs" / "figures" / "seeds-numbers-test.csv").open() as file:
        rows = {row["metric"] for row in csv.DictReader(file)}
    assert {"All classes: Macro AUC", "AUC of VIRUS against the rest", "AUC"} <= rows
    assert "All classes: Macro AUC" in found.report.read_text(encoding="utf-8")


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_smaller_files_of_a_run_are_judged(
    run: Trained,
    kinds: Path,
    tmp_path: Path,
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if precision == "int8":  # a network of one epoch is sure of nothing
        monkeypatch.setattr(shifts, "LARGEST_SHIFT", 0.0)
        with pytest.raises(ExportError, match=r"the probabilities of 5% .* move by"):
            export_runs([run.run.root], tmp_path / "small.onnx", precision="int8")
        monkeypatch.setattr(shifts, "LARGEST_SHIFT", 0.1)
        monkeypatch.setattr(shifts, "LARGEST_CHANGED", 0.2)
    found = export_runs([run.run.root], tmp_path / "small.onnx", precision=precision)  # type: ignore[arg-type]
    info = open_bundle(found.model).info
    assert info.training["shift"] == found.shift.to_dict()
    assert found.shift.n == len(Scores.load(run.run.scores("val")))
    assert found.shift.usual < 0.1
    paths = sorted((kinds / "test").rglob("*.jpeg"))[:10]
    pairs = zip(
        Predictor(run.run.model, gated=False).predict_many(paths),
        Predictor(found.model, gated=False).predict_many(paths),
        strict=True,
    )
    for one, other in pairs:
        assert one.probabilities == pytest.approx(other.probabilities, abs=0.1)


def test_a_shift_is_the_largest_of_any_class() -> None:
    labels = LabelSpace.of(KINDS, KINDS[1:])
    number = np.repeat([0, 1, 2], 50)
    before = softmax(2.0 * np.eye(3)[number] + np.random.default_rng(0).normal(size=(150, 3)))
    after = before.copy()
    after[:, 1:] = after[:, :0:-1]  # the kinds are confused, their sum stays
    found = Shift.between_classes(before, after, number, labels, changed=40)
    assert Shift.between(before[:, 1:].sum(1), after[:, 1:].sum(1), (number > 0).astype(np.int64),
                         changed=0).auc_loss == pytest.approx(0)  # fmt: skip
    assert found.auc_loss > 0.3
    assert found.largest == pytest.approx(np.abs(after - before).max())
    with pytest.raises(ExportError, match=r"AUC falls .* 40 of 150 conclusions"):
        found.check(Path("m.onnx"), "int8")


def test_cards_and_checklists_speak_of_each_class(run: Trained) -> None:
    card = (run.run.root / "card.md").read_text(encoding="utf-8")
    assert "probability of each of NORMAL, BACTERIA, VIRUS" in card
    assert "| class | images | AUC |" in card
    assert "| Macro AUC |" in card
    matrix = json.loads(run.run.metrics.read_text())["test"]["classes"]["confusion"]
    (row,) = (
        line for line in card.splitlines() if line.startswith("| BACTERIA |") and ", " in line
    )
    cells = [cell.strip().split(",")[0] for cell in row.strip("|").split("|")[1:]]
    assert cells == [str(n) for n in matrix[1]]
    found = fill(RunFacts.read(run.run.root), "claim")
    assert any(
        "By class, with the most probable one predicted: NORMAL: AUC" in str(i) for i in found.items
    )
    page = run.run.report.read_text(encoding="utf-8")
    assert "Each of the 3 classes, on the test images" in page
    assert "and each of 3 classes from the others?" in page


def test_robustness_is_that_of_the_positive_group(run: Trained, kinds: Path) -> None:
    predictor = Predictor(run.run.model, gated=False)
    catalog = read_catalog(kinds / "test", positive=GROUP)
    (plain, *_) = robustness(predictor, catalog, names=("brighter",))
    scores, _ = score(predictor, catalog)
    threshold = predictor.info.operating_point.threshold
    wanted = numbers_of(scores, threshold=threshold, resamples=0)
    assert plain.numbers["auc"].value is not None
    for name, number in plain.numbers.items():
        assert number.value == pytest.approx(wanted[name].value)

"""Studies of three classes and of several findings: the scores of their runs, and the answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.classes import GROUP, by_kind
from helpers.findings import FINDINGS, findings_table
from helpers.phantoms import written_once
from helpers.study import popen_forked
from helpers.warm import run_warm
from pneumoscope.evaluation.multilabel.scores import FindingScores
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import rows_of
from pneumoscope.stats.roc import area_under_roc
from pneumoscope.study.folder import StudyFolder, StudyRun
from pneumoscope.study.report import write_study_page

PLAN = """
base: seed
changes: {image_size: 32, filters: [4, 8], max_epochs: 1 MORE}
seeds: 2
models: true
split: {val_fraction: 0.3, held_out: 0.4}
questions:
  rate: {factor: learning_rate, values: [0.001, 0.01]}
"""


@pytest.fixture(scope="module")
def of_classes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyFolder]:
    place = tmp_path_factory.mktemp("classes")
    written_once(tmp_path_factory, place / "two", patients=100, seed=5, size_px=(40, 44))
    data = by_kind(place / "two", place / "data")
    plan = PLAN.replace("MORE", f", positive: {GROUP!r}").replace("seeds: 2", "seeds: 1")
    return data, conducted(data, place, plan)


@pytest.fixture(scope="module")
def of_findings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyFolder]:
    place = tmp_path_factory.mktemp("findings")
    written_once(tmp_path_factory, place / "data", patients=100, seed=5, size_px=(40, 44))
    table = findings_table(place / "data", place / "images.csv")
    return place, conducted(table, place, PLAN.replace("MORE", ", findings: all"))


def conducted(data: Path, place: Path, plan: str) -> StudyFolder:
    """Run a study in a fork, whose worker is a fork as well."""
    (place / "plan.yaml").write_text(plan)
    out = StudyFolder(place / "study")
    words = ("study", data, "--plan", place / "plan.yaml", "--out", out.root)
    forked = {"pneumoscope.study.workers.subprocess.Popen": popen_forked}
    code, _, errors = run_warm("pneumoscope", *words, values=forked)
    assert code == 0, errors
    return out


def first(folder: StudyFolder) -> StudyRun:
    run = folder.runs()[0]
    assert run.state == "done", run.error()
    return run


def test_three_classes_are_scored_as_by_their_model(
    of_classes: tuple[Path, StudyFolder],
) -> None:
    data, folder = of_classes
    run = first(folder)
    scores = Scores.load(run.held_out)
    read = list(Predictor(run.files.model, gated=False).predict_many(
        [data / path for path in scores.path]
    ))  # fmt: skip
    assert scores.classes is not None
    assert scores.logit == pytest.approx([one.logit for one in read], abs=1e-3)
    result = run.result()
    assert result.held_out["auc"] == area_under_roc(scores.label, scores.logit)
    assert result.threshold is not None
    right = (scores.probability >= result.threshold) == (scores.label == 1)
    assert result.held_out["accuracy"] == right.mean()
    assert "mean AUC" not in write_study_page(folder).sentences[0]


def test_findings_are_scored_as_by_their_model(of_findings: tuple[Path, StudyFolder]) -> None:
    data, folder = of_findings
    run = first(folder)
    scores = FindingScores.load(run.held_out)
    read = Predictor(run.files.model, gated=False).predict_many(
        [data / path for path in scores.path]
    )
    expected = np.array([[each.logit for each in one.findings] for one in read])
    assert scores.names == FINDINGS
    assert scores.logits == pytest.approx(expected, abs=1e-3)
    result = run.result()
    areas = [
        area_under_roc(scores.of(name).label, scores.of(name).logit) or 0.0 for name in FINDINGS
    ]
    assert result.held_out["auc"] == pytest.approx(np.mean(areas))
    assert list(result.thresholds) == list(FINDINGS)
    assert result.threshold is None


def test_the_answer_is_the_difference_in_mean_area(of_findings: tuple[Path, StudyFolder]) -> None:
    _, folder = of_findings
    page = write_study_page(folder)
    assert page.sentences[0].startswith("Rate? 0.01 against 0.001: mean AUC ") or (
        "than 0.001: mean AUC" in page.sentences[0]
    )
    (row,) = rows_of(folder.root / "answers.csv")
    by_title = {run.title(): run.result().held_out["auc"] for run in folder.runs()}
    other = np.mean([area for title, area in by_title.items() if title.startswith("learning")])
    base = np.mean([area for title, area in by_title.items() if title.startswith("base")])
    assert float(row["auc_difference"]) == pytest.approx(other - base)
    assert float(row["auc_low"]) < float(row["auc_difference"]) < float(row["auc_high"])
    text = page.place.read_text(encoding="utf-8")
    assert "AUC and accuracy are means over the findings" in text

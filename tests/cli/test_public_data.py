"""Training and evaluation on public data sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from helpers.public_sets import MAKERS, classes_with_names
from pneumoscope.cli import main
from pneumoscope.workflow.train import Trained

Captured = pytest.CaptureFixture[str]
QUICK = ["--resamples", "100"]
TINY = ["--image-size", "32", "--filters", "4,8", "--epochs", "1", "--val-fraction", "0.2"]


def printed(command: list[str], capsys: Captured) -> dict[str, object]:
    assert main(command) == 0, capsys.readouterr().err
    return dict(json.loads(capsys.readouterr().out))


def test_the_map_is_part_of_the_run(tmp_path: Path, capsys: Captured) -> None:
    made = MAKERS["mimic"](tmp_path / "data")
    data, run = str(made.place), tmp_path / "run"
    assert main(["train", data, "--out", str(run), *TINY, *made.options]) == 0
    heard = capsys.readouterr().err
    assert "not a frontal view (LATERAL 96)" in heard.replace("\n", " ")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["class_map"] == {"PNEUMONIA": ["Pneumonia"], "NORMAL": ["No Finding"]}
    facts = json.loads((run / "provenance.json").read_text())
    assert [item["n"] for item in facts["left_out"]] == [96, 24, 24]

    judged = ["evaluate", str(run), data, "--split", "all", "--json", *QUICK]
    images = printed(judged, capsys)
    studies = printed([*judged, "--per", "study", "--aggregate", "max"], capsys)
    assert images["n"] == studies["n"] == {"value": 48}
    assert studies["unit"] == {"value": "study", "aggregate": "max"}
    assert "unit" not in images
    assert studies["left_out"] == facts["left_out"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert "unit" not in metrics["all"]
    page = tmp_path / "page"
    command = ["evaluate", str(run), data, "--per", "patient", "--report", str(page), *QUICK]
    assert main(command) == 0
    assert "patients of" in capsys.readouterr().out
    assert "Each patient counts once" in (page / "report.html").read_text()
    from_scores = ["evaluate", str(run), "--per", "study", "--split", "val", "--json", *QUICK]
    assert printed(from_scores, capsys)["unit"] == {"value": "study", "aggregate": "mean"}


def test_a_model_is_judged_on_data_with_other_names(
    trained: Trained, tmp_path: Path, capsys: Captured
) -> None:
    data = classes_with_names(tmp_path / "data", ("BACTERIA", "VIRUS", "Healthy", "TB"))
    model = str(trained.run.model)
    assert main(["evaluate", model, str(data), *QUICK]) == 1
    told = capsys.readouterr().err.replace("\n", " ")
    assert "--map PNEUMONIA=BACTERIA,VIRUS --map NORMAL=Healthy" in told
    command = ["evaluate", model, str(data), "--map", "PNEUMONIA=BACTERIA,VIRUS"]
    found = printed([*command, "--map", "NORMAL=healthy", "--json", *QUICK], capsys)
    assert found["n"] == {"value": 9}
    assert main(["evaluate", str(trained.run.root), "--map", "A=b", *QUICK]) == 1
    assert "combined with DATA" in capsys.readouterr().err


def test_scores_are_judged_by_study(tmp_path: Path, capsys: Captured) -> None:
    rows = [f"{i}.png,p{i // 4},s{i // 2},{i // 4 % 2},{0.01 * (i + 1):.2f}\n" for i in range(80)]
    place = tmp_path / "s.csv"
    place.write_text("path,patient,study,label,probability\n" + "".join(rows))
    command = ["evaluate", str(place), "--per", "study", *QUICK]
    found = printed([*command, "--json"], capsys)
    assert found["n"] == {"value": 40}
    assert found["patients"] == {"value": 20}
    assert found["images"] == {"value": 80}
    assert main(command) == 0
    assert "40 studies of 20 patients" in capsys.readouterr().out
    assert main(["evaluate", str(place), "--per", "series", *QUICK]) == 1
    assert "--per must be one of image, study, patient" in capsys.readouterr().err


def test_inspect_takes_the_classes_of_a_map(tmp_path: Path, capsys: Captured) -> None:
    made = MAKERS["radiography"](tmp_path / "data")
    command = ["inspect", str(made.place), "--out", str(tmp_path / "i")]
    assert main([*command, *made.options]) == 0
    assert "PNEUMONIA" in capsys.readouterr().out
    found = json.loads((tmp_path / "i" / "inspect.json").read_text())
    assert found["counts"]["labels"] == {"NORMAL": 24, "PNEUMONIA": 48}
    assert [item["n"] for item in found["left_out"]] == [96, 24]

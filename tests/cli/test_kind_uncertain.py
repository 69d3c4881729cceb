"""A reader that is certain of pneumonia but not of its kind, in each output format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from helpers.classes import write_kinds
from pneumoscope.cli import main

SAID = "PNEUMONIA, kind uncertain: BACTERIA and VIRUS are possible"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("kinds")
    return str(write_kinds(folder / "m.onnx", quantiles=(0.0, 1.0, 1.0)))


@pytest.fixture(scope="module")
def image(phantoms: Path) -> str:
    return str(min((phantoms / "test").rglob("*.jpeg")))


def test_the_table_says_that_the_kind_is_uncertain(
    model: str, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", image, "--model", model]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[1].startswith("PNEUMONIA ")
    assert " ".join(SAID.split()) in " ".join(told.split())
    assert "1 PNEUMONIA" in told


def test_json_and_csv_keep_the_group_and_its_kinds(
    model: str, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", image, "--model", model, "--format", "json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["conclusion"] == "PNEUMONIA"
    assert record["conformal_set"] == ["BACTERIA", "VIRUS"]
    assert SAID in record["reasons"]
    group = record["probabilities"]["BACTERIA"] + record["probabilities"]["VIRUS"]
    assert record["probability"] == pytest.approx(group)
    assert main(["predict", image, "--model", model, "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["conclusion"] == "PNEUMONIA"
    assert SAID in row["reasons"]

"""Options of ``evaluate`` apply everywhere, and a what-if does not change the run."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.tiny_model import tiny_info, write_tiny
from pneumoscope.cli import main
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.workflow.train import Trained

Captured = pytest.CaptureFixture[str]
QUICK = ["--resamples", "100"]


def evaluated(command: list[str], capsys: Captured) -> dict[str, Any]:
    assert main(["evaluate", *command, "--json", *QUICK]) == 0, capsys.readouterr().err
    return dict(json.loads(capsys.readouterr().out))


def bright_and_dark(folder: Path, *, n: int = 12, depth: int = 8) -> Path:
    """Write dark NORMAL and bright PNEUMONIA images; 16-bit files hold their values in 12 bits."""
    rng = np.random.default_rng(0)
    for label, mean in (("NORMAL", 80), ("PNEUMONIA", 125)):
        for k in range(n):
            grey = np.clip(rng.normal(mean + 3 * k, 20, (40, 40)), 0, 255)
            grey[0, :2] = 0, 255
            place = folder / "test" / label / f"p{label[0]}{k}-1.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            if depth == 8:
                Image.fromarray(grey.astype(np.uint8)).save(place)
            else:
                Image.fromarray((grey / 255 * 1500).astype(np.uint16)).save(place)
    return folder


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained.run.root, tmp_path / "run"))


@pytest.mark.parametrize(
    "what_if",
    [
        ["--threshold", "0.9"],
        ["--prevalence", "0.1"],
        ["--level", "0.8"],
        ["--per", "patient"],
    ],
)
def test_a_what_if_leaves_the_metrics_of_the_run(
    run: Path, phantoms: Path, capsys: Captured, what_if: list[str]
) -> None:
    before = (run / "metrics.json").read_bytes()
    evaluated([str(run), str(phantoms), *what_if], capsys)
    assert (run / "metrics.json").read_bytes() == before
    evaluated([str(run), str(phantoms)], capsys)
    after = json.loads((run / "metrics.json").read_bytes())["test"]
    assert after["resamples"] == {"value": 100}


def test_a_part_of_the_rows_leaves_the_run_as_it_was(
    run: Path, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    fewer = Path(shutil.copytree(phantoms, tmp_path / "fewer"))
    next((fewer / "test" / "NORMAL").iterdir()).unlink()
    changed = next((fewer / "test" / "PNEUMONIA").iterdir())
    other = Path(shutil.copytree(phantoms, tmp_path / "other"))
    Image.new("L", (96, 96), 90).save(other / "test" / "PNEUMONIA" / changed.name)
    names = ("metrics.json", "scores-test.csv")
    before = [(run / name).read_bytes() for name in names]
    for data in (fewer, other):
        evaluated([str(run), str(data)], capsys)
        assert [(run / name).read_bytes() for name in names] == before, data


def test_worse_images_are_judged_at_the_threshold_that_was_given(
    tmp_path: Path, capsys: Captured
) -> None:
    model, data = write_tiny(tmp_path / "tiny.onnx"), bright_and_dark(tmp_path / "data")
    for threshold in ("0.1", "0.95"):
        command = [str(model), str(data), "--robustness", "--limit", "0", "--level", "0.9"]
        found = evaluated([*command, "--threshold", threshold], capsys)
        plain = found["robustness"][0]
        assert plain["corruption"] == "none"
        for name in ("sensitivity", "specificity", "accuracy", "auc"):
            assert plain[name]["value"] == found[name]["value"], (name, threshold)
        levels = {row[name]["level"] for row in found["robustness"] for name in ("accuracy",)}
        assert levels == {0.9}


def test_worse_images_of_more_bits_are_those_that_are_read(
    tmp_path: Path, capsys: Captured
) -> None:
    """Values of 1,500 in a 16-bit file are stretched as the model's input is, not to 11 bits."""
    model = write_tiny(tmp_path / "tiny.onnx")
    data = bright_and_dark(tmp_path / "data", depth=16)
    command = [str(model), str(data), "--robustness", "--limit", "0"]
    found = evaluated(command, capsys)
    plain, *worse = found["robustness"]
    assert plain["accuracy"]["value"] == found["accuracy"]["value"]
    slightest = [row for row in worse if row["strength"] == 1 and row["corruption"] == "noise"]
    assert slightest[0]["changed"]["value"] <= 0.1  # noise alone changes next to nothing


@pytest.mark.usefixtures("drawn")
def test_the_level_that_was_asked_stands_everywhere_on_the_page(
    run: Path, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    page = tmp_path / "page"
    command = ["evaluate", str(run), str(phantoms), "--level", "0.9", "--robustness", "--limit"]
    assert main([*command, "10", "--report", str(page), *QUICK]) == 0
    out = capsys.readouterr().out
    html = (page / "report.html").read_text(encoding="utf-8")
    plain = re.sub(r"<svg.*?</svg>|<table.*?</table>", "", html, flags=re.DOTALL)
    assert "95%" not in plain
    assert "95% interval" not in html
    assert plain.count("90%") >= 6
    assert "90% interval" in out
    assert "95%" not in out


def test_an_external_folder_with_a_test_part_is_not_of_the_same_source(
    run: Path, tmp_path: Path, capsys: Captured
) -> None:
    data = bright_and_dark(tmp_path / "elsewhere")
    without_hashes = write_tiny(tmp_path / "tiny.onnx")
    readers = ((run, "other"), (run / "model.onnx", "other"), (without_hashes, "unknown"))
    for number, (reader, relation) in enumerate(readers):
        page = tmp_path / f"page-{number}"
        found = evaluated([str(reader), str(data), "--report", str(page)], capsys)
        assert (found["split"], found["relation"]) == ("test", relation)
        assert "same source" not in (page / "report.html").read_text(encoding="utf-8")


def test_validation_images_are_not_said_to_be_all_that_there_was(
    run: Path, phantoms: Path, capsys: Captured
) -> None:
    for command in ([str(run), str(phantoms)], [str(run)]):
        found = evaluated([*command, "--split", "val"], capsys)
        assert (found["relation"], found["has_test"]) == ("validation", True)
        assert "no test set" not in json.dumps(found["notes"])
        assert evaluated(command, capsys)["relation"] == "test"


def test_images_that_it_learnt_from_are_told(run: Path, phantoms: Path, capsys: Captured) -> None:
    found = evaluated([str(run), str(phantoms), "--split", "train"], capsys)
    assert found["relation"] == "training"
    found = evaluated([str(run), str(phantoms), "--split", "all"], capsys)
    assert found["relation"] == "overlap"
    assert found["seen"] > 0
    assert main(["evaluate", str(run), str(phantoms), "--split", "all", *QUICK]) == 0
    assert "do not apply to new" in capsys.readouterr().out.replace("\n", " ")


def test_a_reader_that_calls_everything_positive_is_told_how_to_mend_it(
    tmp_path: Path, capsys: Captured
) -> None:
    info = tiny_info(operating_point=OperatingPoint("probability=0.0001", 0.0001))
    model, data = write_tiny(tmp_path / "tiny.onnx", info), bright_and_dark(tmp_path / "data")
    page = tmp_path / "page"
    assert main(["evaluate", str(model), str(data), "--report", str(page), *QUICK]) == 0
    out = capsys.readouterr().out
    assert "Before you rely on this" in out
    assert "of the images as PNEUMONIA" in out
    assert "pneumoscope recalibrate" in out
    html = (page / "report.html").read_text(encoding="utf-8")
    first = html[html.index("Before you rely on this") :]
    assert first.index("of the images as PNEUMONIA") < first.index("<nav")

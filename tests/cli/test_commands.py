"""The verbs as a user runs them: output, exit codes and error messages."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.tiny_model import tiny_info, write_tiny
from pneumoscope.cli import main
from pneumoscope.runs import rows_of
from pneumoscope.training.recipe import Recipe
from pneumoscope.workflow.train import Trained

Captured = pytest.CaptureFixture[str]
TINY = ["--image-size", "32", "--filters", "4,8", "--epochs", "1", "--val-fraction", "0.2"]


def pictures(folder: Path, n: int = 2) -> Path:
    folder.mkdir(parents=True)
    for i in range(n):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 50), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_model_prints_the_table_of_the_report(capsys: Captured) -> None:
    assert main(["model", "seed-cnn"]) == 0
    out = capsys.readouterr().out
    assert "(None, 112, 112, 64)" in out
    assert "3,211,328" in out
    assert "Total params: 3,267,202" in out
    assert main(["model", "seed-cnn", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["total_params"] == facts["trainable_params"] == 3_267_202
    assert facts["layers"][0]["output_shape"] == [224, 224, 32]
    assert sum(layer["params"] for layer in facts["layers"]) == 3_267_202


def test_model_shows_a_file(trained: Trained, capsys: Captured) -> None:
    assert main(["model", str(trained.run.root), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["classes"] == ["NORMAL", "PNEUMONIA"]
    assert facts["training"]["data_fingerprint"]
    assert main(["model", str(trained.run.model)]) == 0
    said = capsys.readouterr().out
    assert "not a medical device" in said
    assert "PNEUMONIA if the probability is 0.5 or higher, otherwise NORMAL" in said
    assert len(said.splitlines()) < 25


def test_the_summary_of_the_shipped_reader_is_for_people(capsys: Captured) -> None:
    assert main(["model", "shipped", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert main(["model", "shipped"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 100
    assert len(said.splitlines()) < 40
    names = {line[:15].strip() for line in said.splitlines()}
    assert {"Model", "Intended use", "Decision", "Performance", "Gate", "Licence"} <= names
    flat = " ".join(said.split())
    assert f"{facts['name']} {facts['version']}" in flat
    assert facts["licence"] in flat
    assert f"{facts['operating_point']['threshold']:.4g}" in flat
    achieved = facts["operating_point"]["achieved"]["sensitivity"]
    assert f"sensitivity {achieved['value']:.3f} ({achieved['low']:.3f} to" in flat
    assert "children of one to five years" in flat.lower()


def test_the_summary_tells_of_what_a_file_lacks_and_of_what_was_changed(
    tmp_path: Path, capsys: Captured
) -> None:
    changed = {"what": "calibration by platt", "written": "2026-03-01T10:00:00+00:00"}
    info = tiny_info(history=({**changed, "images": 60, "patients": 59},), intended={"view": "PA"})
    assert main(["model", str(write_tiny(tmp_path / "m.onnx", info))]) == 0
    said = capsys.readouterr().out
    assert "Intended use   view PA" in said
    assert "Changed        2026-03-01 calibration by platt, on 60 images of 59 patients" in said
    assert "Gate           none; every image gets a conclusion" in said
    assert "Performance    not stated in the file" in said


def test_evaluate_prints_one_object(trained: Trained, phantoms: Path, capsys: Captured) -> None:
    command = ["evaluate", str(trained.run.root), str(phantoms), "--split", "test", "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"n", "loss", "accuracy", "balanced_accuracy", "auc", "sensitivity", "specificity",
            "confusion_matrix"} <= set(found)  # fmt: skip
    assert found["accuracy"]["value"] == trained.evaluations["test"]["accuracy"].value
    assert found["n"]["value"] == len(list((phantoms / "test").rglob("*.jpeg")))
    assert np.sum(found["confusion_matrix"]["value"]) == found["n"]["value"]
    command[1] = str(trained.run.model)  # a model file knows no run; the folders name the part
    assert main(command) == 0
    alone = json.loads(capsys.readouterr().out)
    assert "training images" in {item["fitted_on"] for item in found.pop("baselines")}
    assert "training images" not in {item["fitted_on"] for item in alone.pop("baselines")}
    assert (found.pop("has_test"), alone.pop("has_test")) == (True, None)
    readers = found.pop("reader"), alone.pop("reader")
    assert [one.pop("name") for one in readers] == ["tiny", "model"]
    assert readers[0] == readers[1]
    assert alone == found


def test_evaluate_warns_of_images_that_were_trained_on(
    trained: Trained, phantoms: Path, capsys: Captured
) -> None:
    assert main(["evaluate", str(trained.run.root), str(phantoms), "--split", "train"]) == 0
    captured = capsys.readouterr()
    assert "was trained on" in captured.err
    assert "sensitivity" in captured.out
    assert main(["evaluate", str(trained.run.root), str(phantoms), "--split", "val"]) == 0
    assert "was trained on" not in capsys.readouterr().err


def test_evaluate_survives_damage_and_a_part_alone(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    victim = next((data / "train" / "NORMAL").iterdir())
    victim.write_bytes(victim.read_bytes()[:200])
    assert main(["evaluate", str(trained.run.root), str(data), "--split", "val", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert abs(found["n"]["value"] - trained.evaluations["val"].n) <= 1
    shutil.rmtree(data / "train")
    assert main(["evaluate", str(trained.run.root), str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["split"] == "test"
    shutil.rmtree(data / "test" / "NORMAL")
    assert main(["evaluate", str(trained.run.root), str(data), "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone["auc"]["value"] is None
    assert alone["sensitivity"]["value"] is not None


def test_predict_in_every_format(trained: Trained, phantoms: Path, capsys: Captured) -> None:
    folder = str(phantoms / "test" / "NORMAL")
    names = sorted(str(path) for path in Path(folder).iterdir())
    command = ["predict", folder, "--model", str(trained.run.root)]
    assert main(command) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["conclusion", "probability", "file"]
    assert [line.split()[2] for line in table[1:-1]] == names
    assert table[-1].startswith(f"{len(names)} images: ")
    assert "not a medical device" in table[-1]
    found = []
    assert main([*command, "--format", "json"]) == 0
    found.append(json.loads(capsys.readouterr().out))
    assert main([*command, "--format", "jsonl"]) == 0
    found.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert main([*command, "--format", "csv"]) == 0
    found.append(list(csv.DictReader(io.StringIO(capsys.readouterr().out))))
    for rows in found:
        assert [row["path"] for row in rows] == names
        assert [float(row["probability"]) for row in rows] == [r["probability"] for r in found[0]]
        assert {row["conclusion"] for row in rows} <= {"NORMAL", "PNEUMONIA"}


def test_predict_goes_on_past_a_broken_file(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    good = str(min(phantoms.rglob("*.jpeg")))
    letter = tmp_path / "letter.jpeg"
    letter.write_text("Dear colleague")
    command = ["predict", str(letter), good, str(tmp_path / "gone.png"), "--model"]
    assert main([*command, str(trained.run.root), "--format", "jsonl"]) == 3
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["conclusion"] == "ERROR" for row in rows] == [True, False, True]
    assert "text file" in rows[0]["error"]
    assert rows[0]["probability"] is None


def test_train_writes_a_whole_run(trained: Trained) -> None:
    names = {path.name for path in trained.run.root.iterdir()} - {"scores-train.csv"}
    assert names == {
        "config.yaml", "catalog.csv", "split.csv", "log.csv", "checkpoints", "model.onnx",
        "scores-val.csv", "scores-test.csv", "metrics.json", "provenance.json", "figures",
        "report.html", "card.md",
    }  # fmt: skip
    facts = json.loads(trained.run.provenance.read_text())
    assert facts["seed"] == 0
    assert facts["images"]["train"] > 0
    assert {"pneumoscope", "torch", "onnxruntime"} <= set(facts["packages"])
    for stem in ("classes", "augmentation", "learning", "confusion-test", "roc-test"):
        for suffix in ("png", "svg", "csv"):
            assert (trained.run.figures / f"{stem}.{suffix}").stat().st_size > 0
    page = trained.run.report.read_text()
    assert "How well does the reader (a model) distinguish PNEUMONIA from NORMAL?" in page
    assert f"{trained.evaluations['test']['accuracy'].value:.1%}" in page
    assert "not a medical device" in page


def test_a_run_remembers_how_it_was_split(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "block"
    command = ["train", str(phantoms), "--out", str(out), *TINY, "--validation", "block"]
    regex = r"(?P<series>[A-Z]+)-(?P<patient>\d+)"
    assert main([*command, "--block", "high", "--patient-regex", regex]) == 0
    recipe = Recipe.load(out / "config.yaml")
    assert (recipe.data.validation, recipe.data.block, recipe.data.patient_regex) == (
        "block",
        "high",
        regex,
    )
    numbers: dict[str, dict[str, list[str]]] = {"train": {}, "val": {}}
    for row in rows_of(out / "split.csv"):
        if row["split"] in numbers:
            numbers[row["split"]].setdefault(row["patient"][:6], []).append(row["patient"])
    # Only this series has patients enough to be a block of its own.
    assert min(numbers["val"]["NORMAL"]) > max(numbers["train"]["NORMAL"])
    again = tmp_path / "file"
    command = ["train", str(phantoms), "--out", str(again), *TINY]
    assert main([*command, "--split-file", str(out / "split.csv")]) == 0
    assert Recipe.load(again / "config.yaml").data.validation == "file"
    parts = [[row["split"] for row in rows_of(run / "split.csv")] for run in (out, again)]
    assert parts[0] == parts[1]
    assert "set aside" not in capsys.readouterr().err


def refused(command: list[str], capsys: Captured, *, code: int = 1) -> str:
    """Return the one message of a command that must fail."""
    with pytest.MonkeyPatch.context():
        try:
            found = main(command)
        except SystemExit as end:
            found = int(str(end.code))
    captured = capsys.readouterr()
    assert found == code, captured.err
    assert "Traceback" not in captured.err
    (message,) = re.findall(r"^error: .*", captured.err, re.MULTILINE | re.DOTALL)
    return str(message)


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (["--optimizer", "adm"], "Did you mean 'adam'?", 1),
        (["--preset", "sead"], "Did you mean 'seed'?", 1),
        (["--model", "seed_cnn"], "Did you mean 'seed-cnn'?", 1),
        (["--batch-size", "0"], "--batch-size must be from 1", 1),
        (["--val-fraction", "0.7"], "--val-fraction must be", 1),
        (["--validation", "folders"], "Did you mean 'folder'?", 1),
        (["--positive", "PNEUMONA"], "Did you mean 'PNEUMONIA'?", 1),
        (["--validation", "file"], "--split-file", 1),
        (["--validation", "block", "--block", "lo"], "Did you mean 'low'?", 1),
        (["--validation", "kfold", "--fold", "5"], "--fold must be from 0 to 4", 1),
        (["--validation", "block", "--split-file", "a.csv"], "omitted if", 1),
        (["--patient-regex", "p[0-9]+"], "parentheses", 1),
        (["--patient-regex", "(x)y"], "finds the patient in paths such as", 1),
        (["--strategy", "dpp"], "--strategy", 1),
        (["--accelerator", "gpuu"], "Did you mean 'gpu'?", 1),
        (["--devices", "x"], "--devices must be", 1),
        (["--nodes", "0"], "--nodes must be from 1", 1),
        (["--workers", "0"], "--workers must be from 1", 1),
        (["--split-file", "gone.csv"], "gone.csv", 1),
        (["--config", "gone.yaml"], "gone.yaml", 1),
        (["--resume"], "no run to resume", 1),
        (["--patiens", "3"], "Did you mean '--patience'?", 2),
        (["--filters", "4;8"], "whole numbers with commas", 2),
        (["--epochs", "many"], "invalid int value: 'many'", 2),
    ],
)
def test_wrong_options_are_one_message_and_leave_nothing(
    phantoms: Path, tmp_path: Path, capsys: Captured, options: list[str], says: str, code: int
) -> None:
    out = tmp_path / "run"
    command = ["train", str(phantoms), "--out", str(out), *options]
    assert says in refused(command, capsys, code=code)
    assert not out.exists()


def test_wrong_data_are_one_message_and_leave_nothing(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "run"

    def train(data: Path) -> str:
        message = refused(["train", str(data), "--out", str(out)], capsys)
        assert not out.exists()
        return message

    assert "no such folder" in train(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    assert "no files in class folders" in train(tmp_path / "empty")
    pictures(tmp_path / "one" / "NORMAL")
    assert "two classes are needed" in train(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "broken")
    (tmp_path / "broken" / "PNEUMONIA").mkdir()
    (tmp_path / "broken" / "PNEUMONIA" / "a.jpeg").write_bytes(b"")
    assert "1 of 3 files cannot be read" in train(tmp_path / "broken")
    (tmp_path / "text.csv").write_text("a,b\n1,2\n")
    assert "no column path and label" in train(tmp_path / "text.csv")


def test_an_existing_run_and_an_unwritable_place(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    before = sorted(path.name for path in trained.run.root.iterdir())
    message = refused(["train", str(phantoms), "--out", str(trained.run.root)], capsys)
    assert "exists already" in message
    assert "--resume" in message
    assert sorted(path.name for path in trained.run.root.iterdir()) == before
    (tmp_path / "file").write_text("in the way")
    message = refused(["train", str(phantoms), "--out", str(tmp_path / "file" / "run")], capsys)
    assert "cannot be created" in message


def test_resume_takes_no_recipe(trained: Trained, phantoms: Path, capsys: Captured) -> None:
    command = ["train", str(phantoms), "--out", str(trained.run.root), "--resume", "--epochs", "9"]
    assert "the run has its own" in refused(command, capsys)


def test_resume_refuses_changed_data(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    next((data / "train" / "NORMAL").iterdir()).unlink()
    run = shutil.copytree(trained.run.root, tmp_path / "run")
    message = refused(["train", str(data), "--out", str(run), "--resume"], capsys)
    assert "1 images were changed, added or removed" in message
    assert (Path(run) / "model.onnx").exists()


def test_no_model(phantoms: Path, tmp_path: Path, capsys: Captured) -> None:
    image = str(min(phantoms.rglob("*.jpeg")))
    (tmp_path / "text.onnx").write_text("no model")
    for model, says in ((tmp_path / "gone", "no such model file"), (tmp_path, "no model.onnx"),
                        (tmp_path / "text.onnx", "not a readable model file")):  # fmt: skip
        assert says in refused(["predict", image, "--model", str(model)], capsys)
        assert says in refused(["evaluate", str(model), str(phantoms)], capsys)


def test_wrong_usage(capsys: Captured) -> None:
    assert "Did you mean 'predict'?" in refused(["predcit", "x"], capsys, code=2)
    assert "--paths-from" in refused(["predict"], capsys, code=2)
    assert "Did you mean 'jsonl'?" in refused(
        ["predict", "x", "--model", "m", "--format", "jsnl"], capsys, code=2
    )


def test_a_folder_without_images(trained: Trained, tmp_path: Path, capsys: Captured) -> None:
    command = ["predict", str(tmp_path), "--model", str(trained.run.root)]
    assert "no images in this folder" in refused(command, capsys)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_folders_that_cannot_be_listed(trained: Trained, tmp_path: Path, capsys: Captured) -> None:
    closed = pictures(tmp_path / "data" / "NORMAL")
    closed.chmod(0)
    assert "permissions" in refused(["train", str(tmp_path / "data"), "--out", "x"], capsys)
    command = ["predict", str(tmp_path), "--model", str(trained.run.root)]
    assert "permissions" in refused(command, capsys)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pneumoscope.models.registry", None)

    def missing(*_: object) -> int:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("pneumoscope.cli.model.run", missing)
    monkeypatch.setattr("pneumoscope.cli.model._print_layers", missing)
    assert "[train]" in refused(["model", "seed-cnn"], capsys)


def test_a_manifest_trains_with_its_own_classes(
    phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    rows = ["path,label,patient,split"]
    for path in sorted(phantoms.rglob("*.jpeg")):
        label = {"NORMAL": "healthy", "PNEUMONIA": "ill"}[path.parent.name]
        rows.append(f"{path},{label},{path.stem.rsplit('-', 1)[0]},{path.parts[-3]}")
    manifest = tmp_path / "images.csv"
    manifest.write_text("\n".join(rows) + "\n")
    out = tmp_path / "run"
    assert main(["train", str(manifest), "--out", str(out), "--positive", "ill", *TINY]) == 0
    assert "Test (" in capsys.readouterr().out
    assert main(["evaluate", str(out), str(manifest), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["split"] == "test"
    assert main(["predict", str(path), "--model", str(out), "--format", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["conclusion"] in {"healthy", "ill"}


def test_a_rule_that_cannot_be_read_ends_before_the_training(
    phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "run"
    command = ["train", str(phantoms), "--out", str(out), "--operating-point", "yuden"]
    assert "Did you mean 'youden'" in refused(command, capsys)
    assert not out.exists()

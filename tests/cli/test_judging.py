"""``evaluate``, ``compare`` and ``recalibrate``, as a user types them."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pneumoscope.cli import main
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import rows_of
from pneumoscope.workflow.train import Trained

Captured = pytest.CaptureFixture[str]
QUICK = ["--resamples", "100"]


def write_scores(path: Path, n: int = 80, *, seed: int = 0, columns: str = "") -> Path:
    """Write a scores file with some of the columns."""
    names = columns.split(",") if columns else ["path", "patient", "label", "logit", "probability"]
    generator = np.random.default_rng(seed)
    label = np.arange(n) % 2
    logit = 2 * (label - 0.5) + generator.normal(size=n)
    rows = {
        "path": [f"{row}.png" for row in range(n)],
        "patient": [f"p{row // 2}" for row in range(n)],
        "label": label.tolist(),
        "logit": logit.tolist(),
        "probability": (1 / (1 + np.exp(-logit))).tolist(),
    }
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(zip(*(rows[name] for name in names), strict=True))
    return path


def printed(command: list[str], capsys: Captured) -> dict[str, Any]:
    assert main(command) == 0, capsys.readouterr().err
    return dict(json.loads(capsys.readouterr().out))


def failed(command: list[str], capsys: Captured) -> str:
    assert main(command) == 1
    return capsys.readouterr().err


def test_anybodys_scores_are_evaluated(tmp_path: Path, capsys: Captured) -> None:
    full = write_scores(tmp_path / "full.csv")
    found = printed(["evaluate", str(full), "--json", *QUICK], capsys)
    assert found["n"] == {"value": 80}
    assert found["patients"] == {"value": 40}
    for columns in ("path,patient,label,probability", "path,patient,label,logit"):
        part = write_scores(tmp_path / "part.csv", columns=columns)
        other = printed(["evaluate", str(part), "--json", *QUICK], capsys)
        for name in ("auc", "sensitivity", "loss"):
            assert other[name]["value"] == pytest.approx(found[name]["value"])


def test_further_columns_of_scores_are_groups_and_baselines(
    tmp_path: Path, capsys: Captured
) -> None:
    plain = write_scores(tmp_path / "plain.csv").read_text().splitlines()
    rows = [f"{plain[0]},sex,site,width,height,bytes"]
    for row, line in enumerate(plain[1:]):
        rows.append(f"{line},{'FM'[row // 2 % 2]},site-{row},{500 + row},400,{9000 + row}")
    (tmp_path / "full.csv").write_text("\n".join(rows) + "\n")
    found = printed(["evaluate", str(tmp_path / "full.csv"), "--json", *QUICK], capsys)

    groups = [(group["column"], group["value"], group["n"]) for group in found["groups"]]
    assert ("sex", "F", 40) in groups
    assert ("sex", "M", 40) in groups
    assert not any(column == "site" for column, _, _ in groups)  # as many values as images
    assert sum(n for column, _, n in groups if column == "image size") == 80
    assert {baseline["name"] for baseline in found["baselines"]} == {"majority class", "file size"}


def test_columns_follow_the_rows_of_a_part(tmp_path: Path, capsys: Captured) -> None:
    plain = write_scores(tmp_path / "plain.csv", columns="label,logit").read_text().splitlines()
    rows = [f"{plain[0]},split,sex"]
    rows += [
        f"{line},{'val' if row < 40 else 'test'},{'F' if row < 60 else 'M'}"
        for row, line in enumerate(plain[1:])
    ]
    (tmp_path / "parts.csv").write_text("\n".join(rows) + "\n")
    command = ["evaluate", str(tmp_path / "parts.csv"), "--split", "test", "--json", *QUICK]
    groups = printed(command, capsys)["groups"]
    assert [(g["column"], g["value"], g["n"]) for g in groups] == [
        ("sex", "F", 20),
        ("sex", "M", 20),
    ]


def test_an_empty_column_of_parts_tells_none(tmp_path: Path, capsys: Captured) -> None:
    plain = write_scores(tmp_path / "plain.csv", columns="label,logit").read_text().splitlines()
    rows = [f"{plain[0]},split,sex"]
    rows += [f"{line},,{'FM'[row % 2]}" for row, line in enumerate(plain[1:])]
    named = tmp_path / "scores-test.csv"
    named.write_text("\n".join(rows) + "\n")
    command = ["evaluate", str(named), "--split", "test", "--json", *QUICK]
    groups = printed(command, capsys)["groups"]
    assert [(g["column"], g["value"], g["n"]) for g in groups] == [
        ("sex", "F", 40),
        ("sex", "M", 40),
    ]


def test_unknown_patients_are_told(tmp_path: Path, capsys: Captured) -> None:
    bare = write_scores(tmp_path / "bare.csv", columns="label,probability")
    assert main(["evaluate", str(bare), "--json", *QUICK]) == 0
    captured = capsys.readouterr()
    assert "counts as a patient" in captured.err.replace("\n", " ")
    assert json.loads(captured.out)["patients"]["value"] == 80


def test_the_table_is_for_people(tmp_path: Path, capsys: Captured) -> None:
    full = write_scores(tmp_path / "full.csv")
    command = ["evaluate", str(full), "--prevalence", "0.1", "--threshold", "0.3", *QUICK]
    assert main(command) == 0
    out = capsys.readouterr().out
    for text in ("95% interval", "PPV at prevalence 0.1", "At probability 0.3", "majority class",
                 "Net benefit", "80 images of 40 patients", "calibration slope"):  # fmt: skip
        assert text in out, text
    assert max(map(len, out.splitlines())) < 130


def test_a_run_is_judged_by_the_scores_that_it_wrote(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    run = Path(shutil.copytree(trained.run.root, tmp_path / "run"))
    (run / "scores-train.csv").unlink(missing_ok=True)  # another test may have asked for it
    own = printed(["evaluate", str(run), "--json", *QUICK], capsys)
    assert own["split"] == "test"
    read = printed(["evaluate", str(run), str(phantoms), "--json", *QUICK], capsys)
    assert own == read
    assert json.loads((run / "metrics.json").read_text())["test"]["auc"] == read["auc"]
    names = {baseline["name"] for baseline in read["baselines"]}
    assert names == {"majority class", "file size"}
    assert all(b["fitted_on"] == "training images" for b in read["baselines"])
    assert "no scores-train.csv" in failed(["evaluate", str(run), "--split", "train"], capsys)


def test_wrong_values_are_one_message(tmp_path: Path, capsys: Captured) -> None:
    full = str(write_scores(tmp_path / "full.csv"))
    for options, says in (
        (["--prevalence", "1.5"], "--prevalence"),
        (["--threshold", "-1"], "--threshold"),
        (["--level", "95"], "--level"),
        (["--resamples", "3"], "--resamples"),
        (["--robustness"], "--robustness must be used with a model and data"),
        (["--scores", "x.csv"], "--scores must be combined with DATA"),
    ):
        message = failed(["evaluate", full, *options], capsys)
        assert says in message
        assert message.startswith("error: ")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert "expected columns: path" in failed(["evaluate", str(tmp_path / "other.csv")], capsys)


def test_robustness_is_part_of_an_evaluation(
    trained: Trained, phantoms: Path, capsys: Captured
) -> None:
    model = str(trained.run.model)
    command = ["evaluate", model, str(phantoms), "--robustness", "--limit", "10", *QUICK]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "AUC on degraded images" in out
    assert "10 images" in out


def test_scores_files_are_compared(tmp_path: Path, capsys: Captured) -> None:
    names = [str(write_scores(tmp_path / f"{seed}.csv", seed=seed)) for seed in range(3)]
    found = printed(["compare", *names, "--json", *QUICK], capsys)
    assert found["readers"] == names
    assert len(found["pairs"]) == 3
    assert main(["compare", *names, *QUICK]) == 0
    out = capsys.readouterr().out
    assert "after Holm's correction" in out
    assert "with different conclusions" in out
    assert "two or more" in failed(["compare", names[0]], capsys)
    taught = tmp_path / "taught.csv"
    rows = [{**row, "split": "train"} for row in rows_of(Path(names[0]))]
    assert main(["compare", str(_written(taught, rows)), names[1], *QUICK]) == 0
    captured = capsys.readouterr()
    assert "these are training images" in " ".join(captured.err.split())
    assert re.search("is better than|No difference is shown between", captured.out)


def test_runs_and_models_are_compared_on_images(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    run = Path(shutil.copytree(trained.run.root, tmp_path / "run"))
    found = printed(["compare", str(trained.run.root), str(run), "--json", *QUICK], capsys)
    assert found["disagreements"] == []
    assert found["seeds"][0]["deviation"]["auc"] == 0
    model = str(shutil.copy(trained.run.model, tmp_path / "m.onnx"))
    command = ["compare", str(run), model, "--data", str(phantoms), "--split", "test", *QUICK]
    read = printed([*command, "--json"], capsys)
    assert read["n"] == found["n"]
    assert "--data" in failed(["compare", str(run), model], capsys)


def test_a_site_recalibrates_a_model(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    run, new, own = trained.run, tmp_path / "new.onnx", tmp_path / "own.csv"
    before = run.model.read_bytes()
    command = ["evaluate", str(run.model), str(phantoms / "train"), "--scores", str(own), *QUICK]
    assert main(command) == 0
    capsys.readouterr()
    _relabelled(own)
    command = ["recalibrate", str(run.root), str(own), "--out", str(new)]
    found = printed(
        [*command, "--method", "platt", "--operating-point", "sensitivity>=0.9", "--json"], capsys
    )
    assert run.model.read_bytes() == before
    old, made = Predictor(run.model), Predictor(new)
    calibration = found["calibration"]
    for path in sorted(phantoms.rglob("*.jpeg"))[:6]:
        a, b = old.predict(path), made.predict(path)
        assert a.logit is not None
        assert b.logit == pytest.approx(a.logit, abs=1e-5)
        line = calibration["scale"] * a.logit + calibration["bias"]
        assert b.probability == pytest.approx(1 / (1 + np.exp(-line)), abs=1e-5)
    info = made.info
    assert info.operating_point.rule == "sensitivity>=0.9"
    assert info.operating_point.achieved["sensitivity"]["value"] >= 0.9
    assert info.operating_point.model == open_bundle(run.model).sha256
    assert info.conformal is not None
    assert info.conformal.level == 0.1
    (change,) = info.history
    assert change["from_model"] == open_bundle(run.model).sha256
    assert str(tmp_path) not in json.dumps(change)

    # Again, from the new model's own scores: the line is fitted from the network's logits anew.
    command = [
        "evaluate",
        str(new),
        str(phantoms / "train"),
        "--scores",
        str(own),
        "--json",
        *QUICK,
    ]
    judged = printed(command, capsys)
    _relabelled(own)
    assert judged["policy"]["deployed"]["set_aside"]["value"] >= 0
    # A model with a bias keeps one unless another method is asked for.
    for options, method in (("--method", "temperature"), "temperature"), ((), "platt"):
        again = ["recalibrate", str(new), str(own), "--out", str(tmp_path / "again.onnx")]
        assert main([*again, *options]) == 0
        assert f"Calibration ({method}" in capsys.readouterr().out
        (tmp_path / "again.onnx").rename(tmp_path / f"{method}.onnx")
    assert len(Predictor(tmp_path / "platt.onnx").info.history) == 2


def test_recalibration_refuses_what_it_must(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    run, out = trained.run, tmp_path / "new.onnx"

    def refused(scores: Path, *options: str) -> str:
        message = failed(
            ["recalibrate", str(run.root), str(scores), "--out", str(out), *options], capsys
        )
        assert not out.exists()
        return message

    assert "'test'" in refused(run.scores("test"))
    renamed = Path(shutil.copy(run.scores("test"), tmp_path / "own.csv"))
    assert "'test'" in refused(renamed)  # the rows tell their part, whatever the file is called
    _written(renamed, [{k: v for k, v in row.items() if k != "split"} for row in rows_of(renamed)])
    assert "20 of 20 images are test images" in refused(renamed)  # and so do the images
    copied = tmp_path / "copied.csv"
    command = ["evaluate", str(run.root), str(phantoms), "--scores", str(copied), *QUICK]
    assert main(command) == 0
    capsys.readouterr()
    assert "'test'" in refused(copied)  # the file tells its part, whatever it is called
    assert "another model" in refused(_shifted(run.scores("val"), tmp_path / "other.csv"))
    foreign = [{**row, "model_sha256": "0" * 64} for row in rows_of(run.scores("val"))]
    assert "another model" in refused(_written(tmp_path / "foreign.csv", foreign))
    assert "Did you mean 'platt'" in refused(run.scores("val"), "--method", "plat")
    assert "Did you mean 'youden'" in refused(run.scores("val"), "--operating-point", "yuden")


def test_a_model_file_warns_of_the_images_that_it_learnt_from(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    model = str(shutil.copy(trained.run.model, tmp_path / "model.onnx"))
    other = str(shutil.copy(model, tmp_path / "other.onnx"))
    scores, taught = str(tmp_path / "own.csv"), str(phantoms / "train")
    count = sum(row["split"] == "train" for row in rows_of(trained.run.split))
    for command in (
        ["evaluate", model, taught, "--scores", scores, *QUICK],
        ["compare", model, other, "--data", taught, *QUICK],
        ["recalibrate", model, scores, "--out", str(tmp_path / "new.onnx")],
    ):
        assert main(command) == 0
        said = " ".join(capsys.readouterr().err.split())
        assert f"trained on {count} of {count + 15} images, or on other images of" in said
    assert main(["evaluate", model, str(phantoms / "test"), *QUICK]) == 0
    assert "trained on" not in " ".join(capsys.readouterr().err.split())


def test_a_recalibration_that_finds_nothing_out_warns(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    model, scores, out = str(trained.run.model), tmp_path / "own.csv", tmp_path / "new.onnx"
    assert main(["evaluate", model, str(phantoms / "train"), "--scores", str(scores), *QUICK]) == 0
    capsys.readouterr()
    for rule, share in (("probability=0", "specificity"), ("probability=1", "sensitivity")):
        command = ["recalibrate", model, str(scores), "--out", str(out)]
        assert main([*command, "--operating-point", rule]) == 0
        assert f"warning: the {share} is 0" in " ".join(capsys.readouterr().err.split())


def test_a_test_folder_by_itself_is_still_the_runs_test_part(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    run = Path(shutil.copytree(trained.run.root, tmp_path / "run"))
    before = (run / "scores-test.csv").read_text()
    own = tmp_path / "own.csv"
    command = ["evaluate", str(run), str(phantoms / "test"), "--json", "--scores", str(own)]
    assert printed([*command, *QUICK], capsys)["split"] == "test"
    assert Scores.load(own).part == "test"
    assert (run / "scores-test.csv").read_text() == before  # other names: not the run's own file


def test_a_pattern_of_the_run_is_not_forced_on_other_data(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    run = Path(shutil.copytree(trained.run.root, tmp_path / "run"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "patient_regex": r"ward-(\d+)"}))
    other = tmp_path / "other"
    for number, path in enumerate(sorted((phantoms / "test").rglob("*.jpeg"))):
        target = other / path.parent.name / f"bed{number // 2}_{number}.jpeg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for command in (
        ["evaluate", str(run), str(other)],
        ["compare", str(run), str(run / "model.onnx"), "--data", str(other), "--split", "all"],
    ):
        assert main([*command, *QUICK]) == 0
        assert "does not match these paths" in " ".join(capsys.readouterr().err.split())
        given = [*command, "--patient-regex", r"bed(\d+)", "--json", *QUICK]
        patients = printed(given, capsys)["patients"]
        assert (patients if isinstance(patients, int) else patients["value"]) == 10
        message = failed([*command, "--patient-regex", r"ward-(\d+)"], capsys)
        assert message.startswith("error: --patient-regex")


def test_comparing_reads_data_as_evaluating_does(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    data = Path(shutil.copytree(phantoms / "test", tmp_path / "data"))
    (data / "PNEUMONIA").rename(data / "ill")
    model = str(trained.run.model)
    again = str(shutil.copy(model, tmp_path / "again.onnx"))
    command = ["compare", model, again, "--data", str(data), "--json", *QUICK]
    assert "unknown class" in failed(command, capsys)
    found = printed([*command, "--map", "PNEUMONIA=ill", "--map", "NORMAL=NORMAL"], capsys)
    assert found["n"] == 20
    assert "combined with --data" in failed(
        ["compare", str(trained.run.root), model, "--map", "PNEUMONIA=ill"], capsys
    )


def test_comparing_tells_what_could_not_be_read(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    victim = sorted((data / "test").rglob("*.jpeg"))[0]
    victim.write_bytes(victim.read_bytes()[:900])
    model = str(trained.run.model)
    again = str(shutil.copy(model, tmp_path / "again.onnx"))
    command = ["compare", model, again, "--data", str(data), "--split", "test", *QUICK]
    assert main([*command, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("skipped:") == 1
    found = json.loads(captured.out)
    assert found["n"] == 19
    assert [Path(item["path"]).name for item in found["unreadable"]] == [victim.name]


def _shifted(source: Path, target: Path) -> Path:
    """Write scores whose probabilities are not those of their logits."""
    rows = rows_of(source)
    return _written(
        target, [{**row, "probability": str(float(row["probability"]) ** 2)} for row in rows]
    )


def _relabelled(path: Path) -> None:
    """Change labels so that high logits are mostly positive: two epochs teach a network little."""
    rows = rows_of(path)
    logit = np.array([float(row["logit"]) for row in rows])
    noisy = logit + logit.std() * np.random.default_rng(0).normal(size=len(rows))
    label = (noisy > np.median(noisy)).astype(int)
    _written(path, [{**row, "label": str(value)} for row, value in zip(rows, label, strict=True)])


def _written(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path

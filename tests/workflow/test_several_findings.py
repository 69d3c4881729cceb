"""A reader of several findings, from the table to its numbers."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.findings import FINDINGS, findings_table
from helpers.phantoms import written_once
from pneumoscope.cli import main
from pneumoscope.errors import DataError, LeakError, ManyFindingsError, ModelFileError, OptionError
from pneumoscope.evaluation.compare import Comparison
from pneumoscope.evaluation.multilabel.compare import FindingsComparison
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
from pneumoscope.evaluation.multilabel.scores import FindingScores
from pneumoscope.evaluation.paired import holm
from pneumoscope.images.prepare import prepare
from pneumoscope.reader.findings import FindingsPolicy
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.metadata import ModelInfo
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.records import record_of
from pneumoscope.report.checklist import fill
from pneumoscope.report.facts import RunFacts
from pneumoscope.training.recipe import recipe_of
from pneumoscope.workflow.compare_findings import compare_findings_readers
from pneumoscope.workflow.evaluate_findings import evaluate_finding, evaluate_findings_reader
from pneumoscope.workflow.export import export_runs
from pneumoscope.workflow.recalibrate_findings import recalibrate_findings
from pneumoscope.workflow.seeds import train_seeds
from pneumoscope.workflow.train import Trained, train_reader

TINY = {"image_size": 32, "filters": (4, 8), "max_epochs": 1, "val_fraction": 0.5}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("findings")
    written_once(tmp_path_factory, place / "data", patients=120, seed=5, size_px=(40, 44))
    return findings_table(place / "data", place / "images.csv")


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    recipe = recipe_of(
        "seed", findings="all", balance="weights", mixup=0.2, label_smoothing=0.1, gate=True,
        calibration="temperature", operating_point="youden", error_level=0.3,
        **TINY | {"max_epochs": 3},
    )  # fmt: skip
    found = train_reader(table, tmp_path_factory.mktemp("several") / "run", recipe=recipe)
    assert found is not None
    return found


def test_a_run_knows_its_findings(run: Trained) -> None:
    bundle = open_bundle(run.run.model)
    info = bundle.info
    assert info.classes == FINDINGS
    assert len(info.findings) == 3
    assert info.to_dict()["format"] == 3
    assert ModelInfo.from_json(info.to_json()) == info
    assert len({rule.operating_point.threshold for rule in info.findings}) > 1
    assert all(rule.operating_point.rule == "youden" for rule in info.findings)
    shapes = {output.name: output.shape[1:] for output in bundle.session.get_outputs()}
    assert shapes["logits"] == shapes["probabilities"] == [3]
    with pytest.raises(ManyFindingsError, match=r"Consolidation, Infiltrate, Clear"):
        _ = info.labels
    one = info.of_finding("Infiltrate")
    assert one.pair == ("no Infiltrate", "Infiltrate")
    assert one.policy().threshold == info.findings[1].operating_point.threshold


def test_older_readers_refuse_the_file(run: Trained) -> None:
    """They know formats 1 and 2, and name the one that they do not."""
    values = open_bundle(run.run.model).info.to_dict()
    values["format"] = 4
    with pytest.raises(ValueError, match="its format is 4, but this version reads 1 to 3; update"):
        ModelInfo.from_json(json.dumps(values))
    values["format"], values["findings"] = 3, values["findings"][:2]
    with pytest.raises(ValueError, match="3 findings, but decision rules for 2"):
        ModelInfo.from_json(json.dumps(values))


def test_probabilities_are_calibrated_sigmoids_of_the_logits(run: Trained, table: Path) -> None:
    predictor = Predictor(run.run.model)
    path = sorted(table.parent.rglob("*.jpeg"))[0]
    logits, probabilities = predictor.run(prepare(path, predictor.info.input)[np.newaxis])
    lines = [rule.calibration or {} for rule in predictor.info.findings]
    scale, bias = (np.array([line[name] for line in lines]) for name in ("scale", "bias"))
    assert probabilities[0] == pytest.approx(
        1 / (1 + np.exp(-(scale * logits[0] + bias))), abs=1e-5
    )


def test_a_record_says_each_finding(run: Trained, table: Path) -> None:
    predictor = Predictor(run.run.model, gated=False)
    paths = sorted(table.parent.rglob("*.jpeg"))[:20]
    for found in predictor.predict_many(paths):
        record = json.loads(json.dumps(record_of(found)))
        assert list(record["findings"]) == list(FINDINGS)
        assert record["probability"] is None
        said = {one["conclusion"] for one in record["findings"].values()}
        order = [name for name in ("POSITIVE", "UNCERTAIN", "NEGATIVE") if name in said]
        assert record["conclusion"] == order[0]
        for name, one in record["findings"].items():
            policy = predictor.info.of_finding(name).policy()
            wanted = policy.decide(one["probability"]).conclusion
            assert (
                one["conclusion"]
                == {name: "POSITIVE", f"no {name}": "NEGATIVE", "UNCERTAIN": "UNCERTAIN"}[wanted]
            )
            assert one["threshold"] == policy.threshold
    again = predictor.predict(paths[0])
    assert again.findings == next(iter(predictor.predict_many(paths[:1]))).findings


def test_what_lies_outside_is_set_aside_in_every_finding(run: Trained) -> None:
    info = open_bundle(run.run.model).info
    policy = FindingsPolicy(info, outside="uncertain")
    found = policy.decide([0, 0, 0], [0.9, 0.1, 0.5], outside=["age 60"])
    assert (found.conclusion, {one.conclusion for one in found.findings}) == (
        "UNCERTAIN", {"UNCERTAIN"},
    )  # fmt: skip
    refused = FindingsPolicy(info, outside="refuse").decide([0] * 3, [0.9] * 3, outside=["age 60"])
    assert (refused.conclusion, refused.findings) == ("NOT_ASSESSABLE", ())
    with pytest.raises(ValueError, match="outside must be one of"):
        FindingsPolicy(info, outside="never")


def test_evidence_of_a_finding(run: Trained, table: Path) -> None:
    predictor = Predictor(run.run.model, gated=False)
    pixels = prepare(sorted(table.parent.rglob("*.jpeg"))[0], predictor.info.input)[np.newaxis]
    maps = [predictor.evidence(pixels, name) for name in FINDINGS]
    assert all(one.shape == (1, 8, 8) for one in maps)
    assert not np.allclose(maps[0], maps[1])
    for of in (None, "Hernia"):
        with pytest.raises(OptionError, match="of must be"):
            predictor.evidence(pixels, of)


def test_numbers_of_a_run_are_those_of_its_scores(run: Trained, table: Path) -> None:
    told = json.loads(run.run.metrics.read_text())["test"]["findings"]
    scores = FindingScores.load(run.run.scores("test"))
    assert scores.names == FINDINGS
    for name in FINDINGS:
        known = int((scores.labels[:, FINDINGS.index(name)] >= 0).sum())
        assert told["by_finding"][name]["counts"]["labelled"] == known < len(scores)
    found = evaluate_findings_reader(run.run.root, table, part="test")
    assert found.numbers["macro_auc"].value == told["values"]["macro_auc"]["value"]
    again = evaluate_findings_reader(run.run.root, part="test")
    assert again.numbers.to_dict() == found.numbers.to_dict()


def test_one_finding_is_evaluated_as_two_classes(run: Trained, table: Path, tmp_path: Path) -> None:
    found = evaluate_finding(
        run.run.root, "Infiltrate", table, part="test", report=tmp_path / "page"
    )
    assert found.classes == ("no Infiltrate", "Infiltrate")
    told = run.findings["test"].numbers.of("Infiltrate")
    assert found["auc"].value == told["auc"].value
    assert found["sensitivity"].value == told["sensitivity"].value
    assert found.threshold.source == "model"
    assert (tmp_path / "page" / "report.html").is_file()
    with pytest.raises(OptionError, match="Hernia"):
        evaluate_finding(run.run.root, "Hernia", table, part="test")


def test_the_report_and_the_card_name_each_finding(run: Trained) -> None:
    for place in (run.run.report, run.run.root / "card.md"):
        text = place.read_text()
        assert all(name in text for name in FINDINGS), place
        assert "masked" in text
    assert (run.run.figures / "findings.csv").is_file()


@pytest.fixture
def image(table: Path) -> str:
    return str(sorted(table.parent.rglob("*.jpeg"))[0])


def test_the_commands(
    run: Trained, table: Path, image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(run.run.root)
    assert main(["predict", image, "--model", model, "--no-gate"]) == 0
    assert "1 image: 1 " in capsys.readouterr().out
    out = tmp_path / "evidence"
    command = ["predict", image, "--model", model, "--no-gate", "--format", "json"]
    assert main([*command, "--evidence", str(out), "--evidence-of", "Clear"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert set(record["findings"]) == set(FINDINGS)
    assert Path(record["evidence"]).is_file()
    assert main(["evaluate", model, str(table), "--split", "test", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["findings"]["by_finding"]) == set(FINDINGS)
    assert main(["evaluate", model, str(table), "--split", "test"]) == 0
    assert "Mean over the findings: AUC" in capsys.readouterr().out
    assert main(["evaluate", model, "--finding", "Clear", "--split", "test"]) == 0
    assert "sensitivity" in capsys.readouterr().out
    assert main(["evaluate", model, str(table), "--split", "test", "--threshold", "0.4"]) == 1
    assert "--threshold must be given with --finding" in capsys.readouterr().err


def test_the_command_trains(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["--findings", "Infiltrate,Clear", "--epochs", "1", "--image-size", "32"]
    assert main(["train", str(table), "--out", str(out), *words, "--filters", "4,8"]) == 0
    printed = capsys.readouterr().out
    assert "Infiltrate" in printed
    assert "Mean over the findings: AUC" in printed
    assert open_bundle(out).info.classes == ("Infiltrate", "Clear")
    with (out / "catalog.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["finding Clear"] for row in rows} == {"0", "1", ""}


def test_a_damaged_file_of_findings_is_refused(run: Trained, tmp_path: Path) -> None:
    place = tmp_path / "changed.onnx"
    content = run.run.model.read_bytes()
    place.write_bytes(content.replace(b'"Infiltrate"', b'"infiltrate"'))
    with pytest.raises(ModelFileError, match="changed or damaged"):
        open_bundle(place)


def test_tables_of_records_have_columns_for_each_finding(
    run: Trained, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [str(path) for path in sorted(table.parent.rglob("*.jpeg"))[:3]]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    out = tmp_path / "results.csv"
    command = ["predict", str(broken), *images, "--model", str(run.run.root), "--no-gate"]
    assert main([*command, "--out", str(out)]) == 3
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert {rows[0][f"conclusion {name}"] for name in FINDINGS} == {""}
    predictor = Predictor(run.run.model, gated=False)
    for row, found in zip(rows[1:], predictor.predict_many(images), strict=True):
        assert row["probability"] == ""
        for one in found.findings:
            assert row[f"conclusion {one.name}"] == one.conclusion
            assert float(row[f"probability {one.name}"]) == pytest.approx(one.probability)
    capsys.readouterr()
    assert main(["evaluate", str(out)]) == 1
    assert "an evaluation of results needs a single conclusion per image" in capsys.readouterr().err


def test_readers_are_compared_finding_by_finding(run: Trained, table: Path) -> None:
    val, test = (run.run.scores(part) for part in ("val", "test"))
    assert val.is_file()
    scores = FindingScores.load(test)
    other = test.with_name("other.csv")
    noise = np.random.default_rng(0).normal(size=scores.logits.shape)
    logits = scores.logits + noise
    replace(scores, logits=logits, probabilities=1 / (1 + np.exp(-logits)), model="").save(other)
    found = compare_findings_readers([test, other])
    assert isinstance(found, FindingsComparison)
    assert set(found.by_finding) == set(FINDINGS)
    pairs = [pair for one in found.by_finding.values() for pair in one.pairs]
    plain = [pair.auc_p for pair in pairs]
    assert [pair.auc_p_holm for pair in pairs] == holm(plain)
    assert all(pair.pairs == 3 for pair in pairs)
    one = compare_findings_readers([test, other], finding="Clear")
    assert isinstance(one, Comparison)
    assert one.pairs[0].auc_p == found.by_finding["Clear"].pairs[0].auc_p
    with pytest.raises(OptionError, match="all of several findings, or none"):
        compare_findings_readers([test, table])


def test_each_finding_is_recalibrated(run: Trained, tmp_path: Path) -> None:
    out = tmp_path / "again.onnx"
    done = recalibrate_findings(
        run.run.root, run.run.scores("val"), out, method="platt", rule="sensitivity>=0.9"
    )
    info = open_bundle(out).info
    assert info.findings == tuple(done.rules.values())
    assert len(info.history) == 1
    before = open_bundle(run.run.model).info.findings
    changed = [name for name in FINDINGS if name not in done.kept]
    assert changed
    for name in changed:
        rule = info.findings[FINDINGS.index(name)]
        assert rule.operating_point.rule == "sensitivity>=0.9"
        assert rule != before[FINDINGS.index(name)]
    with pytest.raises(LeakError):
        recalibrate_findings(run.run.root, run.run.scores("test"), tmp_path / "x.onnx")


def test_two_runs_are_exported_as_one_file(run: Trained, tmp_path: Path) -> None:
    found = export_runs([run.run.root, run.run.root], tmp_path / "both.onnx")
    assert isinstance(found.validation, FindingsEvaluation)
    info = open_bundle(found.model).info
    assert info.classes == FINDINGS
    assert len(info.training["members"]) == 2
    with pytest.raises(ManyFindingsError):
        _ = found.evaluation


def test_a_linear_probe_learns_findings(table: Path, tmp_path: Path) -> None:
    recipe = recipe_of("seed", findings="Infiltrate,Clear", probe=True, **TINY)
    found = train_reader(table, tmp_path / "probe", recipe=recipe)
    assert found is not None
    assert open_bundle(found.run.model).info.classes == ("Infiltrate", "Clear")
    assert found.findings["val"].numbers["macro_auc"].value is not None
    assert "Augmentation" not in found.run.report.read_text()  # its images are not changed
    with pytest.raises(DataError, match="linear probes have no checkpoint"):
        export_runs([found.run.root], tmp_path / "half.onnx", precision="float16")


def test_one_finding_alone(table: Path, tmp_path: Path) -> None:
    recipe = recipe_of("seed", findings="Infiltrate", **TINY)
    found = train_reader(table, tmp_path / "one", recipe=recipe)
    assert found is not None
    predictor = Predictor(found.run.model, gated=False)
    image = sorted(table.parent.rglob("*.jpeg"))[0]
    (only,) = predictor.predict(image).findings
    assert only.name == "Infiltrate"
    pixels = prepare(image, predictor.info.input)[np.newaxis]
    assert predictor.evidence(pixels, "Infiltrate").shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ("train", "TABLE", "--findings", "--validation", "groups", "--out", "OUT"),
            "validation over groups needs a single conclusion",
        ),
        (("evaluate", "RUN", "TABLE", "--robustness"), "--robustness must be omitted"),
        (("compare", "RUN", "RUN", "--report", "OUT"), "--report must be omitted"),
        (("train", "TABLE", "--out", "OUT", "--findings", "Hernia"), "findings of the data"),
    ],
)  # fmt: skip
def test_what_needs_one_conclusion_refuses_in_a_sentence(
    command: tuple[str, ...],
    said: str,
    run: Trained,
    table: Path,
    image: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {
        "RUN": str(run.run.root), "TABLE": str(table), "IMAGE": image, "OUT": str(tmp_path / "out")
    }  # fmt: skip
    assert main([places.get(word, word) for word in command]) in {1, 2}
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_other_verbs_work(
    run: Trained, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(run.run.root)
    assert main(["model", model]) == 0
    assert (
        "3 findings, each concluded separately: POSITIVE, NEGATIVE or UNCERTAIN"
        in capsys.readouterr().out
    )
    assert main(["model", model, "--verify"]) == 0
    assert main(["selftest", "--model", model]) == 0
    capsys.readouterr()
    assert main(["runs", str(run.run.root.parent)]) == 0
    assert "run" in capsys.readouterr().out
    out = tmp_path / "inspect"
    assert main(["inspect", str(table), "--findings", "--out", str(out)]) in {0, 1}
    told = json.loads((out / "inspect.json").read_text())
    assert any("Infiltrate" in note for note in told["notes"])


def test_seeds_have_means_over_the_findings(table: Path, tmp_path: Path) -> None:
    recipe = recipe_of("seed", findings="all", **TINY)
    found = train_seeds(table, tmp_path / "seeds", recipe=recipe, seeds=2)
    metrics = [json.loads(run.metrics.read_text(encoding="utf-8")) for run in found.runs]
    for part in ("val", "test"):
        values = [own[part]["findings"]["values"]["macro_auc"]["value"] for own in metrics]
        assert found.groups[part].mean["auc"] == pytest.approx(np.mean(values))
        by_finding = [own[part]["findings"]["by_finding"] for own in metrics]
        for name in FINDINGS:
            own = [each[name]["auc"]["value"] for each in by_finding]
            assert found.groups[part].mean[f"auc {name}"] == pytest.approx(np.mean(own))
        accuracy = [np.mean([one["accuracy"]["value"] for one in each.values()])
                    for each in by_finding]  # fmt: skip
        assert found.groups[part].mean["accuracy"] == pytest.approx(np.mean(accuracy))
    page = found.report.read_text(encoding="utf-8")
    assert "All numbers are means over the 3 findings" in page
    assert "AUC of Infiltrate<" in page
    assert "student report" not in page  # that of another task


def test_a_checklist_of_findings(run: Trained) -> None:
    facts = RunFacts.read(run.run.root)
    counts = facts.best_of_findings.numbers.counts if facts.best_of_findings else ()
    for standard in ("tripod-ai", "claim"):
        text = fill(facts, standard).to_markdown()
        assert "each of 3 findings (Consolidation, Infiltrate, Clear)" in text
        for rule, name in zip(facts.info.findings, FINDINGS, strict=True):
            threshold = rule.operating_point.threshold
            assert f"{name} positive if its probability is {threshold:.4g} or higher" in text
        assert "means over 3 findings with 95% intervals by patient: AUC 0." in text
        masked = sum(count.masked for count in counts)
        assert f"({masked} of {3 * counts[0].labelled + 3 * counts[0].masked} entries" in text
    assert (
        f"Consolidation {counts[0].positive} of {counts[0].labelled}"
        in fill(facts, "tripod-ai").to_markdown()
    )

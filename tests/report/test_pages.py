"""Pages, card and checklists of real runs and of scores: complete, honest about what is missing."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.made_scores import people
from pneumoscope.cli import main
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.generated import GENERATED
from pneumoscope.data.relation import Relation
from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.baseline import Baseline
from pneumoscope.evaluation.conformal import fit_conformal
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.evaluation import Evaluation, evaluate
from pneumoscope.evaluation.notes import notes_of
from pneumoscope.evaluation.question import Images, Question, Reader
from pneumoscope.evaluation.robustness import Corrupted
from pneumoscope.evaluation.scores import Scores
from pneumoscope.labels import LabelSpace
from pneumoscope.reader.checks.gate import PixelGate, Rules
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.checksum import with_info
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.reader.policy import DecisionPolicy
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.card import PERSON, SECTIONS, card_text
from pneumoscope.report.checklist import FILLED, OPEN, PARTLY, fill, standards
from pneumoscope.report.facts import RunFacts
from pneumoscope.report.opening import caveats, headline, opening_of
from pneumoscope.report.outcome import outcome_sections
from pneumoscope.workflow.known_images import images_of_run
from pneumoscope.workflow.train import Trained

Captured = pytest.CaptureFixture[str]
QUICK = ["--resamples", "100"]


def written_scores(path: Path, *, seed: int = 0, n: int = 90) -> Path:
    """Write a scores file of anybody's: paths, patients, labels, logits."""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "patient", "label", "logit"])
        for k in range(n):
            writer.writerow([f"{k}.png", f"p{k // 2}", k % 2, 2 * (k % 2) - 1 + rng.normal()])
    return path


LABELS = LabelSpace.of(("NORMAL", "PNEUMONIA"))


def drawn(n: int = 60, *, part: str = "test", noise: float = 1.0) -> Scores:
    rng = np.random.default_rng(4)
    label = (np.arange(n) % 3 > 0).astype(np.int64)
    logit = 2.0 * label - 1 + noise * rng.standard_normal(n)
    names = tuple(f"{k}.png" for k in range(n))
    return Scores(names, people(names), label, logit, 1 / (1 + np.exp(-logit)), part)


def evaluated_of(scores: Scores, *, conformal: Conformal | None = None, **known: Any) -> Evaluation:
    """Return an evaluation of drawn scores, as if they were of the part of a run."""
    known_part = bool(scores.part)
    relation = Relation(known=known_part, own=known_part).to_part(scores.part)
    return evaluate(
        scores,
        Question(resamples=0),
        reader=Reader("tiny", LABELS, policy=DecisionPolicy(LABELS, OperatingPoint(), conformal)),
        images=Images(**{"part": scores.part, "relation": relation, **known}),
    )


def is_alone(page: str) -> None:
    """Fail if a page loads something or runs something."""
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    loads = re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)', page)
    assert all((one or other).startswith(("#", "data:image/")) for one, other in loads)


# --- pages ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluated(trained: Trained, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the report of an evaluation, with worse images."""
    out = tmp_path_factory.mktemp("report")
    run = tmp_path_factory.mktemp("copy") / "tiny"
    shutil.copytree(trained.run.root, run)
    command = ["evaluate", str(run), str(phantoms), "--report", str(out / "page")]
    assert main([*command, "--robustness", "--limit", "10", *QUICK]) == 0
    return out / "page"


def test_the_report_of_an_evaluation_has_all_its_parts(evaluated: Path) -> None:
    page = (evaluated / "report.html").read_text(encoding="utf-8")

    is_alone(page)
    titles = re.findall(r"<h2>([^<]+)</h2>", page)
    for title in (
        "On the test images", "Baselines", "Calibration",
        "Clinical utility", "Subgroups", "Robustness",
        "The data", "The reader", "Environment",
    ):  # fmt: skip
        assert title in titles
    assert titles[0] == "Before you rely on this"
    assert page.count("<li>", page.index("Before you rely"), page.index("<nav")) == 3
    names = {path.name for path in (evaluated / "figures").iterdir()}
    for name in ("roc-test", "precision-recall-test", "reliability-test", "net-benefit-test",
                 "scores-test", "groups-test", "robustness-test", "confusion-test"):  # fmt: skip
        assert {f"{name}.png", f"{name}.svg", f"{name}.csv"} <= names
    assert {"numbers-test.csv", "baselines-test.csv", "mistakes-test.csv", "reader.csv"} <= names


def test_every_number_has_its_method_and_its_images(evaluated: Path) -> None:
    with (evaluated / "figures" / "numbers-test.csv").open(newline="") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}

    assert rows["AUC"]["method of the interval"].startswith(("DeLong", "Newcombe"))
    assert int(rows["AUC"]["images"]) == int(rows["Accuracy"]["images"])
    assert int(rows["Sensitivity"]["images"]) + int(rows["Specificity"]["images"]) == int(
        rows["AUC"]["images"]
    )
    assert re.fullmatch(r"0\.\d+ to [01]\.\d+", rows["AUC"]["interval"])
    assert "(bootstrap by patient)" in rows["AUC"]["interval by another method"]


def test_mistakes_are_those_of_the_scores_the_surest_first(evaluated: Path) -> None:
    with (evaluated / "figures" / "mistakes-test.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (evaluated / "figures" / "confusion-test.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))

    wrong = sum(int(row["images"]) for row in cells if row["truth"] != row["conclusion"])
    assert len(rows) == wrong
    assert all(row["label"] != row["conclusion"] for row in rows)
    if rows:
        assert (evaluated / "figures" / "mistakes-test-images.png").is_file()


def test_small_groups_are_warned_of_on_the_page(tmp_path: Path) -> None:
    lines = written_scores(tmp_path / "plain.csv").read_text().splitlines()
    rows = [f"{line},{'rare' if row < 9 else 'common'}" for row, line in enumerate(lines[1:])]
    (tmp_path / "scores.csv").write_text("\n".join([f"{lines[0]},device", *rows]) + "\n")
    command = ["evaluate", str(tmp_path / "scores.csv"), "--prevalence", "0.05"]
    assert main([*command, "--report", str(tmp_path / "page"), *QUICK]) == 0

    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "1 of 2 groups has fewer than 20 images of a class and is marked (*)" in page
    assert "device: rare *" in page
    assert "where 5% of the patients are positive" in page


def test_scores_of_others_have_a_page_without_images(tmp_path: Path, capsys: Captured) -> None:
    scores = written_scores(tmp_path / "scores.csv")
    command = ["evaluate", str(scores), "--json", "--report", str(tmp_path / "page"), *QUICK]
    assert main(command) == 0

    captured = capsys.readouterr()
    json.loads(captured.out)  # the page is news for people, not part of the object
    assert str(tmp_path / "page" / "report.html") in captured.err.replace("\n", "")
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    is_alone(page)
    assert "90 images of 45 patients: 45 negative, 45 positive" in page
    assert "The reader</h2>" not in page
    assert not list((tmp_path / "page" / "figures").glob("*-images.png"))


def test_images_of_one_class_have_a_page_that_says_what_cannot_be_known(tmp_path: Path) -> None:
    lines = written_scores(tmp_path / "scores.csv").read_text().splitlines()
    ill = [row for row in lines[1:] if row.split(",")[2] == "1"]
    (tmp_path / "ill.csv").write_text("\n".join([lines[0], *ill]) + "\n")
    command = ["evaluate", str(tmp_path / "ill.csv"), "--report", str(tmp_path / "page"), *QUICK]
    assert main(command) == 0

    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "All are of one class" in page
    assert "not defined" in page
    assert "Clinical utility" not in page
    assert ">nan<" not in page.lower()


def test_a_report_that_cannot_be_written_fails_before_the_work(
    tmp_path: Path, capsys: Captured
) -> None:
    scores = written_scores(tmp_path / "scores.csv")
    for command in (
        ["evaluate", str(scores)],
        ["compare", str(scores), str(tmp_path / "none.csv")],
    ):
        assert main([*command, "--report", str(scores), *QUICK]) == 1
        assert "scores.csv is a file; give a folder with --report" in capsys.readouterr().err


def test_a_comparison_has_a_page(trained: Trained, tmp_path: Path) -> None:
    run = tmp_path / "tiny"
    shutil.copytree(trained.run.root, run)
    other = tmp_path / "other.csv"
    text = trained.run.scores("test").read_text().splitlines()
    flipped = [",".join([*row.split(",")[:3], str(-float(row.split(",")[3]))]) for row in text[1:]]
    other.write_text("\n".join(["path,patient,label,logit", *flipped]) + "\n")
    out = tmp_path / "page"
    assert main(["compare", str(run), str(other), "--report", str(out), *QUICK]) == 0

    page = (out / "report.html").read_text(encoding="utf-8")
    is_alone(page)
    assert "Is tiny better than other.csv?" in page
    names = {path.name for path in (out / "figures").iterdir()}
    assert {"differences.svg", "pairs.csv", "disagreements.csv", "roc.svg", "roc.csv"} <= names
    assert re.search("is better than|No difference is shown between", page)
    assert "seeds.svg" not in names  # the two are no runs of one recipe
    assert "disagreements-images.png" in names  # the run knows where its images are
    assert "tiny 0." in (out / "figures" / "disagreements-images.svg").read_text()


def test_a_comparison_names_the_level_that_was_asked(tmp_path: Path) -> None:
    readers = [str(written_scores(tmp_path / f"{seed}.csv", seed=seed)) for seed in (0, 1)]
    command = ["compare", *readers, "--level", "0.9", "--report", str(tmp_path / "page")]
    assert main([*command, *QUICK]) == 0
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "95%" not in page
    assert "{level}" not in page
    assert page.count("90% intervals") >= 2


def test_images_that_the_gate_would_refuse_are_compared_too(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    strict = tmp_path / "strict.onnx"
    bundle = open_bundle(trained.run.model)
    gate = PixelGate(Rules(contrast=256.0)).to_dict()  # no image has so many grey levels
    strict.write_bytes(
        with_info(trained.run.model.read_bytes(), replace(bundle.info, gate=gate), path=strict)
    )
    command = ["compare", str(trained.run.root), str(strict), "--data", str(phantoms), "--json"]
    assert main([*command, *QUICK]) == 0

    found = json.loads(capsys.readouterr().out)["numbers"][str(strict)]
    assert found["auc"]["value"] == pytest.approx(trained.evaluations["test"]["auc"].value)
    assert found["loss"]["value"] is not None


def test_the_run_report_opens_with_the_test_images_and_keeps_validation(trained: Trained) -> None:
    page = trained.run.report.read_text(encoding="utf-8")

    titles = re.findall(r"<h2>([^<]+)</h2>", page)
    assert titles[1] == "On the test images"
    assert "On the validation images" in titles
    assert titles.index("Subgroups") < titles.index("Training")
    assert "always predicting the majority class gives" in page


def test_a_network_that_has_learnt_nothing_is_the_first_caveat_of_its_report(
    trained: Trained,
) -> None:
    """Two epochs teach the small network of the tests nothing: its AUC is about 0.5."""
    first = trained.evaluations["test"].notes[0]
    assert first.code in {"one-class", "no-better-than-chance"}
    page = html.unescape(trained.run.report.read_text(encoding="utf-8"))
    caveats = re.findall(r"<li>(.*?)</li>", page[page.index("Before you rely on this") :])
    assert first.text in next(note for note in caveats if note != GENERATED)


def test_a_validation_part_that_can_decide_nothing_is_a_caveat_of_the_report(
    trained: Trained,
) -> None:
    page = html.unescape(trained.run.report.read_text(encoding="utf-8"))
    caveats = re.findall(r"<li>(.*?)</li>", page[page.index("Before you rely on this") :])
    (few,) = [note for note in caveats if "too few to base decisions on" in note]
    assert f"{trained.evaluations['val'].n} images" in few
    assert "threshold and calibration depend on chance" in few


def test_the_deployed_decision_comes_first(tmp_path: Path) -> None:
    scores = drawn(part="val")
    found = evaluated_of(scores, conformal=fit_conformal(scores, level=0.2))

    decision, main = outcome_sections(found, scores, Canvas(tmp_path), brief=True)
    assert decision.title == "Decision on the validation images"
    assert found.policy is not None
    assert "UNCERTAIN at probabilities from" in decision.text
    assert "at most 20.0% of each class" in decision.text
    assert decision.table is not None
    header, rows = decision.table
    assert header == ("", "as deployed", "threshold alone")
    said = {row[0]: row[1:] for row in rows}
    assert said["Set aside"] == (found.policy.deployed.set_aside.with_range(), "none")
    assert said["Sensitivity, classified images"] == (
        found.policy.deployed.sensitivity.with_range(),
        found["sensitivity"].with_range(),
    )
    assert "threshold alone" in main.text
    assert "set aside" in opening_of(found)["answer"]
    assert [line.name for line in headline(found)] == [
        "AUC",
        "Sensitivity, as deployed",
        "Specificity, as deployed",
        "Set aside",
    ]


def test_training_writes_every_number_of_each_part(trained: Trained) -> None:
    found = json.loads(trained.run.metrics.read_text(encoding="utf-8"))

    for part in ("val", "test"):  # evaluating adds others
        values = found[part]
        assert values["auc"]["value"] == trained.evaluations[part]["auc"].value
        assert {"brier", "ece", "calibration_slope", "f1", "partial_auc", "curves"} <= set(values)
        assert {"etiology", "images per patient"} <= {g["column"] for g in values["groups"]}
        assert [b["name"] for b in values["baselines"]] == ["majority class", "file size"]


def test_columns_of_a_manifest_are_groups_of_the_run(
    trained: Trained, phantoms: Path, tmp_path: Path
) -> None:
    catalog = read_catalog(phantoms)
    manifest = tmp_path / "images.csv"
    lines = [f"{e.path},{e.label},{'AB'[k % 2]}" for k, e in enumerate(catalog.entries)]
    manifest.write_text("\n".join(["path,label,device", *lines]) + "\n")

    images = images_of_run(
        trained.run, "test", catalog=catalog, training=catalog.entries[:9], data=manifest
    )
    found = evaluate(Scores.load(trained.run.scores("test")), Question(resamples=0), images=images)
    groups = {group.value: group.n for group in found.groups if group.column == "device"}
    assert set(groups) == {"A", "B"}
    assert sum(groups.values()) == found.n


# --- the opening ---------------------------------------------------------------------------------


def test_the_answer_gives_intervals_and_what_guessing_gets() -> None:
    text = opening_of(evaluated_of(drawn()))["answer"]
    assert "of 60 test images were classified correctly; always" in text
    assert "always predicting the majority class gives 66.7%" in text
    assert re.search(r"\d\d\.\d% \(\d\d\.\d% to \d\d\.\d%\)", text)


def test_the_gravest_caveats_come_first_and_three_are_enough() -> None:
    size = Baseline("file size", Estimate(0.9, 60), Estimate(0.91, 60, 0.85, 0.97), "training")
    found = replace(evaluated_of(drawn(part="val"), seen=7), baselines=(size,))

    notes = caveats(replace(found, notes=notes_of(found)), more=("Something else.",))
    assert len(notes) == 3
    assert "was trained on 7 of these 60 images" in notes[0]
    assert "validation images" in notes[1]
    assert "The file size alone distinguishes the classes with AUC 0.910" in notes[2]
    plain = caveats(evaluated_of(drawn()), more=("Something else.",))
    assert plain[-1] == "Something else."
    assert any("The smaller class, NORMAL, has only 20 images" in note for note in plain)
    for part in ("val", "test", "all", ""):
        assert len(caveats(evaluated_of(drawn(part=part)))) == 3, part


# --- the card ------------------------------------------------------------------------------------


def test_the_card_of_a_run_says_what_is_known_and_marks_the_rest(trained: Trained) -> None:
    card = (trained.run.root / "card.md").read_text(encoding="utf-8")

    assert re.findall(r"^## (.+)$", card, re.MULTILINE) == list(SECTIONS)
    assert "not a medical device" in card
    facts = RunFacts.read(trained.run.root)
    assert facts.sha256 in card
    for label, count in facts.counts["train"].items():
        assert f"{count} {label}" in card
    area = trained.evaluations["test"]["auc"]
    assert f"| AUC | {area.text()} ({area.range_text()}) |" in card
    assert "majority class: accuracy" in card
    assert "**Licence:** " + PERSON in card  # a new network has the licence that its maker gives
    assert "**Consent and approval for the images:** " + PERSON in card


def test_a_card_can_be_made_of_the_files_alone(trained: Trained) -> None:
    facts = RunFacts.read(trained.run.root)
    found = json.loads(trained.run.metrics.read_text(encoding="utf-8"))["test"]
    assert f"| AUC | {Estimate.from_dict(found['auc']).with_range()} |" in card_text(facts)

    card = card_text(replace(facts, info=replace(facts.info, card={"View": "frontal"})))
    assert "- **View:** frontal\n" in card
    assert "{" not in card


def test_a_calibration_that_fell_back_is_told_as_it_is(trained: Trained) -> None:
    facts = RunFacts.read(trained.run.root)
    assert facts.info.training["calibration"]["method"] == "none"
    facts.provenance["recipe"]["calibration"] = "temperature"  # what the recipe asked for
    assert "Calibration: none." in facts.say("decisions")
    assert "Calibration: none." in card_text(facts)


def test_metrics_of_another_version_are_named(trained: Trained, tmp_path: Path) -> None:
    run = tmp_path / "old"
    shutil.copytree(trained.run.root, run)
    (run / "metrics.json").write_text('{"test": {"n": {"value": 3}}}')
    with pytest.raises(DataError, match="it may be from another version"):
        RunFacts.read(run)


def test_a_folder_that_is_no_finished_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a finished run \(model.onnx, provenance.json"):
        RunFacts.read(tmp_path)


# --- the checklists ------------------------------------------------------------------------------


@pytest.mark.parametrize(("standard", "items"), [("tripod-ai", 52), ("claim", 44)])
def test_a_checklist_has_every_item_and_fills_what_it_can(
    trained: Trained, standard: str, items: int
) -> None:
    found = fill(RunFacts.read(trained.run.root), standard)

    assert len(found.items) == items
    assert len({item.number for item in found.items}) == items
    whole = {int(re.match(r"\d+", item.number)[0]) for item in found.items}  # type: ignore[index]
    assert whole == set(range(1, max(whole) + 1))
    assert found.count(FILLED) + found.count(PARTLY) + found.count(OPEN) == items
    assert found.count(FILLED) >= 12
    assert ").." not in found.to_markdown()
    text = found.to_markdown()
    assert "{" not in text
    assert text.count(PERSON[:-1]) == 1 + found.count(PARTLY) + found.count(OPEN)
    assert standards()[standard].source in text


def test_a_checklist_names_the_numbers_of_the_run(trained: Trained) -> None:
    items = {item.number: item for item in fill(RunFacts.read(trained.run.root), "claim").items}

    assert f"AUC {trained.evaluations['test']['auc'].value:.3f}" in items["38"].text
    assert "On the validation images" in items["37"].text
    assert "seed-cnn" in items["22"].text
    assert items["44"].state == OPEN


def test_a_checklist_tells_of_worse_images_where_somebody_looked(trained: Trained) -> None:
    facts = RunFacts.read(trained.run.root)
    (before,) = [item for item in fill(facts, "claim").items if item.number == "30"]
    assert before.state == OPEN
    rows = tuple(
        Corrupted(
            name, int(amount > 0), amount, "units",
            {"auc": Estimate(area, 40), "accuracy": Estimate(0.9, 40)}, Estimate(0.0, 40),
        )
        for name, amount, area in (("none", 0, 0.95), ("blur", 1.5, 0.9), ("noise", 30, 0.71))
    )  # fmt: skip
    found = replace(facts.evaluations["test"], robustness=rows)
    facts = replace(facts, evaluations={**facts.evaluations, "test": found})
    (after,) = [item for item in fill(facts, "claim").items if item.number == "30"]
    assert after.text.startswith("2 corruptions at five strengths each, on 40 images: AUC 0.950")
    assert "lowest 0.710 (noise, 30 units)" in after.text


def test_the_checklist_verb_prints_and_writes(
    trained: Trained, tmp_path: Path, capsys: Captured
) -> None:
    run = str(trained.run.root)
    assert main(["checklist", run, "--json", "--standard", "claim"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["standard"] == "claim"
    assert sum(found["counts"].values()) == len(found["items"]) == 44

    assert main(["checklist", run, "--out", str(tmp_path / "tripod.md")]) == 0
    assert "TRIPOD+AI: " in capsys.readouterr().out
    assert (tmp_path / "tripod.md").read_text(encoding="utf-8").startswith("# TRIPOD+AI: tiny")

    assert main(["checklist", run, "--standard", "strobe"]) == 1
    assert "--standard must be one of tripod-ai, claim" in capsys.readouterr().err
    with pytest.raises(OptionError):
        fill(RunFacts.read(trained.run.root), "strobe")

"""Groups are held out in a training, decide, and stand in page, card and model file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.classes import GROUP, by_kind
from helpers.phantoms import written_once
from pneumoscope.cli import main
from pneumoscope.errors import OptionError
from pneumoscope.evaluation.new_patients import NewPatients
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.predictor import Predictor
from pneumoscope.report.card import card_text
from pneumoscope.report.facts import RunFacts
from pneumoscope.runs import rows_of
from pneumoscope.training.recipe import recipe_of
from pneumoscope.workflow.train import Trained, train_reader

TINY = {
    "image_size": 32, "filters": (4, 8), "probe": True, "validation": "groups", "val_fraction": 0.2,
    "folds": 3, "calibration": "temperature", "operating_point": "youden", "error_level": "auto",
}  # fmt: skip


def trained(data: Path, out: Path, **changes: Any) -> Trained:
    """Return a run of a probe on a small network."""
    found = train_reader(data, out, recipe=recipe_of("seed", **{**TINY, **changes}))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("new") / "data"
    return written_once(tmp_path_factory, place, patients=160, seed=7, size_px=(40, 44))


@pytest.fixture(scope="module")
def probe(radiographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(radiographs, tmp_path_factory.mktemp("probe") / "run", groups="blocks")


def test_every_group_is_judged_by_a_reader_that_has_not_seen_it(probe: Trained) -> None:
    found = probe.new_patients
    assert found is not None
    assert [group.name for group in found.groups] == ["block 1/3", "block 2/3", "block 3/3"]
    assert found.nested
    split = {row["path"]: row["split"] for row in rows_of(probe.run.split)}
    pool = {path for path, part in split.items() if part in {"train", "val"}}
    judged: list[str] = []
    for group in found.groups:
        scores = Scores.load(
            probe.run.root / "groups" / f"{group.name.replace(' ', '-').replace('/', '-')}.csv"
        )
        assert scores.part == "val"
        assert len(scores) == group.n
        assert group.taught + group.n < len(pool)
        own = group.found.numbers["sensitivity"].value
        called = scores.probability >= group.found.threshold
        assert own == pytest.approx(called[scores.label == 1].mean())
        judged += scores.path
    assert sorted(judged) == sorted(pool)


def test_the_reader_decides_as_was_chosen_over_the_groups(probe: Trained) -> None:
    info = Predictor(probe.run.model).info
    told = info.operating_point.achieved["groups"]
    assert told["n"] == 3
    assert told["sensitivity"]["lowest"] <= told["sensitivity"]["highest"]
    facts = RunFacts.read(probe.run.root)
    assert facts.new_patients is not None
    assert "over groups that were held out in turn" in facts.say("decisions")
    assert facts.info.operating_point.threshold == info.operating_point.threshold


def test_page_card_and_file_tell_range_and_optimism(probe: Trained) -> None:
    page = probe.run.report.read_text()
    card = card_text(RunFacts.read(probe.run.root))
    assert "Expected performance on new patients" in page
    assert "Expected performance on new patients" in card
    found = NewPatients.from_dict(json.loads(probe.run.new_patients.read_text()))
    own = found.expected["specificity"]
    for text in (page, card):
        assert f"groups from {own.lowest:.3f} to {own.highest:.3f}" in text
        assert "block 2/3" in text or own.worst != "block 2/3"
        assert "block validation" in text
        assert "DerSimonian" in text


def test_networks_are_held_out_and_go_on_where_they_were(
    radiographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = f"train {radiographs} --out {out} --image-size 32 --filters 4,8 --epochs 1"
    words += " --validation groups --groups blocks --folds 2 --val-fraction 0.2"
    assert main(words.split()) == 0
    told = capsys.readouterr().out
    assert "New patients: 2 groups by blocks, held out in turn" in told
    assert "block validation" in told
    logs = sorted(path.parent.name for path in out.glob("groups/*/log.csv"))
    assert logs == ["block-1-2", "block-2-2"]
    first = json.loads((out / "new-patients.json").read_text())
    assert not first["nested"]
    before = {path: path.stat().st_mtime_ns for path in out.glob("groups/*/checkpoints/best.ckpt")}
    (out / "new-patients.json").unlink()
    assert main(["train", str(radiographs), "--out", str(out), "--resume"]) == 0
    assert json.loads((out / "new-patients.json").read_text()) == first
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_three_classes_keep_their_positive_group(radiographs: Path, tmp_path: Path) -> None:
    data = by_kind(radiographs, tmp_path / "kinds")
    found = trained(data, tmp_path / "run", groups="blocks", positive=GROUP, error_level=0.3)
    assert found.new_patients is not None
    for group in found.new_patients.groups:
        assert group.found.numbers["auc"].value is not None
        scores = Scores.load(found.run.root / "groups" / "block-1-3.csv")
        assert scores.classes is not None
    assert len(Predictor(found.run.model).info.classes) == 3


def test_series_of_one_class_decide_without_each_other(radiographs: Path, tmp_path: Path) -> None:
    data = tmp_path / "series"
    for number, path in enumerate(sorted(radiographs.rglob("*.jpeg"))):
        patient = int(path.stem.split("-")[1])
        kind = ("bacteria", "virus") if "PNEUMONIA" in path.parts else ("IM", "NORMAL2-IM")
        series = kind[patient % 2]
        name = (
            f"{series}-{patient:07d}-{number:04d}.jpeg"
            if "IM" in series
            else (f"person{patient}_{series}_{number}.jpeg")
        )
        place = data / path.parent.name / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    found = trained(data, tmp_path / "run", groups="series").new_patients
    assert found is not None
    assert [group.name for group in found.groups] == [
        "IM", "NORMAL2-IM", "bacteria-person", "virus-person",
    ]  # fmt: skip
    # Without both series of a class nothing is left of it, and the others decide.
    assert found.nested
    assert all(group.completed for group in found.groups)
    assert all(group.found.numbers["auc"].value is not None for group in found.groups)


def test_a_manifest_column_and_acquisition_make_groups(radiographs: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    files = sorted(path for path in radiographs.rglob("*.jpeg"))
    lines = ["path,label,patient,site"]
    for path in files:
        patient = "-".join(path.stem.split("-")[:2])
        site = "abc"[int(path.stem.split("-")[1]) % 3]
        lines.append(f"{path},{path.parent.name},{patient},{site}")
    manifest.write_text("\n".join(lines))
    for by, names in (("auto", ["a", "b", "c"]), ("acquisition", None)):
        found = trained(manifest, tmp_path / by, groups=by)
        assert found.new_patients is not None
        told = [group.name for group in found.new_patients.groups]
        assert told == names if names else all(name.startswith("cluster") for name in told)


def test_an_unknown_column_is_told_before_training(radiographs: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="series, blocks, acquisition"):
        trained(radiographs, tmp_path / "run", groups="scanner")
    assert not (tmp_path / "run").exists()


def test_a_stated_share_of_groups_lets_the_worst_go(radiographs: Path, tmp_path: Path) -> None:
    rule = "specificity>=0.9"
    told = []
    for share in (1.0, 0.5):
        found = trained(radiographs, tmp_path / str(share), groups="blocks", operating_point=rule,
                        group_share=share)  # fmt: skip
        point = Predictor(found.run.model).info.operating_point
        told.append((point.threshold, point.achieved["groups"]["share"]))
        assert found.new_patients is not None
        assert found.new_patients.share == share
    assert told[0][0] > told[1][0]
    assert [share for _, share in told] == [1.0, 0.5]

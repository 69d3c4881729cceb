"""The scores file, and the origin of its rows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.files import dicom_file, encoded
from helpers.made_scores import people
from helpers.tiny_model import grey_image, tiny_info, write_tiny
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.columns import manifest_columns
from pneumoscope.data.patients import Patient
from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.scores import MIXED, Scores
from pneumoscope.evaluation.scoring import score
from pneumoscope.images.record import DICOM_COLUMNS
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.records import record_of, row_of
from pneumoscope.runs import rows_of
from pneumoscope.workflow.train import Trained


def test_scores_survive_their_file_to_the_last_bit(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    logit = generator.normal(size=50) * 5
    before = Scores(
        tuple(f"a,{i}\n.png" for i in range(50)),
        people(f"p{i // 2}" for i in range(50)),
        generator.integers(0, 2, 50),
        logit,
        1 / (1 + np.exp(-logit)),
    )
    before.save(tmp_path / "scores.csv")
    after = Scores.load(tmp_path / "scores.csv")
    assert (after.path, after.patient) == (before.path, before.patient)
    for name in ("label", "logit", "probability"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na,1\n",
        "path,patient,label,logit,probability\na,p,x,0,0.5\n",
        "path,patient,label,logit,probability\na,p,2,0,0.5\n",
        "path,patient,label,logit,probability\na,p,1,0,1.5\n",
        "path,patient,label,logit,probability\na,p,1,0,nan\n",
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"scores\.csv"):
        Scores.load(path)


def test_unreadable_files_have_no_scores(trained: Trained, phantoms: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    catalog = read_catalog(data)
    victim = catalog.entries[3]
    content = catalog.file(victim).read_bytes()
    catalog.file(victim).write_bytes(content[: len(content) // 2])
    scores, bad = score(Predictor(trained.run.root, gated=False), catalog)
    assert [item.path for item in bad] == [victim.path]
    expected = [entry.path for entry in catalog.entries if entry is not victim]
    assert list(scores.path) == expected
    labels = {entry.path: entry.label == "PNEUMONIA" for entry in catalog.entries}
    assert [labels[path] for path in scores.path] == scores.label.astype(bool).tolist()


def test_either_of_logit_and_probability_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("label,probability\n1,0.75\n0,0\n1,1\n")
    found = Scores.load(path)
    assert found.path == ("row 1", "row 2", "row 3")
    assert not found.patients_known
    assert len(set(found.patient)) == 3
    assert found.logit[0] == pytest.approx(np.log(3))
    assert np.isfinite(found.logit).all()
    path.write_text("path,label,logit\nx/person3_virus_7.jpeg,1,0\n")
    found = Scores.load(path)
    assert found.patient == (Patient("virus-person3"),)
    assert found.patients_known
    assert found.probability[0] == 0.5


def test_the_part_is_known_by_column_or_name(tmp_path: Path) -> None:
    rows = "label,probability,split\n1,0.5,val\n0,0.5,test\n0,0.1,val\n"
    path = tmp_path / "s.csv"
    path.write_text(rows)
    assert Scores.load(path).part == MIXED
    val = Scores.load(path, part="val")
    assert (val.part, len(val)) == ("val", 2)
    with pytest.raises(OptionError, match="part must be"):
        Scores.load(path, part="train")
    named = tmp_path / "scores-test.csv"
    named.write_text("label,probability\n1,0.5\n")
    assert Scores.load(named).part == "test"
    val.save(tmp_path / "copy.csv")
    assert Scores.load(tmp_path / "copy.csv").part == "val"
    path.write_text("label,probability\n1,0.5\n")
    assert Scores.load(path).part == ""
    with pytest.raises(OptionError, match="no column 'split'"):
        Scores.load(path, part="val")


def test_unknown_patients_stay_unknown_in_their_file(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("path,patient,label,probability\na.png,image:a.png,1,0.5\nb.png,b,0,0.5\n")
    found = Scores.load(path)
    assert found.patient == (Patient("a.png", known=False), Patient("b"))
    assert not found.patients_known
    found.save(tmp_path / "copy.csv")
    assert Scores.load(tmp_path / "copy.csv").patient == found.patient


def test_the_scores_of_a_run_tell_their_part_their_images_and_their_model(
    trained: Trained, tmp_path: Path
) -> None:
    run = trained.run
    known = {row["path"]: row["sha256"] for row in rows_of(run.catalog)}
    for part in ("val", "test"):
        copied = Path(shutil.copy(run.scores(part), tmp_path / f"{part}-copy.csv"))
        found = Scores.load(copied)
        assert found.part == part
        assert found.model == Predictor(run.root).sha256
        assert found.sha256 == tuple(known[path] for path in found.path)
        half = found.select(range(3, 6))
        assert half.sha256 == found.sha256[3:6]


def test_log_odds_keep_the_digits_that_probabilities_lose() -> None:
    logit = np.array([-40.0, -3.0, 0.0, 2.0, 25.0, 60.0])
    names = tuple("abcdef")
    label = np.array([0, 0, 1, 1, 1, 0])

    def odds(probability: np.ndarray) -> np.ndarray:
        single = probability.astype(np.float32).astype(np.float64)
        return Scores(names, people(names), label, logit, single).log_odds

    np.testing.assert_array_equal(odds(1 / (1 + np.exp(-logit))), logit)
    line = 0.5 * logit + 1  # a calibration stands between the two
    np.testing.assert_allclose(odds(1 / (1 + np.exp(-line))), line, rtol=1e-4)
    other = np.array([0.5, 0.1, 0.9, 0.2, 0.3, 0.4])  # of another model: probabilities count
    np.testing.assert_allclose(odds(other), np.log(other / (1 - other)), rtol=1e-5)


def test_scores_of_dicom_images_say_which_they_are(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number, label in enumerate(("NORMAL", "PNEUMONIA")):
        (data / label).mkdir(parents=True)
        pixels = (4095 - grey_image(60 + 90 * number, side=64).astype(np.uint16) * 16).astype("<u2")
        uids: dict[str, Any] = {"SOPInstanceUID": f"1.2.{number}", "BitsStored": 12}
        (data / label / "a.dcm").write_bytes(
            dicom_file(pixels, PhotometricInterpretation="MONOCHROME1", **uids)
        )
    (data / "NORMAL" / "b.png").write_bytes(encoded(grey_image(100, side=64)))
    reader = Predictor(write_tiny(tmp_path / "m.onnx", tiny_info()), gated=False)
    scores, bad = score(reader, read_catalog(data))
    assert not bad
    scores.select([0, 1]).save(tmp_path / "scores.csv")
    film, picture = rows_of(tmp_path / "scores.csv")
    (said,) = reader.predict_many([data / "NORMAL" / "a.dcm"])
    wanted = row_of(record_of(said))
    assert {name: film[name] or None for name in DICOM_COLUMNS} == {
        name: wanted[name] or None for name in DICOM_COLUMNS
    }
    assert film["sop_instance_uid"] == "1.2.0"
    assert not any(picture[name] for name in DICOM_COLUMNS)
    assert Scores.load(tmp_path / "scores.csv").path == scores.path[:2]
    assert manifest_columns(tmp_path / "scores.csv") == {}  # none of them is a grouping
    scores.select([1]).save(tmp_path / "plain.csv")
    assert "sop_instance_uid" not in rows_of(tmp_path / "plain.csv")[0]

"""``predict``, ``selftest`` and ``model FILE`` as commands."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.files import dicom_bytes, dicom_data_set
from helpers.tiny_model import grey_image, tiny_info, tiny_proto, write_tiny
from pneumoscope.cli import main
from pneumoscope.cli.predictions import in_colour, printable, write_table
from pneumoscope.reader import evidence_sheet as evidence_module
from pneumoscope.reader.checks.gate import PixelGate
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.model_file import session as graph_module
from pneumoscope.reader.model_file.checksum import with_info
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.reader.model_file.self_test import SelfTest

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    info = tiny_info(
        version="1",
        conformal=Conformal(0.1, (0.6, 0.6)),
        gate=PixelGate().to_dict(),
        reference={"probability_histogram": [100] * 20},
    )
    return write_tiny(tmp_path_factory.mktemp("model") / "m.onnx", info)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one image for each conclusion."""
    place = tmp_path_factory.mktemp("images")
    Image.fromarray(grey_image(70)).save(place / "normal.png")
    Image.fromarray(grey_image(140)).save(place / "pneumonia.png")
    Image.fromarray(grey_image(100)).save(place / "uncertain.png")
    Image.fromarray(np.full((96, 96), 80, np.uint8)).save(place / "blank.png")
    (place / "broken.png").write_bytes(b"")
    return place


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines_of(
    model: Path, *words: object, capsys: Captured, code: int = 0
) -> list[dict[str, object]]:
    command = ["predict", *map(str, words), "--model", str(model), "--format", "jsonl"]
    assert main(command) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_record_says_all(model: Path, images: Path, capsys: Captured) -> None:
    rows = lines_of(model, images, capsys=capsys, code=3)
    found = {Path(str(row["path"])).stem: row for row in rows}
    said = {name: row["conclusion"] for name, row in found.items()}
    assert said == {
        "blank": "NOT_ASSESSABLE", "broken": "ERROR", "normal": "NORMAL",
        "pneumonia": "PNEUMONIA", "uncertain": "UNCERTAIN",
    }  # fmt: skip
    assert "blank" in str(found["blank"]["reasons"])
    assert found["blank"]["probability"] is None
    assert "both possible" in str(found["uncertain"]["reasons"])
    assert found["uncertain"]["conformal_set"] == ["NORMAL", "PNEUMONIA"]
    assert found["normal"]["conformal_set"] == ["NORMAL"]
    assert "empty" in str(found["broken"]["error"])
    assert all(row["model"]["version"] == "1" for row in rows)  # type: ignore[index]
    assert (
        main(["predict", str(images), "--model", str(model), "--no-gate", "--format", "csv"]) == 3
    )
    assert "NOT_ASSESSABLE" not in capsys.readouterr().out


def test_a_process_of_its_own_ends_with_all_that_it_said(model: Path, images: Path) -> None:
    command = [sys.executable, "-m", "pneumoscope", "predict", str(images), "--model", str(model)]
    done = subprocess.run(
        [*command, "--format", "jsonl"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert len(done.stdout.splitlines()) == 5
    fails = subprocess.run(
        [*command, "--fail-on", "nothing"], capture_output=True, text=True, check=False
    )
    assert fails.returncode == 1
    assert fails.stderr.startswith("error: --fail-on")


def test_an_archive_is_not_begun_with_a_graph_that_cannot_be_opened(
    images: Path, tmp_path: Path, capsys: Captured
) -> None:
    model = tiny_proto()
    model.graph.node[-1].input[0] = "nowhere"
    (tmp_path / "m.onnx").write_bytes(with_info(model.SerializeToString(), tiny_info()))
    out = tmp_path / "out.csv"
    words = ["predict", str(images), "--model", str(tmp_path / "m.onnx"), "--out", str(out)]
    assert main(words) == 1
    assert "not a readable model file" in capsys.readouterr().err
    assert not out.exists()


def test_the_table_explains_itself(model: Path, images: Path, capsys: Captured) -> None:
    assert main(["predict", str(images), "--model", str(model)]) == 3
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert re.search(r"UNCERTAIN .*uncertain\.png\n +NORMAL and PNEUMONIA are both possible", out)
    assert re.search(r"NOT_ASSESSABLE +- .*blank\.png\n +the image is blank", out)
    assert "5 images: 1 ERROR, 1 NORMAL, 1 NOT_ASSESSABLE, 1 PNEUMONIA, 1 UNCERTAIN." in out


def test_colour_where_there_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"path": "a\x1b[2J\n.png", "conclusion": "PNEUMONIA", "probability": 0.9, "error": "",
              "reasons": [], "evidence": ""}  # fmt: skip
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    write_table(out, [record], positive=("PNEUMONIA",))
    assert "\x1b[1mPNEUMONIA" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()  # a file name is no command to the terminal
    assert "a\\x1b[2J\\n.png" in out.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not in_colour(out)
    assert not in_colour(io.StringIO())
    assert printable("ä b.png") == "ä b.png"
    assert printable("\udcff.png") == "\\udcff.png"


@pytest.mark.parametrize(
    ("names", "wanted", "code"),
    [
        (["normal"], ["pneumonia"], 0),
        (["normal"], ["NORMAL"], 4),
        (["uncertain"], ["uncertain"], 4),
        (["blank"], ["not-assessable"], 4),
        (["blank"], ["uncertain"], 0),
        (["broken"], ["uncertain"], 3),
        (["broken"], ["error"], 4),
        (["broken", "uncertain"], ["uncertain", "error"], 4),
    ],
)
def test_scripts_learn_what_they_ask_for(
    model: Path, images: Path, names: list[str], wanted: list[str], code: int
) -> None:
    command = ["predict", *(str(images / f"{name}.png") for name in names), "--model", str(model)]
    for word in wanted:
        command += ["--fail-on", word]
    assert main(command) == code


def test_standard_input_is_an_image_or_a_list(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def feed(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    feed((images / "normal.png").read_bytes())
    (alone,) = lines_of(model, "-", capsys=capsys)
    assert alone["conclusion"] == "NORMAL"
    feed(b"nothing")
    (bad,) = lines_of(model, "-", capsys=capsys, code=3)
    assert bad["conclusion"] == "ERROR"
    listed = f"{images}/normal.png\n\n{images}/gone.png\r\n{images}/pneumonia.png"
    feed(listed.encode("utf-8-sig"))  # as some editors begin a file
    rows = lines_of(model, "--paths-from", "-", capsys=capsys, code=3)
    assert [row["conclusion"] for row in rows] == ["NORMAL", "ERROR", "PNEUMONIA"]
    (tmp_path / "list.txt").write_text(listed)
    assert lines_of(model, "--paths-from", tmp_path / "list.txt", capsys=capsys, code=3)[0] == {
        **rows[0], "seconds": pytest.approx(rows[0]["seconds"], abs=5)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["x", "--resume"], "--out"),
        (["x", "--format", "parquet"], "--out"),
        (["x", "--format", "table", "--out", "y.csv"], "--format"),
        (["x", "--paths-from", "y"], "--paths-from"),
        ([], "no images given"),
        (["x", ""], "empty name"),
        (["-", "x"], "the only image"),
        (["--paths-from", "gone.txt"], "gone.txt: cannot be read"),
        (["x", "--fail-on", "uncertian"], "Did you mean 'uncertain'?"),
        (["x", "--out", "results.xls"], ".csv"),
    ],
)
def test_what_makes_no_sense_is_one_message(
    model: Path, capsys: Captured, words: list[str], says: str
) -> None:
    assert main(["predict", *words, "--model", str(model)]) == (1 if words else 2)
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert says in captured.err
    assert captured.out == ""


def test_evidence_is_drawn(model: Path, images: Path, tmp_path: Path, capsys: Captured) -> None:
    (row,) = lines_of(model, images / "pneumonia.png", "--evidence", tmp_path / "e", capsys=capsys)
    with Image.open(str(row["evidence"])) as picture:
        assert picture.width > 2 * 448  # the image beside the same with its evidence
    assert main(["predict", str(images), "--model", str(model), "--evidence", str(tmp_path)]) == 3
    # Three are judged, and of one that cannot be assessed the picture says why.
    assert capsys.readouterr().out.count("evidence: ") == 4


def test_evidence_of_standard_input_is_drawn(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    content = (images / "pneumonia.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    (row,) = lines_of(model, "-", "--evidence", tmp_path, capsys=capsys)
    place = Path(str(row["evidence"]))
    assert place.name.startswith("stdin-")
    with Image.open(place) as picture:
        assert picture.width > 2 * 448


def test_a_file_that_vanishes_before_its_picture_is_drawn_ends_nothing(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    names = [tmp_path / f"{i}.png" for i in range(3)]
    for name in names:
        name.write_bytes((images / "pneumonia.png").read_bytes())
    honest = evidence_module.draw_evidence

    def draw(predictor: Any, found: Any, *rest: Any, **named: Any) -> Any:
        if found.path == str(names[1]):  # it has been read by now
            names[1].unlink()
        return honest(predictor, found, *rest, **named)

    monkeypatch.setattr(evidence_module, "draw_evidence", draw)
    rows = lines_of(model, *names, "--evidence", tmp_path / "e", capsys=capsys)
    assert [row["conclusion"] for row in rows] == ["PNEUMONIA"] * 3
    assert [bool(row["evidence"]) for row in rows] == [True, False, True]
    assert "the evidence cannot be drawn" in str(rows[1]["reasons"])


def test_the_shipped_reader_needs_no_name(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(graph_module, "SHIPPED_FILE", tmp_path / "reader.onnx")
    image = str(images / "normal.png")
    assert main(["predict", image]) == 1
    assert "no included reader" in capsys.readouterr().err
    write_tiny(tmp_path / "reader.onnx")
    assert main(["predict", image]) == 0
    assert main(["predict", image, "--model", "shipped"]) == 0
    assert main(["selftest"]) == 0
    assert main(["model", "shipped", "--verify"]) == 0
    assert "passed" in capsys.readouterr().out


def test_selftest_shows_expected_and_found(model: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["selftest", "--model", str(model)]) == 0
    out = capsys.readouterr().out
    expected, found = re.findall(r"(?:expected|found) +probability ([\d.]+)", out)
    assert expected == found
    assert "intact" in out
    assert main(["selftest", "--model", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True
    changed = tmp_path / "m.onnx"
    wrong = tiny_info(self_test=SelfTest("lungs-1", 99.0, 1.0))
    changed.write_bytes(with_info(model.read_bytes(), wrong))
    for command in (["selftest", "--model", str(changed)], ["model", str(changed), "--verify"]):
        assert main(command) == 1
        assert "FAILED" in capsys.readouterr().out
    assert main(["predict", "x.png", "--model", str(changed)]) == 1
    assert "failed its self-test" in capsys.readouterr().err


def test_model_shows_a_file(model: Path, capsys: Captured) -> None:
    assert main(["model", str(model), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["gate"]["rules"]["side_px"] == 64
    assert facts["conformal"] == {"level": 0.1, "quantiles": [0.6, 0.6], "n": [0, 0]}
    assert facts["self_test"]["image"] == "lungs-1"
    assert facts["graph"]["operators"]["Gemm"] == 1
    assert facts["graph"]["outputs"][:2] == ["logits", "probabilities"]
    assert main(["model", str(model)]) == 0
    assert "UNCERTAIN if the probability is between 0.400 and 0.600" in capsys.readouterr().out
    assert main(["model", "seed-cnn", "--verify"]) == 1
    assert "--verify" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "conclusion"),
    [((), "NORMAL"), (("note",), "NORMAL"), (("uncertain",), "UNCERTAIN"),
     (("refuse",), "NOT_ASSESSABLE")],
)  # fmt: skip
def test_what_is_outside_the_intended_use_stands_in_its_row(
    tmp_path: Path, capsys: Captured, option: tuple[str, ...], conclusion: str
) -> None:
    info = tiny_info(
        intended={"age_years": [1, 5]}, operating_point=OperatingPoint("probability=1", 1.0)
    )
    model = write_tiny(tmp_path / "m.onnx", info)
    for name, age in (("adult.dcm", "064Y"), ("child.dcm", "003Y")):
        data_set = dicom_data_set(grey_image(70))
        data_set.PatientAge = age
        (tmp_path / name).write_bytes(dicom_bytes(data_set))
    command = ["predict", str(tmp_path / "adult.dcm"), str(tmp_path / "child.dcm")]
    command += ["--model", str(model)]
    for word in option:
        command += ["--outside-intended-use", word]
    assert main(command) == 0
    table = capsys.readouterr().out.splitlines()
    adult = next(number for number, line in enumerate(table) if line.endswith("adult.dcm"))
    assert table[adult].split()[0] == conclusion
    assert "the patient is 64 years old; the reader is for patients aged 1 to 5" in table[adult + 1]
    assert table[adult + 2].split()[0] == "NORMAL"
    assert table[adult + 2].endswith("child.dcm")
    assert main([*command, "--format", "json"]) == 0
    old, young = json.loads(capsys.readouterr().out)
    assert (old["conclusion"], young["conclusion"]) == (conclusion, "NORMAL")
    assert (old["probability"] is None) == (conclusion == "NOT_ASSESSABLE")
    assert len(old["outside_intended_use"]) == 1
    assert set(old["outside_intended_use"]) <= set(old["reasons"])
    assert young["outside_intended_use"] == []


def test_a_model_that_states_no_use_has_nothing_outside(
    model: Path, images: Path, capsys: Captured
) -> None:
    command = ["predict", str(images / "normal.png"), "--model", str(model)]
    assert main([*command, "--outside-intended-use", "note"]) == 0
    capsys.readouterr()
    assert main([*command, "--outside-intended-use", "refuse"]) == 1
    assert "this model states no intended use" in capsys.readouterr().err


def test_a_changed_model_file_answers_nothing(
    model: Path, images: Path, tmp_path: Path, capsys: Captured
) -> None:
    content = bytearray(model.read_bytes())
    content[content.index(np.float32(0.1).tobytes())] ^= 1  # the logit hardly moves
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(bytes(content))
    assert main(["predict", str(images / "normal.png"), "--model", str(changed)]) == 1
    told = capsys.readouterr()
    assert "NORMAL" not in told.out
    assert "its checksum does not match" in told.err

"""``pneumoscope inspect`` as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pneumoscope.cli import main
from pneumoscope.workflow.train import Trained

Captured = pytest.CaptureFixture[str]


class Page(HTMLParser):
    """Elements with their attributes, and the words between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())


def test_a_sound_folder_ends_with_0(phantoms: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "audit"
    assert main(["inspect", str(phantoms), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].split() == ["part", "images", "patients", "NORMAL", "PNEUMONIA"]
    assert "0 errors" in text
    assert text.splitlines()[-1] == f"JSON: {out / 'inspect.json'}"
    found = json.loads((out / "inspect.json").read_text(encoding="utf-8"))
    assert found["severities"]["error"] == 0
    assert found["images"] == len(list(phantoms.rglob("*.jpeg")))
    assert {path.suffix for path in (out / "figures").iterdir()} == {".png", ".svg", ".csv"}


def test_the_page_opens_with_data_verdict_and_findings(
    phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    data = Path(shutil.copytree(phantoms, tmp_path / "<b>data"))
    victim = next((data / "train" / "NORMAL").iterdir())
    shutil.copy(victim, data / "test" / "NORMAL" / "a&b.jpeg")
    assert main(["inspect", str(data), "--out", str(tmp_path / "out")]) == 1
    assert "error    1 image in both train and test" in capsys.readouterr().out
    html = (tmp_path / "out" / "inspect.html").read_text(encoding="utf-8")
    page = Page(html)
    start = page.words.index("Audit of <b>data")
    assert page.words[start + 1] == "Can these images be trusted to teach and to judge?"
    assert "images of 60 patients" in page.words[start + 2]
    assert page.words[start + 3].startswith("Not as they are")
    assert page.words[start + 4] == "Errors"
    assert "test/NORMAL/a&b.jpeg" in page.words
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "b"}
    for _, attributes in page.elements:
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), value
    sections = [tag for tag, _ in page.elements if tag == "section"]
    figures = [tag for tag, _ in page.elements if tag == "figcaption"]
    assert len(sections) >= 6
    assert len(figures) >= 7


def test_scores_and_the_split_of_a_run(
    trained: Trained, phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    run = trained.run
    arguments = ["inspect", str(phantoms), "--out", str(tmp_path / "out")]
    asked = ["--split-file", str(run.root), "--scores", str(run.scores("val"))]
    assert main([*arguments, *asked]) == 0
    found = json.loads((tmp_path / "out" / "inspect.json").read_text(encoding="utf-8"))
    assert set(found["counts"]["parts"]) == {"train", "val", "test"}
    assert [leak["patients"] for leak in found["leaks"]] == [[], [], []]
    ranked = [f for f in found["findings"] if f["id"] == "suspicious-labels"]
    metrics = trained.metrics["val"]
    wrong = sum(metrics.confusion[0][1:]) + metrics.confusion[1][0]
    assert sum(len(f["files"]) for f in ranked) == wrong
    capsys.readouterr()
    assert main([*arguments, "--scores", str(run.log)]) == 1
    assert "no scores can be read" in capsys.readouterr().err


def test_inspecting_loads_no_training_framework(phantoms: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pneumoscope.cli import main;"
        f"main(['inspect', {str(phantoms)!r}, '--out', {str(tmp_path / 'out')!r}]);"
        "print([m for m in ('torch', 'lightning', 'onnx', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_wrong_input_is_named(tmp_path: Path, capsys: Captured) -> None:
    assert main(["inspect", str(tmp_path / "missing"), "--out", str(tmp_path / "o")]) == 1
    assert "no such folder" in capsys.readouterr().err
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "letter.jpeg").write_text("Dear colleague,")
    assert main(["inspect", str(tmp_path / "data"), "--out", str(tmp_path / "o")]) == 1
    assert "No image can be read" in capsys.readouterr().out
    (tmp_path / "file").write_text("x")
    assert main(["inspect", str(tmp_path), "--out", str(tmp_path / "file")]) == 1
    assert "is a file" in capsys.readouterr().err


def test_a_folder_of_images_without_labels(
    phantoms: Path, tmp_path: Path, capsys: Captured
) -> None:
    shutil.copytree(phantoms / "test" / "NORMAL", tmp_path / "flat")
    assert main(["inspect", str(tmp_path / "flat"), "--out", str(tmp_path / "out")]) == 0
    assert "(no label)" in capsys.readouterr().out


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_ctrl_c_ends_with_130_and_leaves_nothing(phantoms: Path, tmp_path: Path) -> None:
    data = tmp_path / "many" / "NORMAL"
    data.mkdir(parents=True)
    image = next(phantoms.rglob("*.jpeg"))
    for number in range(6000):
        (data / f"{number}.jpeg").symlink_to(image)
    command = [sys.executable, "-m", "pneumoscope", "inspect", str(data.parent)]
    done = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")], stderr=subprocess.PIPE, text=True
    )
    time.sleep(1.5)
    done.send_signal(signal.SIGINT)
    _, said = done.communicate(timeout=60)
    assert (done.returncode, said.splitlines()[-1]) == (130, "interrupted")
    assert not (tmp_path / "out").exists()

"""``pneumoscope inspect`` as a user types it."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from helpers.drawing import drawing
from pneumoscope.cli import main
from pneumoscope.images.read import read_bytes
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


@pytest.fixture(scope="module")
def leaking(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Path]:
    """Return exit code, output and folder of an inspection of data that leak."""
    root = tmp_path_factory.mktemp("leaking")
    data = Path(shutil.copytree(phantoms, root / "<b>data"))
    shutil.copy(next((data / "train" / "NORMAL").iterdir()), data / "test" / "NORMAL" / "a&b.jpeg")
    said = io.StringIO()
    with drawing(), contextlib.redirect_stdout(said):
        code = main(["inspect", str(data), "--out", str(root / "out")])
    return code, said.getvalue(), root / "out"


def test_errors_end_with_1_and_are_printed(leaking: tuple[int, str, Path]) -> None:
    code, text, out = leaking
    assert code == 1
    assert text.splitlines()[0].split() == ["set", "images", "patients", "NORMAL", "PNEUMONIA"]
    assert "error    1 image in both train and test" in text
    assert "test/NORMAL/a&b.jpeg" in text
    assert text.splitlines()[-2:] == [
        f"Page: {out / 'inspect.html'}",
        f"JSON: {out / 'inspect.json'}",
    ]


def test_the_json_and_the_figures_are_there(leaking: tuple[int, str, Path], phantoms: Path) -> None:
    _, _, out = leaking
    found = json.loads((out / "inspect.json").read_text(encoding="utf-8"))
    assert found["severities"]["error"] == 1
    assert found["images"] == 1 + len(list(phantoms.rglob("*.jpeg")))
    (leak,) = [f for f in found["findings"] if f["severity"] == "error"]
    assert leak["id"] == "exact-duplicates-shared-train-test"
    assert "test/NORMAL/a&b.jpeg" in leak["files"][0]
    assert found["leaks"][0]["exact_duplicates"] == leak["files"]
    drawn = {path.stem for path in (out / "figures").iterdir()}
    assert {"classes", "patients", "samples", "copies", "shortcuts", "means", "pixels"} <= drawn
    assert {path.suffix for path in (out / "figures").iterdir()} == {".png", ".svg", ".csv"}


def test_the_page_opens_with_data_verdict_and_findings(leaking: tuple[int, str, Path]) -> None:
    html = (leaking[2] / "inspect.html").read_text(encoding="utf-8")
    page = Page(html[html.index("<main>") :])
    assert page.words[:2] == [
        "Audit of <b>data",
        "Are these images suitable for training and evaluation?",
    ]
    assert "images of 60 patients" in page.words[2]
    assert page.words[3].startswith("Not yet: 1 error would invalidate results")
    assert page.words[4] == "Errors"
    assert "test/NORMAL/a&b.jpeg" in page.words
    tags = [tag for tag, _ in Page(html).elements]
    assert not set(tags) & {"script", "link", "iframe", "object", "b"}
    for _, attributes in Page(html).elements:
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), value
    assert tags.count("section") >= 7
    assert tags.count("figcaption") >= 8


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
    metrics = trained.evaluations["val"]
    wrong = sum(metrics.confusion[0][1:]) + metrics.confusion[1][0]
    assert sum(len(f["files"]) for f in ranked) == wrong
    capsys.readouterr()
    assert main([*arguments, "--scores", str(run.log)]) == 1
    assert "not a readable scores file" in capsys.readouterr().err


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


def test_images_without_labels_are_inspected_without_a_training_framework(
    phantoms: Path, tmp_path: Path
) -> None:
    shutil.copytree(phantoms / "test" / "NORMAL", tmp_path / "flat")
    code = (
        "import sys; from pneumoscope.cli import main;"
        f"code = main(['inspect', {str(tmp_path / 'flat')!r}, '--out', {str(tmp_path / 'out')!r}]);"
        "print(code, [m for m in ('torch', 'lightning', 'onnx', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    assert "(no label)" in done.stdout
    assert (tmp_path / "out" / "inspect.html").is_file()


_PLAIN = """
import sys
for name in ("matplotlib", "torch", "lightning", "onnx", "sklearn", "jaxtyping", "timm"):
    sys.modules[name] = None  # as where the extra is not installed
from pneumoscope.cli import main
sys.exit(main(["inspect", *sys.argv[1:]]))
"""


def test_without_the_extra_the_page_comes_without_figures_and_says_so(
    phantoms: Path, tmp_path: Path
) -> None:
    words = [str(phantoms), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", _PLAIN, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warning: no figures, since matplotlib is not installed" in done.stderr
    assert "[train]" in done.stderr
    page = (tmp_path / "out" / "inspect.html").read_text(encoding="utf-8")
    assert "no figures, since matplotlib is not installed" in page
    assert "Not drawn; the data are in figures/classes.csv." in page
    words_of_page = Page(page[page.index("<main>") :])
    assert "svg" not in [tag for tag, _ in words_of_page.elements]
    assert "img" in [tag for tag, _ in words_of_page.elements]  # X-rays need no drawing
    drawn = {path.suffix for path in (tmp_path / "out" / "figures").iterdir()}
    assert drawn == {".csv"}


def test_patients_by_a_pattern(phantoms: Path, tmp_path: Path, capsys: Captured) -> None:
    """Names that tell no patient by themselves, and a patient in two sets whom a pattern finds."""
    data = tmp_path / "data"
    for part, label, first in (
        ("train", "NORMAL", 0), ("train", "PNEUMONIA", 20), ("test", "NORMAL", 3),
        ("test", "PNEUMONIA", 9),
    ):  # fmt: skip
        folder = data / part / label
        folder.mkdir(parents=True)
        for number, file in enumerate(sorted((phantoms / part / label).iterdir())[:4]):
            shutil.copy(file, folder / f"child-{first + number}-{part}.jpeg")
    command = ["inspect", str(data), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert main([*command, "--patient-regex", r"child-(\d+)"]) == 1
    assert "1 patient in both train and test" in capsys.readouterr().out
    assert main([*command, "--patient-regex", r"nobody-(\d+)"]) == 1
    assert "--patient-regex must be a pattern that finds the patient" in capsys.readouterr().err


def test_ctrl_c_ends_with_130_and_leaves_nothing(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    read: list[Path] = []

    def interrupted(path: Path) -> bytes:
        read.append(path)
        if len(read) > 5:
            raise KeyboardInterrupt
        return read_bytes(path)

    monkeypatch.setattr("pneumoscope.data.audit.measures.read_bytes", interrupted)
    assert main(["inspect", str(phantoms), "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    assert not (tmp_path / "out").exists()

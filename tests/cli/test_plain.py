"""An installation without the packages of the extras."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pneumoscope.workflow.train import Trained

_PLAIN = """
import sys
for name in ("matplotlib", "torch", "lightning", "onnx", "sklearn", "jaxtyping", "timm",
             "huggingface_hub"):
    sys.modules[name] = None  # as where the extra is not installed
from pneumoscope.cli import command
sys.argv = ["pneumoscope", *sys.argv[1:]]
command()
"""


def plain(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _PLAIN, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_networks_are_listed() -> None:
    done = plain("models")
    assert done.returncode == 0, done.stderr
    assert "seed-cnn" in done.stdout


def test_a_report_comes_without_figures(trained: Trained, tmp_path: Path) -> None:
    scores = trained.run.scores("test")
    done = plain("evaluate", scores, "--resamples", "100", "--report", tmp_path / "page")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "Not drawn; the data are in figures/" in page
    assert {path.suffix for path in (tmp_path / "page" / "figures").iterdir()} == {".csv"}


def test_a_network_that_is_none_is_not_blamed_on_an_extra() -> None:
    done = plain("model", "seedcnn")
    assert done.returncode == 1
    (message,) = done.stderr.splitlines()
    assert message == (
        "error: model must be a known model, got 'seedcnn'. Did you mean 'seed-cnn'?"
    )
    assert "install the extra 'train'" in plain("model", "seed-cnn").stderr


@pytest.mark.parametrize("words", [("demo", "--out", "{}"), ("train", "x", "--out", "{}")])
def test_what_needs_an_extra_says_so_before_any_work(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = plain(*(word.format(out) for word in words))
    assert done.returncode == 1
    (message,) = done.stderr.splitlines()
    assert "install the extra 'train': pip install" in message
    assert not out.exists()

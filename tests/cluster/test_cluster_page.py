"""The Python of the how-to page does what the page says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.cluster import rows
from pneumoscope.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md"


def _blocks() -> tuple[str, str]:
    text = PAGE.read_text(encoding="utf-8")
    first, second = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return first, second


def test_the_blocks_of_python_run_as_they_stand(
    phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(phantoms / "test", "archive")
    words = ["predict", "archive", "--out", "results", "--engine", "processes", "--no-gate"]
    assert main([*words, "--workers", "1"]) == 0
    paths = [row["path"] for row in rows(Path("results"))]
    lines = [f"{path},{Path(path).stem},{int('PNEUMONIA' in path)}\n" for path in paths]
    Path("labels.csv").write_text("path,patient,label\n" + "".join(lines))
    shards, joined = _blocks()
    for number, code in enumerate((shards, joined)):
        Path(f"{number}.py").write_text(code)
        done = subprocess.run(
            [sys.executable, f"{number}.py"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert [row["path"] for row in rows(Path("parts"))] == paths
    capsys.readouterr()
    assert main(["evaluate", "scores.csv", "--resamples", "100"]) == 0
    assert f"{len(paths)} images" in capsys.readouterr().out

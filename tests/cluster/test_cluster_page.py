"""The code and the commands of the how-to page do what the page says."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.cluster import rows
from pneumoscope.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md"


def _blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def archive(phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make ``archive/`` and ``labels.csv`` in the present folder; return the paths."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(phantoms / "test", "archive")
    paths = sorted(str(path) for path in Path("archive").rglob("*.jpeg"))
    lines = [f"{path},{int('PNEUMONIA' in path)}\n" for path in paths]
    Path("labels.csv").write_text("path,label\n" + "".join(lines))
    return paths


def test_the_blocks_of_python_run_as_they_stand(archive: list[str]) -> None:
    (code,) = _blocks("python")
    Path("read.py").write_text(code)
    done = subprocess.run([sys.executable, "read.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [row["path"] for row in rows(Path("parts"))] == archive


def test_the_commands_run_as_they_stand(
    archive: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [line for block in _blocks("sh") for line in block.splitlines()]
    assert len(commands) == 5
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "pneumoscope"
        assert main(words) == 0, command
    assert [row["path"] for row in rows(Path("results"))] == archive
    assert "images" in capsys.readouterr().out

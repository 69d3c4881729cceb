"""The Python of the how-to page does what the page says; tests/test_documents.py runs the rest."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.cluster import rows

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md"


def test_the_blocks_of_python_run_as_they_stand(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(phantoms / "test", "archive")
    text = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    Path("read.py").write_text(code)
    done = subprocess.run([sys.executable, "read.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [row["path"] for row in rows(Path("parts"))]
    assert found == sorted(str(path) for path in Path("archive").rglob("*.jpeg"))

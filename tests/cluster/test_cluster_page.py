"""The Python code of the how-to page; tests/test_documents.py runs its other commands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.cluster import rows

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
READING, DASK, SPARK = BLOCKS


@pytest.mark.parametrize(
    ("code", "package"), [(READING, ""), (DASK, "distributed"), (SPARK, "pyspark")]
)
def test_the_blocks_of_python_run_as_they_stand(
    code: str, package: str, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if package:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(phantoms / "test", "archive")
    Path("reading.py").write_text(READING.replace("size=500", "size=4"))
    Path("run.py").write_text(code.replace("size=500", "size=4"))
    images = sorted(str(path) for path in Path("archive").rglob("*.jpeg"))
    for _ in range(2):  # the second time, one part is missing
        done = subprocess.run(
            [sys.executable, "run.py"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert [row["path"] for row in rows(Path("parts"))] == images
        (Path("parts") / "part-0000001.parquet").unlink()

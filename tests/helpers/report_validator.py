"""PixelMed's validator of structured reports.

Its templates are compiled anew each time that it starts, which takes seconds. So one start takes
all reports, where Java has its compiler; the program itself takes one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_MANY = Path(__file__).with_name("ValidateReports.java")
_JAR = Path("/usr/share/java/pixelmed.jar")
_OPTIONS = (
    # The templates hold more XPath expressions than newer versions of Java take by default.
    *(f"-Djdk.xml.{name}=0" for name in ("xpathExprOpLimit", "xpathTotalOpLimit")),
    "-Djdk.xml.xpathExprGrpLimit=0",
    *("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),  # quicker for what runs for seconds
)


def validated(paths: Sequence[Path]) -> dict[Path, str]:
    """Return what the validator says of each report; skip the test where there is none."""
    program = shutil.which("DicomSRValidator")
    if program is None or shutil.which("java") is None:
        pytest.skip("DicomSRValidator (Debian's pixelmed-apps) or Java is not installed")
    if shutil.which("javac") is None or not _JAR.is_file():
        return {path: _said(program, path) for path in paths}
    _, *found = _said("java", "-cp", _JAR, _MANY, *paths).split("Report: ")
    said = dict(one.split("\n", 1) for one in found)
    return {path: said[str(path)] for path in paths}


def _said(*command: str | Path) -> str:
    env = {**os.environ, "JAVA_TOOL_OPTIONS": " ".join(_OPTIONS)}
    done = subprocess.run(command, capture_output=True, check=False, env=env)
    return (done.stdout + done.stderr).decode("utf-8", "replace")

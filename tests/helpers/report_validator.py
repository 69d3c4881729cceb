"""PixelMed's validator of structured reports.

It compiles its templates at each start, which takes seconds. Therefore, one start validates all
reports if a Java compiler is available; the program itself validates one.
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
    # The templates contain more XPath expressions than newer versions of Java allow by default.
    *(f"-Djdk.xml.{name}=0" for name in ("xpathExprOpLimit", "xpathTotalOpLimit")),
    "-Djdk.xml.xpathExprGrpLimit=0",
    *("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),  # faster for programs that run for seconds
)


def validated(paths: Sequence[Path]) -> dict[Path, str]:
    """Return the output of the validator for each report; skip the test without a validator."""
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

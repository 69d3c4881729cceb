"""Images for the node, and the validation of its objects."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.dicom_variants import made

pytest.importorskip("pynetdicom", reason="the extra 'hospital' is not installed")
pytest.importorskip("highdicom", reason="the extra 'hospital' is not installed")

from helpers.pacs import FIND, Archive
from pneumoscope.data.phantom import render
from pneumoscope.reader.predictor import Predictor

Chest = Callable[..., bytes]


@pytest.fixture(scope="session")
def chest() -> Chest:
    """Return a function that makes a DICOM radiograph of a patient with given elements."""

    def make(number: int = 1, **elements: Any) -> bytes:
        label = ("NORMAL", "PNEUMONIA")[number % 2]
        pixels = render(label, patient_seed=number, size_px=(300, 340)).pixels
        named: dict[str, Any] = {
            "StudyInstanceUID": f"1.2.840.99.{number}",
            "SeriesInstanceUID": f"1.2.840.99.{number}.1",
            "SOPInstanceUID": f"1.2.840.99.{number}.1.1",
            "PatientID": f"patient-{number}",
            "PatientName": "Doe^Jane",
            "StudyID": "1",
            "StudyDate": "20261127",
            "StudyTime": "101500",
        }
        return made(pixels.astype(np.uint16) * 16, 12, **{**named, **elements})

    return make


@pytest.fixture(scope="session")
def reader() -> Predictor:
    found = Predictor()
    found.check()
    return found


@pytest.fixture(scope="session")
def valid() -> Callable[[Path], None]:
    """Return a function that fails if dciodvfy finds an error in an object."""
    program = Path(sys.executable).parent / "dciodvfy"
    if not program.is_file():
        pytest.skip("dciodvfy (the package dicom3tools) is not installed")

    def check(path: Path) -> None:
        done = subprocess.run([program, "-new", path], capture_output=True, check=False)
        said = (done.stdout + done.stderr).decode("utf-8", "replace")  # it quotes bytes
        errors = [line for line in said.splitlines() if line.startswith("Error")]
        assert errors == [], said
        assert done.returncode == 0, said

    return check


@pytest.fixture
def archive() -> Iterator[Archive]:
    found = Archive(FIND)
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def peers_sockets() -> Iterator[None]:
    """Collect sockets that pynetdicom's peers leave open, so that no other test gets a warning."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.freeze()  # what is left need not be examined after the next test

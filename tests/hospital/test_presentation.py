"""The outline of the evidence, and its presentation state."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pneumoscope.hospital.objects import objects_of
from pneumoscope.hospital.outline import outlines
from pneumoscope.hospital.presentation import polygons
from pneumoscope.hospital.source import read_header
from pneumoscope.reader.predictor import Predictor

Chest = Callable[..., bytes]
MADE = datetime(2026, 11, 27, 10, 30, tzinfo=UTC)


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=7)))
def test_the_borders_enclose_the_region(inside: np.ndarray[Any, Any]) -> None:
    """Their signed areas, those of holes negative, add up to the cells inside."""
    area = 0.0
    for border in outlines(inside):
        x, y = border.T
        assert (border[0] == border[-1]).all()
        area += float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
    assert area == inside.sum()


@given(st.integers(1, 20), st.integers(1, 20))
def test_a_rectangle_has_four_corners(width: int, height: int) -> None:
    (border,) = outlines(np.ones((height, width), bool))
    assert {tuple(point) for point in border.tolist()} == {
        (x, y) for x in (0, width) for y in (0, height)
    }
    assert len(border) == 5


def _presentation(content: bytes) -> pydicom.Dataset:
    reader = Predictor(gated=False)  # it reads one that is shown inverted, too
    found = reader.predict(content)
    made = objects_of(read_header(content), content, found, reader, made=MADE, outline=True)
    assert [one.kind for one in made] == ["report", "picture", "presentation"]
    return made[-1].data


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"WindowCenter": "2000", "WindowWidth": "3000", "RescaleSlope": "1", "RescaleIntercept": 0},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PatientName": "山田^太郎", "SpecificCharacterSet": "ISO_IR 192"},
        {"WindowCenter": ["2000", "1500"], "WindowWidth": ["3000", "2500"]},
    ],
)
def test_the_evidence_is_outlined_over_the_image(
    chest: Chest,
    tmp_path: Path,
    valid: Callable[[Path], None],
    elements: dict[str, Any],
) -> None:
    content = chest(1, **elements)
    path = tmp_path / "presentation.dcm"
    _presentation(content).save_as(path, enforce_file_format=True)
    valid(path)
    back = pydicom.dcmread(path)
    assert (back.Modality, back.StudyInstanceUID) == ("PR", "1.2.840.99.1")
    (annotation,) = back.GraphicAnnotationSequence
    assert annotation.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.840.99.1.1.1"
    assert "not a medical device" in annotation.TextObjectSequence[0].UnformattedTextValue
    for drawn in annotation.GraphicObjectSequence:
        points = np.array(drawn.GraphicData).reshape(-1, 2)
        assert (points >= 0).all()
        assert (points <= [340, 300]).all()
        assert len(points) == drawn.NumberOfGraphicPoints
    inverted = elements.get("PhotometricInterpretation") == "MONOCHROME1"
    assert back.PresentationLUTShape == ("INVERSE" if inverted else "IDENTITY")
    windows = back.get("SoftcopyVOILUTSequence") or []
    shown = [np.atleast_1d(one.WindowWidth).astype(float).tolist() for one in windows]
    given = np.atleast_1d(elements.get("WindowWidth", [])).astype(float).tolist()
    assert shown == ([given] if given else [])


def test_the_outline_encloses_what_has_half_of_the_peak() -> None:
    source = pydicom.Dataset()
    source.Rows, source.Columns = 256, 256
    evidence = np.full((256, 256), 1.0, np.float32)  # coloured in the picture, but weak
    evidence[64:128, 32:96] = 3.5
    (border,) = polygons(evidence, source)
    assert {tuple(point) for point in border.tolist()} == {
        (x, y) for x in (32, 96) for y in (64, 128)
    }
    assert not polygons(np.zeros((256, 256), np.float32), source)


@pytest.mark.skipif(shutil.which("dcmpschk") is None, reason="dcmtk is not installed")
def test_dcmtk_finds_no_fault_in_a_presentation(chest: Chest, tmp_path: Path) -> None:
    path = tmp_path / "presentation.dcm"
    _presentation(chest(1)).save_as(path, enforce_file_format=True)
    done = subprocess.run(
        [str(shutil.which("dcmpschk")), path], capture_output=True, text=True, check=True
    )
    assert "Test passed." in done.stdout + done.stderr

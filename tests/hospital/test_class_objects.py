"""The objects returned for an image by a reader of three classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest

from helpers.classes import KINDS, write_kinds
from pneumoscope.hospital.objects import objects_of
from pneumoscope.hospital.source import read_header
from pneumoscope.reader.prediction import Prediction
from pneumoscope.reader.predictor import Predictor

MADE = datetime(2026, 11, 27, 10, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(write_kinds(tmp_path_factory.mktemp("kinds") / "m.onnx"), gated=False)


def texts(data: pydicom.Dataset) -> dict[str, str]:
    """Return name and value of all texts and codes of a report."""
    found: dict[str, str] = {}
    for item in data.get("ContentSequence", []):
        name = item.ConceptNameCodeSequence[0].CodeMeaning
        if item.ValueType == "TEXT":
            found[name] = item.TextValue
        elif item.ValueType == "CODE":
            found[name] = item.ConceptCodeSequence[0].CodeMeaning
        found |= texts(item)
    return found


@pytest.mark.parametrize(
    ("conclusion", "possible", "presence"),
    [
        ("BACTERIA", ("BACTERIA",), "Present"),
        ("NORMAL", ("NORMAL",), "Absent"),
        ("PNEUMONIA", ("BACTERIA", "VIRUS"), "Present"),
        ("UNCERTAIN", ("NORMAL", "VIRUS"), "Indeterminate"),
    ],
)
def test_the_report_says_which_class(
    conclusion: str,
    possible: tuple[str, ...],
    presence: str,
    chest: Callable[..., bytes],
    kinds: Predictor,
    tmp_path: Path,
    valid: Callable[[Path], None],
) -> None:
    content = chest(1)
    found: Prediction = replace(
        kinds.predict(content),
        conclusion=conclusion,
        conformal_set=possible,
        probabilities=(0.1012, 0.7, 0.1988),
        reasons=("PNEUMONIA, kind uncertain",) if conclusion == "PNEUMONIA" else (),
    )
    report, _ = objects_of(read_header(content), content, found, kinds, made=MADE)
    said = texts(report.data)
    assert said["Conclusion of the reader"] == conclusion
    assert said["Pneumonia"] == presence
    assert said["Possible classes"] == " or ".join(possible)
    assert said["Probability of each class"] == "NORMAL 0.101, BACTERIA 0.700, VIRUS 0.199"
    if conclusion == "PNEUMONIA":
        assert said["Reason"] == "PNEUMONIA, kind uncertain"
    report.data.save_as(tmp_path / "r.dcm", enforce_file_format=True)
    valid(tmp_path / "r.dcm")


def test_a_reader_of_two_says_nothing_of_it(chest: Callable[..., bytes], reader: Predictor) -> None:
    content = chest(1)
    report = objects_of(read_header(content), content, reader.predict(content), reader, made=MADE)
    assert "Probability of each class" not in texts(report[0].data)


def test_the_model_is_of_three(kinds: Predictor) -> None:
    assert kinds.info.classes == KINDS
    assert kinds.info.pair == ("NORMAL", "PNEUMONIA")

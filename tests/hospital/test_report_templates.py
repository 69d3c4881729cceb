"""The structured reports keep to their template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from helpers.findings import EACH, NAMES, concluded, write_findings
from helpers.report_validator import validated
from pneumoscope.hospital.objects import objects_of
from pneumoscope.hospital.source import read_header
from pneumoscope.reader.prediction import ERROR, NOT_ASSESSABLE, UNCERTAIN
from pneumoscope.reader.predictor import Predictor

MADE = datetime(2026, 11, 27, 10, 30, tzinfo=UTC)
CONCLUSIONS = ("NORMAL", "PNEUMONIA", UNCERTAIN, NOT_ASSESSABLE, ERROR)
FINDINGS = tuple(f"findings: {conclusion}" for conclusion in EACH)


@pytest.fixture(scope="module")
def said_of_reports(
    chest: Callable[[int], bytes], reader: Predictor, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Return what PixelMed's validator says of the report of each conclusion."""
    folder, content, places = tmp_path_factory.mktemp("reports"), chest(1), {}
    several = Predictor(write_findings(folder / "m.onnx", NAMES))
    for number, name in enumerate((*CONCLUSIONS, *FINDINGS)):
        if name in CONCLUSIONS:
            own, found = (
                reader,
                replace(
                    reader.predict(content),
                    conclusion=name,
                    probability=None if name in {ERROR, NOT_ASSESSABLE} else 0.5,
                ),
            )
        else:
            own, found = several, concluded(several, content, name.removeprefix("findings: "))
        report, *_ = objects_of(read_header(content), content, found, own, made=MADE)
        places[name] = folder / f"{number}.dcm"
        report.data.save_as(places[name], enforce_file_format=True)
    said = validated(list(places.values()))
    return {name: said[path] for name, path in places.items()}


@pytest.mark.parametrize("name", [*CONCLUSIONS, *FINDINGS])
def test_every_report_keeps_to_its_template(said_of_reports: dict[str, str], name: str) -> None:
    said = said_of_reports[name]
    assert "Root Template Validation Complete" in said, said
    assert "Error" not in said, said

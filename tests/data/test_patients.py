"""File names → patients."""

from __future__ import annotations

from pathlib import Path

import pytest

from pneumoscope.data.patients import patient_of


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person1_bacteria_2.jpeg", "bacteria-person1"),
        ("person1_virus_6.jpeg", "virus-person1"),
        ("person447_virus_921_1.jpeg", "virus-person447"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("IM-0491-0001-0002.jpeg", "IM-0491"),
        ("NORMAL2-IM-0383-0001.jpeg", "NORMAL2-IM-0383"),
        ("BACTERIA-1008087-0001.jpeg", "BACTERIA-1008087"),
        ("train/PNEUMONIA/VIRUS-1980593-0001.jpeg", "VIRUS-1980593"),
    ],
)
def test_both_naming_schemes(name: str, patient: str) -> None:
    assert patient_of(name) == patient


@pytest.mark.parametrize("name", ["scan.png", "person1.jpeg", "IM-.jpeg", "person1_fungus_2.jpeg"])
def test_other_names_tell_no_patient(name: str) -> None:
    assert patient_of(name) is None


def test_published_patient_counts(shared: Path) -> None:
    """The counts that the data set's description gives: 3,654 in train, 15 in val, none in both."""
    data = shared / "data" / "chest_xray"
    patients = {
        part: {patient_of(path.name) for path in (data / part).rglob("*.jpeg")}
        for part in ("train", "val")
    }
    assert None not in patients["train"] | patients["val"]
    assert len(patients["train"]) == 3654
    assert len(patients["val"]) == 15
    assert not patients["train"] & patients["val"]

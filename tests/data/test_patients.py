"""File names → patients."""

from __future__ import annotations

from pathlib import Path

import pytest

from pneumoscope.data.patients import (
    LONGEST_PATTERN,
    Patient,
    PatientKey,
    PatientPattern,
    patient_of,
    patient_of_image,
)
from pneumoscope.errors import OptionError


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


def test_series_number_apart() -> None:
    """Bare ``personN`` would make one patient of a bacterial and a viral pneumonia."""
    keys = {
        PatientKey.of(Patient.of(patient_of(name), name))
        for name in (
            "person80_bacteria_389.jpeg",
            "person80_virus_150.jpeg",
            "IM-0080-0001.jpeg",
            "NORMAL2-IM-0080-0001.jpeg",
        )
    }
    assert keys == {
        PatientKey("bacteria-person", 80),
        PatientKey("virus-person", 80),
        PatientKey("IM", 80),
        PatientKey("NORMAL2-IM", 80),
    }


@pytest.mark.parametrize(
    ("patient", "key"),
    [
        ("17", PatientKey("", 17)),
        ("P0017", PatientKey("P", 17)),
        ("site2-007", PatientKey("site2", 7)),
        ("hospital 3", PatientKey("hospital", 3)),
        ("anna", None),
        ("", None),
        ("image:NORMAL/17", None),
        ("P٣", None),
    ],
)
def test_series_and_number_of_any_patient(patient: str, key: PatientKey | None) -> None:
    assert PatientKey.of(Patient.of(patient, "a.png")) == key


def test_an_unknown_patient_equals_no_known_one() -> None:
    unknown, known = Patient.of("", "a.png"), Patient.of("a.png", "b.png")
    assert unknown.name == known.name
    assert unknown != known
    for patient in (unknown, known):
        assert Patient.of(str(patient), "c.png") == patient
    assert Patient.of(" image: ", "c.png") == Patient("c.png", known=False)
    assert Patient.of(None, "c.png") == Patient("c.png", known=False)


@pytest.mark.parametrize(
    ("pattern", "path", "patient"),
    [
        (r"p(\d+)_", "ill/p0017_2.png", "0017"),
        (r"^[^/]+/([^/]+)/", "ill/anna/2.png", "anna"),
        (r"(?P<series>site\d)/(?P<patient>\d+)", "ill/site2/17_1.png", "site2-17"),
        (r"(?P<series>site\d)?.*p(?P<patient>\d+)", "ill/p17_1.png", "17"),
        (r"(?:ab)+(\d+)", "abab7.png", "7"),
        (r"[(+*)|]*(\d+)", "(7.png", "7"),
        (r"p(\d*)x", "px.png", None),
        (r"p(\d+)", "anna.png", None),
    ],
)
def test_a_pattern_of_the_users(pattern: str, path: str, patient: str | None) -> None:
    assert PatientPattern(pattern).patient_of(path) == patient


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(", "a regular expression"),
        (r"p\d+", "parentheses"),
        (r"(?P<person>\d+)", r"\(\?P<patient>"),
        ("(" + "a" * LONGEST_PATTERN + ")", "at most 200 characters"),
        (r"(\w+\s?)+$", "can take hours"),
        (r"(x+)(?:(a*))*", "can take hours"),
        (r"((a+)b?){2,}x", "can take hours"),
        (r"(a|aa)+$", "can take hours"),
        (r"(a{99999999999999999999})", "patient_regex"),
    ],
)
def test_a_pattern_that_cannot_be_used(pattern: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        PatientPattern(pattern)


def test_what_is_stated_comes_first_and_the_public_names_last() -> None:
    path, pattern = "IM-0001-0002.dcm", PatientPattern(r"-(\d+)\.dcm")
    assert patient_of_image(path, stated="a", pattern=pattern, in_file="b") == "a"
    assert patient_of_image(path, pattern=pattern, in_file="b") == "0002"
    assert patient_of_image(path, in_file="b") == "b"
    assert patient_of_image(path) == "IM-0001"
    assert patient_of_image("scan.dcm") is None

"""Which DICOM headers are those of a frontal chest radiograph, and notes about others."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr import codedict

from helpers.files import dicom_bytes, dicom_data_set
from pneumoscope.errors import OtherKindError, UnsupportedImageError
from pneumoscope.images.dicom.codes import FRONTAL_VIEWS, OTHER_VIEWS
from pneumoscope.images.dicom.words import is_chest, is_elsewhere, other_view
from pneumoscope.images.dicom_facts import DicomFacts, years_of
from pneumoscope.images.radiograph import ImageMeta
from pneumoscope.images.read import probe

PIXELS = np.arange(50 * 40, dtype=np.uint16).reshape(50, 40)
STORAGE = "1.2.840.10008.5.1.4.1.1."


def code(value: str, meaning: str = "", scheme: str = "SCT") -> Sequence:
    """Return a code sequence of one item; an empty meaning is left out."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, scheme
    if meaning:
        item.CodeMeaning = meaning
    return Sequence([item])


def written(**elements: Any) -> bytes:
    """Return a DICOM file with some elements, whatever their values; None removes one."""
    data_set = dicom_data_set(PIXELS)
    data_set.file_meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    with warnings.catch_warnings(action="ignore"):  # pydicom's, about values that cannot be
        for keyword, value in elements.items():
            data_set.pop(keyword, None)
            if value is not None:
                setattr(data_set, keyword, value)
        return dicom_bytes(data_set)


def facts(**elements: Any) -> DicomFacts:
    found = probe(written(**elements), name="x").dicom
    assert found is not None
    return found


def refusal(**elements: Any) -> str:
    with pytest.raises(OtherKindError) as caught:
        probe(written(**elements), name="x")
    assert isinstance(caught.value.header, ImageMeta)  # for the record of what was refused
    return caught.value.reason


# --- view ---

FRONTAL = [
    *("PA", "AP", "PA PLATE", "PLATE", "PLATED", "FLAT PANEL AP", "AP BILATERAL", "BI-LATERAL"),
    *("PA LATERALITY R", "COLLATERAL", "CONTRA LATERAL", "AP BEDSIDE", "AP BED SIDE", "LORDOTIC"),
    *("TRANSLATED", "DECUBITUS DORSAL", "AP DECUBITO SUPINO", "THORAX FACE"),
]
OTHERS = [
    *("LL", "RL", "LLO", "RLD", "LAT", "lat", "L LAT", "XTABLE LAT", "LATERAL", "LLAT", "LAT1"),
    *("SEITLICH", "Thorax seitl.", "PROFIL", "PROFILE", "PERFIL", "PROFILO", "DWARS", "SIDE"),
    *("LATERO-LATERALE", "SCHR\xc4G", "OBLIQUE", "OBLICUA", "LAO", "DECUBITUS", "R DECUB"),
    *("PA/LAT", "LATERAL DECUBITUS DORSAL"),
]


@pytest.mark.parametrize("text", FRONTAL)
def test_words_that_only_contain_lat_are_no_lateral(text: str) -> None:
    assert other_view(text) == ""


@pytest.mark.parametrize("text", OTHERS)
def test_lateral_and_oblique_views_are_known_in_several_languages(text: str) -> None:
    assert other_view(text)


@pytest.mark.parametrize("text", ["PA PLATE", "FLAT PANEL AP", "AP BILATERAL"])
def test_a_plate_is_read(text: str) -> None:
    assert facts(ViewPosition=text).view == text


@pytest.mark.parametrize(
    ("elements", "says"),
    [
        ({"ViewPosition": "SEITLICH"}, "view 'SEITLICH'"),
        ({"ViewPosition": ["PA", "LAT"]}, "view 'PA"),
        ({"ViewCodeSequence": code("399173006")}, r"'left lateral' \(ViewPosition is 'PA'\)"),
        ({"ViewCodeSequence": code("R-10236", scheme="SRT"), "ViewPosition": None}, "left lateral"),
        ({"ViewCodeSequence": code("X1", "Thorax seitlich", "99HOUSE")}, "seitlich"),
        ({"ViewPosition": None, "PatientOrientation": ["A", "F"]}, "PatientOrientation A/F"),
        ({"ViewPosition": None, "PatientOrientation": ["PL", "F"]}, "PatientOrientation PL/F"),
        ({"ViewPosition": None, "PatientOrientation": ["F", "P"]}, "PatientOrientation F/P"),
        ({"ViewPosition": None, "SeriesDescription": "Thorax seitl."}, "SeriesDescription"),
        ({"ViewPosition": None, "ProtocolName": "CHEST LAT"}, "ProtocolName"),
    ],
)
def test_every_element_that_names_another_view_is_heard(
    elements: dict[str, Any], says: str
) -> None:
    reason = refusal(**elements)
    assert "only frontal views (AP, PA) can be assessed" in reason
    assert re.search(says, reason), reason


@pytest.mark.parametrize(
    ("elements", "note"),
    [
        ({"PatientOrientation": ["L", "F"]}, None),
        ({"PatientOrientation": ["A", "F"]}, "PatientOrientation A/F is that of a lateral view"),
        ({"PatientOrientation": ["L", "P"]}, None),
        ({"SeriesDescription": "CHEST LAT"}, "SeriesDescription contains LAT"),
        ({"SeriesDescription": "CHEST PA AND LAT"}, None),
        ({"ViewPosition": None, "SeriesDescription": "CHEST PA AND LAT"}, None),
        ({"ViewPosition": None, "SeriesDescription": "Thorax p.a./seitl."}, None),
        ({"ViewPosition": None, "SeriesDescription": "Chest A-P, lat"}, None),
        ({"ViewPosition": None, "ProtocolName": "PROFILE 2, SIDE R, LL"}, None),
        ({"ViewCodeSequence": code("399348003")}, "ViewPosition is PA, the view code is AP"),
        ({"ViewCodeSequence": code("272479007")}, None),
        ({"ViewCodeSequence": Sequence([])}, None),
    ],
)
def test_contradictions_about_a_stated_frontal_view_are_noted(
    elements: dict[str, Any], note: str | None
) -> None:
    notes = facts(**elements).notes
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


def test_words_are_read_in_the_character_set_of_the_file() -> None:
    elements = {"SpecificCharacterSet": "ISO_IR 100", "SeriesDescription": "Thorax schr\xe4g"}
    assert "SCHRAG" in refusal(ViewPosition=None, **elements)


def test_a_code_without_meaning_names_the_view() -> None:
    assert facts(ViewPosition=None, ViewCodeSequence=code("R-10206", scheme="SRT")).view == "AP"
    assert facts(ViewPosition=None, ViewCodeSequence=code("272479007")).view == "PA"
    assert facts(ViewPosition=None, ViewCodeSequence=code("X9", "erect")).view == "erect"


def test_the_codes_are_those_of_the_standard() -> None:
    group = codedict.codes.cid4010
    known = {**FRONTAL_VIEWS, **OTHER_VIEWS}
    values = {getattr(group, name).value for name in group.dir() if name[0].isupper()}
    assert values - known.keys() == {"119376003"}  # a tissue specimen
    assert group.AnteroPosterior.value in FRONTAL_VIEWS
    assert group.LeftLateral.value in OTHER_VIEWS


# --- part of the body ---


@pytest.mark.parametrize(
    "text",
    [
        "HAND",
        "Hand left",
        "C-SPINE",
        "L KNEE",
        "Sch\xe4del",
        "BECKEN",
        "LOWER EXTREMITY",
        "LUMBAR SPINE",
        "SHOULDER AP",
        "thoracic spine",
    ],
)
def test_other_parts_are_known(text: str) -> None:
    assert is_elsewhere(text)
    assert not is_chest(text)


@pytest.mark.parametrize("text", ["hand held film", "CHEST", "THORAX", "MAIN", "PORT CHEST", ""])
def test_free_text_is_no_other_part(text: str) -> None:
    assert not is_elsewhere(text)


@pytest.mark.parametrize(
    "elements",
    [
        {"BodyPartExamined": "HAND"},
        {"BodyPartExamined": "Hand re"},
        {"BodyPartExamined": None, "AnatomicRegionSequence": code("85562004")},
        {"BodyPartExamined": None, "AnatomicRegionSequence": code("T-D8700", scheme="SRT")},
        {"BodyPartExamined": "OTHER", "AnatomicRegionSequence": code("X1", "Hand")},
    ],
)
def test_a_hand_is_refused(elements: dict[str, Any]) -> None:
    assert "only chest radiographs can be assessed" in refusal(**elements)


@pytest.mark.parametrize(
    "elements",
    [
        {"AnatomicRegionSequence": code("85562004")},
        {"BodyPartExamined": "ABDOMEN", "AnatomicRegionSequence": code("51185008")},
        {"BodyPartExamined": ["CHEST", "ABDOMEN"]},
    ],
)
def test_parts_that_contradict_each_other_are_read_and_noted(elements: dict[str, Any]) -> None:
    (note,) = facts(**elements).notes
    assert "treated as a chest radiograph" in note


def test_a_babygram_is_read() -> None:
    assert facts(BodyPartExamined=None, AnatomicRegionSequence=code("416775004")).notes == ()


# --- modality and storage class ---


@pytest.mark.parametrize(
    ("modality", "stored_as", "note"),
    [
        ("CR", "1", None),
        ("DX", "1.1", None),
        ("dx", "1.1", None),
        ("RG", "7", None),
        (None, "7", None),
        (None, None, None),
        ("CR", "7.2", None),
        ("DR", "1.1", "'DR' is not a DICOM term"),
        ("XR", None, "'XR' is not a DICOM term"),
        ("OT", "7", "modality 'OT'"),
        ("OT", "1", "modality 'OT'"),
        ("OT", None, "modality 'OT'"),
        ("SC", "7", "modality 'SC'"),
        ("DX", "12.2", "X-Ray Radiofluoroscopic Image Storage; the modality takes precedence"),
    ],
)
def test_radiographs_are_read_and_loose_modalities_noted(
    modality: str | None, stored_as: str | None, note: str | None
) -> None:
    uid = stored_as and STORAGE + stored_as
    notes = facts(Modality=modality, SOPClassUID=uid).notes
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


@pytest.mark.parametrize(
    ("modality", "stored_as", "says"),
    [
        ("CT", "2", "modality 'CT'"),
        ("CT", "1", "modality 'CT'"),
        ("DX", "2", "modality 'DX', but stored as CT Image Storage"),
        ("CR", "6.1", "but stored as Ultrasound Image Storage"),
        ("OT", "2", "modality 'OT', stored as CT Image Storage"),
        ("SC", "1", "modality 'SC'"),
        ("XC", "7", "modality 'XC'"),
        ("RF", "12.2", "modality 'RF'"),
        ("MG", "1.2", "modality 'MG'"),
        (None, "1.2", "Digital Mammography"),
        (None, "1.2.1", "Digital Mammography"),
        (None, "1.3", "Intra-Oral"),
        ("DX", "1.3.1", "Intra-Oral"),
        ("IO", "1.3", "modality 'IO'"),
    ],
)
def test_other_kinds_are_refused(modality: str | None, stored_as: str, says: str) -> None:
    assert says in refusal(Modality=modality, SOPClassUID=STORAGE + stored_as)


def test_a_private_class_with_a_modality_is_read() -> None:
    assert facts(SOPClassUID="1.2.392.200036.9125.1.1.2").notes == ()


@pytest.mark.parametrize(
    ("intent", "stored_as", "raw"),
    [
        ("FOR PROCESSING", "1.1", True),
        ("for_processing", "1.1", True),
        (None, "1.1.1", True),
        ("FOR PRESENTATION", "1.1.1", False),
        (None, "1.1", False),
    ],
)
def test_a_raw_image_is_known_by_its_class_too(
    intent: str | None, stored_as: str, raw: bool
) -> None:
    elements = {"PresentationIntentType": intent, "SOPClassUID": STORAGE + stored_as}
    if not raw:
        assert facts(**elements)
        return
    with pytest.raises(UnsupportedImageError, match="FOR PROCESSING"):
        probe(written(**elements), name="x")


# --- age ---


@pytest.mark.parametrize(
    ("written", "years"),
    [
        *[("003Y", 3.0), ("3Y", 3.0), ("03y", 3.0), ("003 Y", 3.0), ("36M", 3.0), ("0036M", 3.0)],
        *[("3 YEARS", 3.0), ("3", 3.0), ("18 months", 1.5), ("365D", 365 / 365.25), ("0D", 0.0)],
        *[("", None), ("Y", None), ("-3Y", None), ("3Q", None), ("999Y", None), ("adult", None)],
    ],
)
def test_ages_are_read_in_sloppy_forms(written: str, years: float | None) -> None:
    assert years_of(written) == pytest.approx(years)


@pytest.mark.parametrize(
    ("age", "born", "dates", "years", "note"),
    [
        (None, "20200115", {"StudyDate": "20231114"}, 3, None),
        (None, "20200115", {"StudyDate": "20230114"}, 2, None),
        (None, "20230110", {"StudyDate": "20230712"}, 0.5, None),
        (None, "2020.01.15", {"AcquisitionDate": "2023-11-14"}, 3, None),
        (None, "20200115", {"StudyDate": "", "ContentDate": "20231114"}, 3, None),
        ("000Y", "20230110", {"StudyDate": "20230712"}, 0.5, None),
        ("adult", "20200115", {"StudyDate": "20231114"}, 3, "'adult' is not plausible"),
        ("003Y", "20200115", {"StudyDate": "20231114"}, 3, None),
        ("004Y", "20200115", {"StudyDate": "20231114"}, 4, None),
        ("034Y", "20200115", {"StudyDate": "20231114"}, 34, "PatientAge takes precedence"),
        ("3", None, {}, 3, "has no unit"),
        ("200Y", None, {}, None, "is not plausible"),
        (None, "20240101", {"StudyDate": "20231114"}, None, "no plausible age"),
        (None, "18000101", {"StudyDate": "20231114"}, None, "no plausible age"),
        (None, "19000000", {"StudyDate": "20231114"}, None, None),
        (None, "20200115", {}, None, None),
        (None, None, {"StudyDate": "20231114"}, None, None),
    ],
)
def test_the_age_comes_from_the_dates_too(
    age: str | None, born: str | None, dates: dict[str, str], years: float | None, note: str | None
) -> None:
    found = facts(PatientAge=age, PatientBirthDate=born, **dates)
    assert found.age_years == (None if years is None else pytest.approx(years))
    assert len(found.notes) == (note is not None)
    assert note is None or note in found.notes[0]
    assert not born or born not in repr(found)


# --- no exception that is called damage ---


@pytest.mark.parametrize("kind", [Sequence([]), Sequence([Dataset()])])
@pytest.mark.parametrize("keyword", ["ViewCodeSequence", "AnatomicRegionSequence"])
def test_empty_sequences_are_nothing_stated(keyword: str, kind: Sequence) -> None:
    assert facts(**{keyword: kind}).notes == ()


@pytest.mark.parametrize(
    "keyword",
    [
        *("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "PatientSex"),
        *("PatientAge", "BodyPartExamined", "ViewPosition", "PixelSpacing", "ImagerPixelSpacing"),
    ],
)
def test_missing_elements_are_nothing_stated(keyword: str) -> None:
    assert facts(**{keyword: None}).notes == ()


def test_uids_are_kept() -> None:
    found = facts(StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4", SOPInstanceUID="1.2.5")
    assert (found.study_uid, found.series_uid, found.sop_instance_uid) == (
        "1.2.3",
        "1.2.4",
        "1.2.5",
    )
    assert found.sop_class_uid == "1.2.840.10008.5.1.4.1.1.1"


@pytest.mark.parametrize("text", ["CHESTLAT", "ThoraxLateral", "POSTLAT", "APLAT", "Thorax_LAT"])
def test_compound_words_for_a_lateral_view_are_known(text: str) -> None:
    assert other_view(text, strict=True)
    assert "SeriesDescription contains" in refusal(SeriesDescription=text, ViewPosition=None)


@pytest.mark.parametrize(
    "text", ["BILATERAL", "Contralateral", "FLAT PANEL", "PLATE", "COLLATERAL"]
)
def test_words_that_only_look_lateral_are_not(text: str) -> None:
    assert not other_view(text)


@pytest.mark.parametrize("text", ["HANDS", "KNEES", "LOWER LEG", "UPPER ARM", "LEFT HAND VIEWS"])
def test_plurals_and_parts_of_limbs_are_elsewhere(text: str) -> None:
    assert is_elsewhere(text)
    assert "body part" in refusal(BodyPartExamined=text)


def test_a_lateral_word_in_the_body_part_counts_where_no_view_is_stated() -> None:
    assert "LAT" in refusal(BodyPartExamined="CHEST_LAT", ViewPosition=None)
    assert "BodyPartExamined contains LAT" in facts(BodyPartExamined="CHEST LAT").notes[0]


@pytest.mark.parametrize("intent", ["FORPROCESSING", "for processing", "FOR_PROCESSING"])
def test_raw_images_are_known_however_it_is_written(intent: str) -> None:
    with pytest.raises(UnsupportedImageError, match="FOR PRESENTATION"):
        probe(written(PresentationIntentType=intent), name="x")

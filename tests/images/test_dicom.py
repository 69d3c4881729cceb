"""DICOM: pixels as displayed by a viewer, facts, and refusals."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import jpeg_ls
import numpy as np
import openjpeg.utils
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import ComputedRadiographyImageStorage, RLELossless, generate_uid

from helpers.files import (
    NATIVE,
    dicom_bytes,
    dicom_data_set,
    dicom_file,
    encoded,
    lut_item,
)
from pneumoscope.data.catalog import read_catalog
from pneumoscope.errors import DamagedImageError, ImageError, UnsupportedImageError
from pneumoscope.images.dicom import jpegls
from pneumoscope.images.dicom.layout import layout_of
from pneumoscope.images.dicom.stored import stored_values
from pneumoscope.images.dicom_facts import DicomFacts
from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.images.read import decode, probe
from pneumoscope.reader.archive.inputs import iterate_images

RAMP = np.linspace(0, 4095, 60 * 50).astype(np.uint16).reshape(60, 50)
NOISE = np.random.default_rng(1).integers(0, 4096, (60, 50), dtype=np.uint16)


def grey(data: bytes) -> np.ndarray:
    """Return what is shown, 0 to 1."""
    radiograph = decode(data, name="x")
    white = 255 if radiograph.pixels.dtype == np.uint8 else 2 ** (radiograph.bits or 16) - 1
    return radiograph.pixels / white


# --- the look ---


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("syntax", NATIVE)
def test_declared_bits_are_the_range(bits: int, syntax: str) -> None:
    stored = (RAMP * 0.6 * 2**bits / 4096).astype(np.uint16)  # more than half of the range
    found = grey(dicom_file(stored, syntax=syntax, BitsStored=bits))
    np.testing.assert_allclose(found, stored / (2**bits - 1), atol=1e-5)


def test_sixteen_bits_declare_nothing_so_the_pixels_do() -> None:
    np.testing.assert_allclose(grey(dicom_file(RAMP)), RAMP / 4095, atol=1e-5)


def test_eight_bits_are_unchanged() -> None:
    stored = (RAMP // 16).astype(np.uint8)
    radiograph = decode(dicom_file(stored), name="x")
    np.testing.assert_array_equal(radiograph.pixels, stored)
    assert radiograph.pixels.dtype == np.uint8


def test_monochrome1_is_the_negative() -> None:
    options: dict[str, Any] = {"BitsStored": 12, "WindowCenter": 1500, "WindowWidth": 1000}
    positive = grey(dicom_file(RAMP, **options))
    negative = grey(dicom_file(RAMP, PhotometricInterpretation="MONOCHROME1", **options))
    np.testing.assert_allclose(negative, 1 - positive, atol=2e-5)
    eight = (RAMP // 16).astype(np.uint8)
    found = decode(dicom_file(eight, PhotometricInterpretation="MONOCHROME1"), name="x").pixels
    np.testing.assert_array_equal(found, 255 - eight)


def test_signed_values_keep_their_order() -> None:
    stored = RAMP.astype(np.int16) - 2000
    np.testing.assert_allclose(grey(dicom_file(stored)), RAMP / 4095, atol=1e-4)
    window = grey(dicom_file(stored, WindowCenter=0.5, WindowWidth=1001))
    np.testing.assert_allclose(window, np.clip((stored + 500) / 1000, 0, 1), atol=1e-4)


def test_a_negative_slope_turns_the_order_round() -> None:
    data = dicom_file(RAMP, BitsStored=12, RescaleSlope=-2, RescaleIntercept=100)
    np.testing.assert_allclose(grey(data), 1 - RAMP / 4095, atol=1e-4)


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [  # worked by hand from the formulas of PS3.3 C.11.2.1.2: c = 2048, w = 1024
        ("LINEAR", 2048, (2048 - 2047.5) / 1023 + 0.5),
        ("LINEAR", 1535, 0.0),
        ("LINEAR", 2560, 1.0),
        ("LINEAR_EXACT", 2048, 0.5),
        ("LINEAR_EXACT", 1792, 0.25),
        ("SIGMOID", 2048, 0.5),
        ("SIGMOID", 2304, 1 / (1 + np.exp(-1))),
    ],
)
def test_windows_follow_the_standard(function: str, value: int, expected: float) -> None:
    stored = np.full((4, 4), value, np.uint16)
    data = dicom_file(stored, WindowCenter=2048, WindowWidth=1024, VOILUTFunction=function)
    np.testing.assert_allclose(grey(data), expected, atol=1e-5)


def test_the_first_of_several_windows_counts() -> None:
    several = dicom_file(RAMP, WindowCenter=[1000, 3000], WindowWidth=[500, 100])
    first = dicom_file(RAMP, WindowCenter=1000, WindowWidth=500)
    np.testing.assert_array_equal(grey(several), grey(first))


@pytest.mark.parametrize("width", [b"0.00", b"-5.0", b"nan ", b"    "])
def test_a_window_that_cannot_be_is_left_out(width: bytes) -> None:
    data = dicom_file(RAMP, BitsStored=12, WindowCenter=100, WindowWidth=77)
    assert data.count(b"DS\x04\x0077.0") == 1
    data = data.replace(b"DS\x04\x0077.0", b"DS\x04\x00" + width)
    np.testing.assert_allclose(grey(data), RAMP / 4095, atol=1e-5)


def test_a_dark_image_under_a_window_stays_dark() -> None:
    data = dicom_file(RAMP // 8, WindowCenter=2048, WindowWidth=4096, BitsStored=12)
    assert prepare(data, InputSpec(32, 32)).max() < 40


def both_pipelines(data_set: pydicom.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return our grey, and pydicom's own transformations scaled to the range that it has."""
    found = grey(dicom_bytes(data_set))
    array = pydicom.dcmread(io.BytesIO(dicom_bytes(data_set))).pixel_array
    theirs = apply_voi_lut(apply_modality_lut(array, data_set), data_set).astype(float)
    return found, theirs


@settings(deadline=None, max_examples=40)  # the first one loads pydicom
@given(
    st.floats(0.2, 0.8),  # a window under which nothing can be seen is not applied
    st.floats(600, 5000),  # below 50, pydicom's exponential overflows
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    st.sampled_from([1.0, 0.5, 2.0]),  # pydicom turns its range of output round with the slope
    st.sampled_from([0, -1000, 512]),
)
def test_windows_agree_with_pydicom(
    place: float, width: float, function: str, slope: float, intercept: int
) -> None:
    center = place * 4095 * slope + intercept
    data_set = dicom_data_set(NOISE)
    data_set.BitsStored, data_set.HighBit = 12, 11
    data_set.RescaleSlope, data_set.RescaleIntercept = str(slope), str(intercept)
    data_set.WindowCenter, data_set.WindowWidth = f"{center:.6g}", f"{width:.6g}"
    data_set.VOILUTFunction = function
    found, theirs = both_pipelines(data_set)
    ends = sorted([intercept, 4095 * slope + intercept])
    np.testing.assert_allclose(found, (theirs - ends[0]) / (ends[1] - ends[0]), atol=2e-5, rtol=0)


@pytest.mark.parametrize("first", [0, 100, 1000])
def test_lookup_tables_agree_with_pydicom(first: int) -> None:
    curve = (65535 * np.linspace(0, 1, 3000) ** 2).round()
    data_set = dicom_data_set(NOISE)
    data_set.VOILUTSequence = Sequence([lut_item(first, curve, bits=16)])
    found, theirs = both_pipelines(data_set)
    np.testing.assert_allclose(found, theirs / 65535, atol=1e-5)
    data_set.ModalityLUTSequence = Sequence([lut_item(first, curve[::-1], bits=16)])
    found, theirs = both_pipelines(data_set)
    np.testing.assert_allclose(found, theirs / 65535, atol=1e-5)
    del data_set.VOILUTSequence
    found, theirs = both_pipelines(data_set)
    np.testing.assert_allclose(found, theirs / 65535, atol=1e-5)


def test_a_palette_becomes_luma() -> None:
    stored = (RAMP // 16).astype(np.uint8)
    data_set = dicom_data_set(stored)
    data_set.PhotometricInterpretation = "PALETTE COLOR"
    levels = np.arange(256)
    for colour, data in (("Red", levels), ("Green", levels[::-1]), ("Blue", levels // 2)):
        setattr(data_set, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        wide = (data * 257).astype("<u2").tobytes()
        setattr(data_set, f"{colour}PaletteColorLookupTableData", wide)
    rgb = (apply_color_lut(stored, data_set) // 257).astype(np.uint8)
    expected = np.asarray(Image.fromarray(rgb).convert("L"))
    np.testing.assert_array_equal(decode(dicom_bytes(data_set), name="x").pixels, expected)


def test_colour_becomes_luma() -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(rgb).convert("L"))
    np.testing.assert_array_equal(decode(dicom_file(rgb), name="x").pixels, expected)
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    data = dicom_file(rgb, PlanarConfiguration=1, PixelData=planes.tobytes())
    np.testing.assert_array_equal(decode(data, name="x").pixels, expected)
    ybr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    data = dicom_file(ybr, PhotometricInterpretation="YBR_FULL")
    found = decode(data, name="x").pixels.astype(int)
    assert np.abs(found - expected).max() <= 2


# --- encodings ---


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("stored", [RAMP, RAMP.astype(np.int16) - 2000, (RAMP // 16).astype("u1")])
def test_uncompressed_syntaxes_give_the_same(syntax: str, stored: np.ndarray) -> None:
    np.testing.assert_array_equal(grey(dicom_file(stored, syntax=syntax)), grey(dicom_file(stored)))


def test_rle_is_lossless() -> None:
    data_set = dicom_data_set(NOISE)
    data_set.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(grey(dicom_bytes(data_set)), grey(dicom_file(NOISE)))


LOSSLESS = {
    "JPEG lossless": ("1.2.840.10008.1.2.4.57", 16),
    "JPEG lossless, first order": ("1.2.840.10008.1.2.4.70", 12),
    "JPEG-LS": ("1.2.840.10008.1.2.4.80", 16),
    "JPEG 2000": ("1.2.840.10008.1.2.4.90", 16),
}


def compressed(stored: np.ndarray, kind: str, bits: int) -> bytes:
    match kind:
        case "JPEG lossless" | "JPEG lossless, first order":
            frame = imagecodecs.jpeg8_encode(stored, lossless=True, predictor=1, bitspersample=bits)
        case "JPEG-LS":
            frame = jpeg_ls.encode_array(stored)
        case "JPEG 2000":
            frame = imagecodecs.jpeg2k_encode(
                stored, level=0, reversible=True, codecformat="j2k", bitspersample=bits
            )
        case _:
            raise AssertionError(kind)
    return bytes(frame)


@pytest.mark.parametrize("kind", sorted(LOSSLESS))
def test_lossless_syntaxes_give_back_what_was_stored(kind: str) -> None:
    syntax, bits = LOSSLESS[kind]
    frame = compressed(NOISE, kind, bits)
    data = dicom_file(NOISE, syntax=syntax, frame=frame, BitsStored=bits)
    np.testing.assert_array_equal(grey(data), grey(dicom_file(NOISE, BitsStored=bits)))


def test_two_decoders_agree() -> None:
    frame = compressed(NOISE, "JPEG 2000", 12)
    np.testing.assert_array_equal(np.asarray(openjpeg.utils.decode(frame)), NOISE)
    data = dicom_file(NOISE, syntax=LOSSLESS["JPEG 2000"][0], frame=frame, BitsStored=12)
    np.testing.assert_array_equal(grey(data), grey(dicom_file(NOISE, BitsStored=12)))
    lossy = bytes(jpeg_ls.encode_array(NOISE, lossy_error=3))
    theirs = jpeg_ls.decode(np.frombuffer(lossy, np.uint8))
    np.testing.assert_array_equal(jpegls.decode(lossy), theirs)


def test_lossy_jpeg_is_near() -> None:
    smooth = (RAMP // 16).astype(np.uint8)
    frame = encoded(smooth, "JPEG", quality=95)
    found = decode(dicom_file(smooth, syntax="1.2.840.10008.1.2.4.50", frame=frame), name="x")
    np.testing.assert_array_equal(found.pixels, np.asarray(Image.open(io.BytesIO(frame))))
    deep = imagecodecs.jpeg8_encode(RAMP, level=98, bitspersample=12)
    data = dicom_file(RAMP, syntax="1.2.840.10008.1.2.4.51", frame=bytes(deep), BitsStored=12)
    assert np.abs(grey(data) - RAMP / 4095).max() < 0.01


# Values that pydicom's own tests name, of files that it brings: [row, column] → stored value.
SAMPLES = {
    "JPGExtended.dcm": {(420, 140): 244, (230, 120): 95},
    "MR_small_RLE.dcm": {(0, 31): 422, (0, 32): 319, (0, 33): 361},
    "MR_small_jpeg_ls_lossless.dcm": {(0, 31): 422, (0, 32): 319, (0, 33): 361},
    "MR_small_jp2klossless.dcm": {(0, 31): 422, (0, 32): 319, (0, 33): 361},
    "MR_small_bigendian.dcm": {(0, 31): 422, (0, 32): 319, (0, 33): 361},
    "MR_small_implicit.dcm": {(0, 31): 422, (0, 32): 319, (0, 33): 361},
}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_sample_files_hold_the_known_values(name: str) -> None:
    data_set = pydicom.dcmread(str(get_testdata_file(name, download=False)))
    layout = layout_of(data_set, name=name)
    stored = stored_values(data_set, layout, name=name).pixels
    if name.startswith("MR_small"):
        assert stored[31, :3].tolist() == [366, 363, 322]
        assert stored[-1, -3:].tolist() == [1369, 1129, 862]
    for place, value in SAMPLES[name].items():
        assert stored[place] == value


SAME = ("", "_RLE", "_jpeg_ls_lossless", "_jp2klossless", "_bigendian", "_implicit", "_padded")


def test_one_image_in_seven_encodings_looks_the_same() -> None:
    looks = []
    for name in SAME:
        path = get_testdata_file(f"MR_small{name}.dcm", download=False)
        data_set = pydicom.dcmread(str(path))
        data_set.Modality, data_set.SOPClassUID = "CR", ComputedRadiographyImageStorage
        looks.append(grey(dicom_bytes(data_set)))
    for look in looks[1:]:
        np.testing.assert_array_equal(look, looks[0])


def test_a_missing_decoder_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    syntax, bits = LOSSLESS["JPEG-LS"]
    data = dicom_file(NOISE, syntax=syntax, frame=compressed(NOISE, "JPEG-LS", bits))
    with pytest.raises(UnsupportedImageError, match=r"pip install .*\[dicom\]"):
        decode(data, name="x")


def test_a_syntax_that_nobody_reads_is_named() -> None:
    data = dicom_file(NOISE, syntax="1.2.840.10008.1.2.4.100", frame=b"\0\0\1\xb3")
    with pytest.raises(UnsupportedImageError, match="MPEG2"):
        decode(data, name="x")


@pytest.mark.parametrize("kind", sorted(LOSSLESS))
def test_a_codestream_of_another_size_is_refused(kind: str) -> None:
    syntax, bits = LOSSLESS[kind]
    frame = compressed(NOISE[:40], kind, bits)
    data = dicom_file(NOISE, syntax=syntax, frame=frame, BitsStored=bits)
    with pytest.raises(DamagedImageError, match="40 rows"):
        decode(data, name="x")


# --- facts and refusals ---


def test_the_facts_are_kept_and_the_name_is_not() -> None:
    meta = probe(dicom_file(RAMP, BitsStored=12), name="x")
    assert (meta.width, meta.height, meta.mode, meta.format) == (50, 60, "MONOCHROME2", "DICOM")
    assert meta.dicom == DicomFacts(
        patient_id="P-17",
        patient_age="034Y",
        patient_sex="F",
        view="PA",
        modality="CR",
        body_part="CHEST",
        photometric="MONOCHROME2",
        transfer_syntax="1.2.840.10008.1.2.1",
        pixel_spacing_mm=(0.2, 0.1),
        imager_pixel_spacing_mm=(0.25, 0.15),
        sop_instance_uid=str(generate_uid(entropy_srcs=["pneumoscope"])),
        sop_class_uid=ComputedRadiographyImageStorage,
    )
    assert "Doe" not in repr(meta)
    assert meta.dicom.age_years == 34


@pytest.mark.parametrize("syntax", NATIVE)
def test_the_transfer_syntax_is_recorded(syntax: str) -> None:
    facts = probe(dicom_file(RAMP, syntax=syntax), name="x").dicom
    assert facts is not None
    assert facts.transfer_syntax == syntax


@pytest.mark.parametrize(
    ("age", "years"),
    [("006M", 0.5), ("052W", 364 / 365.25), ("", None), ("Y", None), ("x34Y", None)],
)
def test_ages(age: str, years: float | None) -> None:
    assert DicomFacts(patient_age=age).age_years == pytest.approx(years)


@pytest.mark.parametrize(
    ("elements", "says"),
    [
        ({"Modality": "CT"}, "modality 'CT'"),
        ({"Modality": "US"}, "modality 'US'"),
        ({"Modality": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "CT Image Storage"),
        ({"ViewPosition": "LL"}, "only frontal views"),
        ({"ViewPosition": "RL"}, "only frontal views"),
        ({"ViewPosition": "LATERAL"}, "only frontal views"),
        ({"BodyPartExamined": "HAND"}, "only chest"),
        ({"NumberOfFrames": 2}, "2 frames"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "FOR PRESENTATION"),
        ({"Rows": None}, "without an image"),
        ({"PixelData": None}, "without pixel data"),
        ({"BitsAllocated": 32}, "supported are 8 or 16"),
        ({"SamplesPerPixel": 4}, "supported are 1 or 3"),
        ({"HighBit": 15, "BitsStored": 12}, None),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1", "Rows": None, "PixelData": None},
            "Encapsulated PDF",
        ),
    ],
)
def test_what_is_no_frontal_chest_radiograph_is_refused(
    elements: dict[str, Any], says: str | None
) -> None:
    data = dicom_file(RAMP, **elements)
    if says is None:
        assert decode(data, name="x").pixels.shape == RAMP.shape
        return
    with pytest.raises(UnsupportedImageError, match=says) as caught:
        decode(data, name="film.dcm")
    assert str(caught.value).startswith("film.dcm: ")


@pytest.mark.parametrize(
    "elements",
    [
        {"Modality": None, "SOPClassUID": None},
        {"Modality": "DX"},
        {"Modality": "RG"},
        {"ViewPosition": None},
        {"ViewPosition": "AP"},
        {"BodyPartExamined": None},
        {"BodyPartExamined": "THORAX"},
        {"BodyPartExamined": "PORT CHEST"},
    ],
)
def test_what_may_be_one_is_read(elements: dict[str, Any]) -> None:
    data_set = dicom_data_set(RAMP)
    for keyword, value in elements.items():
        data_set.pop(keyword, None)
        if value is not None:
            setattr(data_set, keyword, value)
    file = io.BytesIO()
    data_set.save_as(file)
    assert decode(file.getvalue(), name="x").pixels.shape == RAMP.shape


def test_a_file_without_preamble_or_meta_is_read() -> None:
    data = dicom_file(RAMP)
    expected = grey(data)
    np.testing.assert_array_equal(grey(data[132:]), expected)
    np.testing.assert_array_equal(grey(data[data.index(b"\x08\0\x16\0") :]), expected)


def test_the_catalog_takes_the_patient_from_the_header(tmp_path: Path) -> None:
    for label, patient in (("NORMAL", "A"), ("PNEUMONIA", "B")):
        (tmp_path / label).mkdir()
        for number in range(2):
            content = dicom_file(RAMP + number, PatientID=patient)
            (tmp_path / label / f"film{number}").write_bytes(content)
    (tmp_path / "PNEUMONIA" / "person1_virus_2.dcm").write_bytes(dicom_file(RAMP + 9))
    catalog = read_catalog(tmp_path)
    patients = [(entry.path, entry.patient.name) for entry in catalog.entries]
    assert dict(patients)["NORMAL/film0"] == dict(patients)["NORMAL/film1"] == "A"
    # What the file says of itself comes before what its name may mean.
    assert dict(patients)["PNEUMONIA/person1_virus_2.dcm"] == "P-17"
    assert catalog.patients_known


def test_a_folder_of_dicom_without_suffixes_is_found_by_content(tmp_path: Path) -> None:
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc" / "IM000001").write_bytes(dicom_file(RAMP))
    (tmp_path / "disc" / "IM000002").write_bytes(dicom_file(RAMP)[132:])
    (tmp_path / "disc" / "DICOMDIR").write_bytes(dicom_file(RAMP))
    (tmp_path / "disc" / "README").write_bytes(b"About this disc")
    found = [Path(str(path)).name for path in iterate_images([str(tmp_path)])]
    assert found == ["IM000001", "IM000002"]


def test_a_patient_called_anonymous_is_nobody() -> None:
    facts = probe(dicom_file(RAMP, PatientID="ANONYMOUS"), name="x").dicom
    assert facts is not None
    assert facts.patient_id == ""


@settings(deadline=None)
@given(st.integers(0, 3000), st.binary(min_size=1, max_size=8))
def test_flipped_bytes_give_an_image_or_an_image_error(position: int, patch: bytes) -> None:
    data = dicom_file(RAMP[:8, :8], BitsStored=12, WindowCenter=9, WindowWidth=9)
    position %= len(data)
    try:
        radiograph = decode(data[:position] + patch + data[position + len(patch) :], name="x")
    except ImageError:
        return
    assert radiograph.pixels.dtype in (np.uint8, np.uint16)

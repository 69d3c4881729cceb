"""The same picture in the variants that scanners write: the same grey, or a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import RLELossless

from helpers.dicom_variants import (
    BASELINE,
    JPEG_LS,
    LOSSLESS,
    cut_variants,
    deep,
    framed,
    jls,
    lossless,
    made,
    padded_variants,
    spread,
    table,
    variants,
)
from helpers.files import dicom_bytes, dicom_data_set, encoded
from pneumoscope.data.phantom import render
from pneumoscope.errors import DamagedImageError, ImageError, UnsupportedImageError
from pneumoscope.images.dicom import pixels
from pneumoscope.images.dicom.stored import stored_values
from pneumoscope.images.dicom_facts import Rendering
from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.images.read import chroma, decode
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.preprocess import load_image

PICTURE = render("NORMAL", patient_seed=3, size_px=(256, 256)).pixels
SPEC = InputSpec(96, 96)
SHOWN = dict(variants(PICTURE))
PADDED = dict(padded_variants(PICTURE))
CUT = dict(cut_variants(PICTURE))


def rendering(data: bytes) -> Rendering:
    found = decode(data, name="film.dcm").meta.rendering
    assert found is not None
    return found


def check_same(data: bytes, picture: np.ndarray) -> None:
    found = prepare(data, SPEC).astype(int)
    wanted = prepare(picture, SPEC).astype(int)
    assert np.abs(found - wanted).mean() < 1.5
    assert np.abs(found - wanted).max() <= 12


@pytest.mark.parametrize("what", sorted(SHOWN))
def test_a_variant_shows_the_picture(what: str) -> None:
    check_same(SHOWN[what], PICTURE)


@pytest.mark.parametrize("what", sorted(what for what in SHOWN if "90" in what or "2000" in what))
def test_a_smaller_jpeg_2000_shows_the_picture(what: str) -> None:
    small = InputSpec(32, 32)  # an eighth of the size, so that wavelet levels may be skipped
    found, wanted = (prepare(source, small).astype(int) for source in (SHOWN[what], PICTURE))
    assert np.abs(found - wanted).max() <= 12


@pytest.mark.parametrize("what", sorted(PADDED))
def test_what_is_no_anatomy_is_black_and_does_not_set_the_greys(what: str) -> None:
    check_same(PADDED[what], framed(PICTURE))


@pytest.mark.parametrize("what", sorted(CUT))
def test_a_cut_frame_is_refused(what: str) -> None:
    with pytest.raises(DamagedImageError, match=r"film\.dcm: .*(truncated|damaged)"):
        decode(CUT[what], name="film.dcm")


@pytest.mark.parametrize("percent", [30, 60, 90, 99])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("colour", [False, True])
def test_a_cut_jpeg_file_is_refused(percent: int, progressive: bool, colour: bool) -> None:
    pixels = np.stack([PICTURE, PICTURE // 2, PICTURE // 3], 2) if colour else PICTURE
    whole = encoded(pixels, "JPEG", quality=90, progressive=progressive)
    prepare(whole, SPEC)
    cut = whole[: len(whole) * percent // 100] + b"\xff\xd9"
    with pytest.raises(DamagedImageError, match="truncated or damaged"):
        decode(cut, name="film.jpg")
    with pytest.raises(DamagedImageError, match="truncated or damaged"):
        prepare(cut, SPEC)


@pytest.mark.parametrize("rows", range(40, 56))
def test_jpeg_ls_without_its_end_marker_is_read_whatever_it_ends_in(rows: int) -> None:
    wide = deep(PICTURE[:rows])
    frame = jls(wide)[:-2]
    for padding in (b"", b"\0", bytes(20)):
        data = made(wide, 12, syntax=JPEG_LS, frame=frame + padding)
        np.testing.assert_array_equal(
            decode(data, name="x").pixels, decode(made(wide, 12), name="x").pixels
        )


def test_a_jpeg_with_restarts_is_refused_wherever_it_is_cut() -> None:
    whole = encoded(PICTURE, "JPEG", quality=90, restart_marker_blocks=7)
    decode(whole, name="film.jpg")
    for place in range(len(whole) // 3, len(whole) - 700, 41):
        for cut in (place, whole.rindex(b"\xff", 0, place), whole.rindex(b"\xff", 0, place) + 1):
            with pytest.raises(DamagedImageError, match="truncated or damaged"):
                decode(whole[:cut] + b"\xff\xd9", name="film.jpg")


def test_a_whole_jpeg_that_ends_in_middle_grey_is_read() -> None:
    pixels = PICTURE.copy()
    pixels[-64:] = 128
    for progressive in (False, True):
        data = encoded(pixels, "JPEG", quality=95, progressive=progressive)
        assert np.abs(decode(data, name="x").pixels.astype(int) - pixels).mean() < 2


@pytest.mark.parametrize("value", [4096, 65535])
def test_one_bright_pixel_does_not_darken_a_png(value: int) -> None:
    hot = deep(PICTURE)
    hot[5, 5] = value
    check_same(encoded(hot), PICTURE)


def test_the_range_of_16_bits_is_the_same_for_every_source() -> None:
    wide = spread(PICTURE, 2000, 9000)
    for source in (encoded(wide), encoded(wide, "TIFF"), made(wide)):
        check_same(source, PICTURE)
    assert np.abs(prepare(wide, SPEC).astype(int) - prepare(PICTURE, SPEC)).max() <= 12


@pytest.mark.parametrize(("low", "high"), [(0, 1500), (300, 1800), (7000, 16000)])
def test_less_than_half_of_the_declared_bits_is_shown_in_full(low: int, high: int) -> None:
    wide = spread(PICTURE, low, high)
    bits = 12 if high < 4096 else 16
    for source in (made(wide, bits), made(wide.astype(np.int16), bits), encoded(wide)):
        check_same(source, PICTURE)
    check_same(encoded(wide, "JPEG2000", irreversible=False), PICTURE)


def test_a_negative_is_shown_as_its_positive_whatever_its_white_is() -> None:
    dim = (PICTURE.astype(int) * 6 // 10).astype(np.uint8)  # no pixel is white
    wide = deep(dim)
    for bits in (12, 16):
        positive = prepare(made(wide, bits), SPEC).astype(int)
        data = made(4095 - wide, bits, PhotometricInterpretation="MONOCHROME1")
        assert np.abs(prepare(data, SPEC) - positive).max() <= 1


@pytest.mark.parametrize("margin", [4, 10, 30])
@pytest.mark.parametrize("black", [0, 65535])
def test_a_border_with_stray_pixels_does_not_set_the_greys(margin: int, black: int) -> None:
    inside = spread(PICTURE, 2000, 9000)
    wide = np.pad(inside, margin, constant_values=black)
    noise = np.random.default_rng(0).integers(0, 4, wide.shape, dtype=np.uint16)
    border = np.ones(wide.shape, bool)
    border[margin:-margin, margin:-margin] = False
    wide[border] = wide[border] - noise[border] if black else noise[border]
    wide[2, 2] = 3000
    for source in (made(wide), encoded(wide)):
        found = decode(source, name="x")
        pixels = prepare(source, InputSpec(wide.shape[0] & ~7, wide.shape[1] & ~7))
        assert found.pixels.shape == wide.shape
        middle = pixels[margin + 8 : -margin - 8, margin + 8 : -margin - 8]
        assert middle.max() > 180
        assert middle.min() < 25


def test_a_bright_letter_does_not_darken_the_image() -> None:
    wide = spread(PICTURE, 2000, 9000)
    plain = prepare(encoded(wide), SPEC).astype(int)
    for value in (12000, 65535):
        lettered = wide.copy()
        lettered[4:34, 4:34] = value
        for source in (made(lettered), encoded(lettered)):
            found = prepare(source, SPEC).astype(int)
            assert np.abs(found - plain)[20:].mean() < 25


def test_words_in_the_other_byte_order_are_recognised() -> None:
    wide = deep(PICTURE)
    data = made(wide, 12, PixelData=wide.byteswap().tobytes())
    check_same(data, PICTURE)
    assert "other byte order" in rendering(data).notes[0]


def test_a_decimal_comma_of_the_rescale_is_read() -> None:
    options: dict[str, Any] = {"WindowCenter": "548", "WindowWidth": "4096", "RescaleSlope": "1"}
    data = made(deep(PICTURE), 12, RescaleIntercept="-1500.0", **options)
    check_same(data, PICTURE)
    comma = data.replace(b"-1500.0", b"-1500,0")
    check_same(comma, PICTURE)
    assert "RescaleIntercept -1500,0 was read" in rendering(comma).notes[0]


@pytest.mark.parametrize("explained", [["HARDER", "NORMAL1"], ["HIGH CONTRAST", "DEFAULT"]])
def test_a_normal_window_comes_first_however_it_is_called(explained: list[str]) -> None:
    options: dict[str, Any] = {"WindowCenter": [2048, 2048], "WindowWidth": [1000, 4096]}
    data = made(deep(PICTURE), 12, WindowCenterWidthExplanation=explained, **options)
    check_same(data, PICTURE)


def test_a_lut_explained_as_harder_comes_after_a_window() -> None:
    luts = table(np.minimum(np.arange(4096) * 3, 4095), [4096, 0, 12])
    luts[0].LUTExplanation = "HARDER"
    window: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096}
    check_same(made(deep(PICTURE), 12, VOILUTSequence=luts, **window), PICTURE)


def test_padding_of_more_bits_than_the_pixels_have_is_understood() -> None:
    wide = deep(framed(PICTURE))
    outside = np.ones(wide.shape, bool)
    outside[32:-32, 32:-32] = False
    wide[outside] = 4095
    check_same(made(wide, 12, PixelPaddingValue=65535), framed(PICTURE))


def test_a_collimator_in_other_coordinates_is_not_applied() -> None:
    wide = deep(PICTURE)
    edges: dict[str, Any] = {
        "CollimatorLeftVerticalEdge": 60,
        "CollimatorRightVerticalEdge": 140,
        "CollimatorUpperHorizontalEdge": 60,
        "CollimatorLowerHorizontalEdge": 140,
    }
    data = made(wide, 12, CollimatorShape="RECTANGULAR", **edges)
    check_same(data, PICTURE)
    assert "the image continues outside" in rendering(data).notes[0]


def test_escapes_in_a_header_do_not_reach_the_record() -> None:
    options: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096}
    data = made(deep(PICTURE), 12, WindowCenterWidthExplanation="AAAA", **options)
    found = rendering(data.replace(b"AAAA", b"\x1b[2J"))
    assert found.voi == "window 2048/4096 LINEAR ([2J)"


# --- what is told of it ---


def test_the_rendering_says_what_was_done() -> None:
    data = made(
        4095 - deep(PICTURE),
        12,
        PhotometricInterpretation="MONOCHROME1",
        WindowCenter=2047,
        WindowWidth=4093,
        RescaleSlope=1,
        RescaleIntercept=0,
    )
    assert rendering(data) == Rendering(
        decoder="uncompressed",
        modality="slope 1, intercept 0",
        voi="window 2047/4093 LINEAR",
        inverted=True,
    )


@pytest.mark.parametrize(
    ("what", "decoder", "note"),
    [
        ("JPEG 2000 as .70", "imagecodecs (JPEG 2000", "the pixels are JPEG 2000"),
        ("HTJ2K as .201", "imagecodecs (HTJ2K", ""),
        (".80 and 200 zeros", "imagecodecs (JPEG-LS)", ""),
        ("overlay in .70", "imagecodecs (JPEG lossless", "their lower 12 bits"),
        ("YCbCr 4:2:0 as RGB", "pillow (JPEG baseline", "YCbCr"),
        ("YCbCr 4:4:4 as RGB", "pillow (JPEG baseline", "YCbCr"),
        ("no SamplesPerPixel", "uncompressed", "SamplesPerPixel is missing; 1 is assumed"),
        ("VOI LUT of 16 bits", "uncompressed", "declares 16 bits, its entries have 12"),
        (
            "VOI LUT with too few entries",
            "uncompressed",
            "4096 entries are declared, but there are 4095",
        ),
        ("window that whitens", "uncompressed", "window 3174/2426 LINEAR is not applied"),
        ("window with decimal commas", "uncompressed", "decimal commas"),
        ("bytes after the pixels", "uncompressed", "100 bytes after the pixels"),
    ],
)
def test_what_was_assumed_is_noted(what: str, decoder: str, note: str) -> None:
    found = rendering(SHOWN[what])
    assert found.decoder.startswith(decoder)
    assert note in "; ".join(found.notes)
    assert bool(found.notes) == bool(note)


def test_padding_and_shutters_are_noted() -> None:
    assert rendering(PADDED["range of padding"]).padding == "60000 to 65535"
    assert rendering(PADDED["shutter"]).shutter == "rectangular shutter"
    assert rendering(PADDED["collimator"]).shutter == "rectangular collimator"


def test_padding_of_colours_and_of_lossy_frames_is_noted() -> None:
    assert rendering(PADDED["RGB and padding of 16 bits"]).padding == "255"
    assert rendering(PADDED["RGB and a shutter"]).shutter == "rectangular shutter"
    assert rendering(PADDED["palette and a shutter"]).shutter == "rectangular shutter"
    assert rendering(PADDED["padding in .91"]).padding == "4000, 48 more or less"
    assert rendering(PADDED["padding 251 in .50"]).padding == "251, 3 more or less"
    assert chroma(PADDED["RGB and a shutter"], name="x") == 0


@pytest.mark.parametrize("value", [20, 128, 235])
def test_lossy_anatomy_at_the_edge_is_no_padding(value: int) -> None:
    noise = np.random.default_rng(5).normal(0, 3, PICTURE.shape)
    noisy = np.clip(0.9 * (PICTURE.astype(float) - value) + value + noise, 0, 255).astype(np.uint8)
    noisy[:40] = np.clip(value + noise[:40], 0, 255)  # as near to the padding value as can be
    frame = encoded(noisy, "JPEG", quality=95)
    with_value, without = (
        decode(made(noisy, 8, syntax=BASELINE, frame=frame, PixelPaddingValue=said), name="x")
        for said in (value, None)
    )
    kept = without.pixels != value
    np.testing.assert_array_equal(with_value.pixels[kept], without.pixels[kept])


def test_a_padding_value_inside_the_image_is_anatomy() -> None:
    wide = deep(PICTURE)
    wide[100:140, 100:140] = 4095  # metal, as the padding
    shown = decode(made(wide, 12, PixelPaddingValue=4095), name="x").pixels
    assert (shown[100:140, 100:140] == 65535).all()


def test_a_shutter_that_hides_the_image_is_not_believed() -> None:
    edges: dict[str, Any] = dict.fromkeys(
        ("ShutterLeftVerticalEdge", "ShutterRightVerticalEdge"), 5
    )
    edges |= dict.fromkeys(("ShutterUpperHorizontalEdge", "ShutterLowerHorizontalEdge"), 5)
    data = made(deep(PICTURE), 12, ShutterShape="RECTANGULAR", **edges)
    check_same(data, PICTURE)
    assert "rectangular shutter is not applied" in rendering(data).notes[0]


# --- what is refused, and how it is named ---


def test_missing_bytes_are_counted() -> None:
    whole = made(deep(PICTURE), 12)
    with pytest.raises(DamagedImageError, match=r"truncated.* 130,97. bytes.*needs 131,072"):
        decode(whole[:-100], name="x")


def test_a_header_of_fewer_rows_than_there_are_is_refused() -> None:
    wide = deep(PICTURE)
    with pytest.raises(DamagedImageError, match="Rows or Columns is wrong"):
        decode(made(wide, 12, Rows=200), name="x")
    run_length = dicom_data_set(wide)
    run_length.compress(RLELossless, generate_instance_uid=False)
    run_length.Rows = 200
    with pytest.raises(DamagedImageError, match="more than the 200 rows"):
        decode(dicom_bytes(run_length), name="x")


def test_a_hole_between_restart_markers_is_refused() -> None:
    whole = encoded(PICTURE, "JPEG", quality=95, restart_marker_rows=1)
    middle = len(whole) // 3
    holed = whole[:middle] + whole[middle + 2000 :]
    with pytest.raises(DamagedImageError, match="truncated"):
        decode(made(PICTURE, 8, syntax=BASELINE, frame=holed), name="x")
    with pytest.raises(DamagedImageError, match="truncated"):
        decode(holed, name="x")


def test_values_of_more_bits_than_lossless_jpeg_has_are_damage() -> None:
    frame = bytearray(lossless(deep(PICTURE), 12))
    frame[len(frame) // 2 : len(frame) // 2 + 400] = bytes(400)
    with pytest.raises(DamagedImageError, match="damaged"):
        decode(made(deep(PICTURE), 12, syntax=LOSSLESS, frame=bytes(frame)), name="x")


def test_several_frames_under_a_header_of_one_are_named() -> None:
    wide = deep(PICTURE)
    with pytest.raises(UnsupportedImageError, match="2 frames, but its header declares 1"):
        decode(made(wide, 12, PixelData=wide.tobytes() * 2), name="x")


def test_a_cut_fragment_is_named() -> None:
    whole = SHOWN["JPEG 2000"]
    with pytest.raises(DamagedImageError, match="truncated: a fragment"):
        decode(whole[:-500], name="x")


@pytest.mark.parametrize(
    ("elements", "says"),
    [
        (
            {"PhotometricInterpretation": "CMYK"},
            "PhotometricInterpretation 'CMYK' is not supported",
        ),
        ({"BitsAllocated": 32}, "BitsAllocated"),
        ({"HighBit": 15}, "HighBit 15 with BitsStored 12"),
        ({"Rows": None}, "without an image"),
    ],
)
def test_a_header_that_cannot_be_is_named_and_not_called_damage(
    elements: dict[str, Any], says: str
) -> None:
    with pytest.raises(ImageError, match=says) as caught:
        decode(made(deep(PICTURE), 12, **elements), name="x")
    assert "damaged" not in str(caught.value)


# --- colour ---


def test_colour_inside_dicom_is_seen_as_in_a_png() -> None:
    tinted = np.stack([PICTURE, PICTURE // 2, PICTURE // 3], 2)
    in_dicom, in_png = (chroma(data, name="x") for data in (made(tinted, 8), encoded(tinted)))
    assert in_dicom == in_png > 10
    assert chroma(made(np.stack([PICTURE] * 3, 2), 8), name="x") == 0
    assert chroma(SHOWN["12 bits"], name="x") == 0


@pytest.mark.parametrize("name", ["RGB and a shutter", "palette and a shutter", "tinted", "grey"])
def test_a_coloured_file_is_parsed_and_decoded_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tinted = made(np.stack([PICTURE, PICTURE // 2, PICTURE // 3], 2), 8)
    data = {**PADDED, "tinted": tinted, "grey": SHOWN["12 bits"]}[name]
    taken = []

    def counting(*args: Any, **more: Any) -> Any:
        taken.append(args)
        return stored_values(*args, **more)

    monkeypatch.setattr(pixels, "stored_values", counting)
    found = load_image(data, InputSpec(64, 64), any_kind=True)
    assert len(taken) == 1
    assert found.shape.chroma == pytest.approx(chroma(data, name="x"), abs=2)
    assert found.shape.chroma > 10 or name != "tinted"


# --- real radiographs ---


def test_real_radiographs_get_the_conclusion_of_their_png(shared: Path) -> None:
    reader = Predictor()
    place = shared / "data" / "chest_xray_native"
    paths = [sorted((place / label).iterdir())[0] for label in ("NORMAL", "PNEUMONIA")]
    for path in paths:
        picture = decode(path.read_bytes(), name=str(path)).pixels[::2, ::2]
        wanted = reader.predict(encoded(picture))
        for what, data in variants(picture):
            found = reader.predict(data)
            assert found.conclusion == wanted.conclusion, (path.name, what)

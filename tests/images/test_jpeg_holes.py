"""JPEG data with a hole are refused, as files and as frames; whole images are read."""

from __future__ import annotations

from collections.abc import Iterator

import imagecodecs
import numpy as np
import pytest

from helpers.dicom_variants import BASELINE, EXTENDED, LOSSLESS, deep, lossless, made
from helpers.files import encoded
from pneumoscope.data.phantom import render
from pneumoscope.errors import DamagedImageError
from pneumoscope.images import jpeg, raster
from pneumoscope.images.jpeg_wholeness import pause
from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.images.read import decode

PICTURE = render("NORMAL", patient_seed=3, size_px=(512, 512)).pixels
GRAINY = np.clip(  # such as detectors give it, so that there are data everywhere
    PICTURE + np.random.default_rng(2).normal(0, 3, PICTURE.shape), 0, 255
).astype(np.uint8)
COLOUR = np.stack([GRAINY, GRAINY // 2, GRAINY // 3], 2)
SPEC = InputSpec(96, 96)
WHOLE = {
    "grey": encoded(GRAINY, "JPEG", quality=90),
    "optimised": encoded(GRAINY, "JPEG", quality=90, optimize=True),
    "colour": encoded(COLOUR, "JPEG", quality=90),
    "colour 4:4:4": encoded(COLOUR, "JPEG", quality=90, subsampling=0),
}
RESTARTS = encoded(GRAINY, "JPEG", quality=90, restart_marker_rows=2)


def holed(whole: bytes, size: int, places: int = 5) -> Iterator[bytes]:
    """Yield a JPEG with a hole in its first scan: zeroed, overwritten and removed bytes."""
    header = jpeg.read_header(whole)
    assert header is not None
    end = jpeg.end_of_image(whole, header)
    assert end is not None
    random = np.random.default_rng(7)
    for place in range(places):
        at = header.body + (end - header.body - size) * (2 * place + 1) // (2 * places)
        for filled in (bytes(size), random.bytes(size), b""):
            yield whole[:at] + filled + whole[at + size :]


def frame_of(data: bytes) -> bytes:
    header = jpeg.read_header(data)
    assert header is not None
    pixels = GRAINY if len(header.components) == 1 else COLOUR
    return made(pixels, 8, syntax=BASELINE, frame=data)


def refused(data: bytes) -> bool:
    """Return whether a file is damaged, whether it is decoded as a whole or at the input's size."""
    try:
        decode(data, name="film")
    except DamagedImageError as fault:
        assert "film: " in str(fault)  # noqa: PT017 - every fault names the file
        with pytest.raises(DamagedImageError):
            prepare(data, SPEC)
        return True
    return False


@pytest.mark.parametrize("what", sorted(WHOLE))
@pytest.mark.parametrize("size", [256, 512, 4096])
def test_a_hole_is_refused_in_a_file_and_in_a_frame(what: str, size: int) -> None:
    """By chance the data behind a hole may end where they should: once in the fifteen here."""
    found = []
    for data in holed(WHOLE[what], size):
        found.append(refused(data))
        assert refused(frame_of(data)) == found[-1]
    assert sum(found) >= len(found) - (size < 4096)


def test_a_small_hole_is_refused_about_every_second_time() -> None:
    found = [refused(data) for what in sorted(WHOLE) for data in holed(WHOLE[what], 32)]
    assert sum(found) > 0.4 * len(found)


@pytest.mark.parametrize("size", [1024, 4096])
def test_a_hole_between_two_restart_markers_is_refused(size: int) -> None:
    found = []
    for data in holed(RESTARTS, size):
        found.append(refused(data))
        assert refused(frame_of(data)) == found[-1]
    assert sum(found) > 0.8 * len(found)


def test_zeros_between_two_restart_markers_are_refused() -> None:
    places = [at for at in range(len(RESTARTS)) if RESTARTS[at : at + 2] == b"\xff\xd3"]
    for place in places:
        data = RESTARTS[: place + 50] + bytes(600) + RESTARTS[place + 650 :]
        assert data.count(b"\xff\xd3") == len(places)
        assert refused(data)
        with pytest.raises(DamagedImageError, match=r"data are missing|Corrupt JPEG data"):
            prepare(data, SPEC)


def test_a_large_hole_in_a_progressive_file_is_refused() -> None:
    whole = encoded(GRAINY, "JPEG", quality=90, progressive=True)
    found = [refused(data) for data in holed(whole, 4096)]
    assert sum(found) > 0.8 * len(found)


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_a_progressive_file_that_lacks_a_scan_is_refused(kind: str) -> None:
    whole = encoded(GRAINY if kind == "grey" else COLOUR, "JPEG", quality=90, progressive=True)
    scans = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for at in scans[1:]:
        assert refused(whole[:at] + jpeg.END)
    for size in (None, SPEC.shape):
        assert decode(whole, name="x", at_least=size).pixels.any()


def test_a_whole_progressive_file_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """libjpeg is silent and all scans are there: no second look, which would take twice as long."""
    asked: list[int] = []
    monkeypatch.setattr(raster, "_interrupted", lambda *_, **__: asked.append(1))
    whole = encoded(GRAINY, "JPEG", quality=90, progressive=True)
    assert decode(whole, name="x").pixels.shape == GRAINY.shape
    colour = encoded(COLOUR, "JPEG", quality=90, progressive=True)
    assert prepare(colour, SPEC).shape == SPEC.shape
    assert asked == []


def test_a_thumbnail_counts_as_no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(raster, "_interrupted")
    whole = WHOLE["grey"]
    small = encoded(GRAINY[::8, ::8], "JPEG", quality=50)
    segment = b"\xff\xed" + (len(small) + 2).to_bytes(2, "big") + small
    np.testing.assert_array_equal(
        decode(whole[:2] + segment + whole[2:], name="x").pixels, decode(whole, name="x").pixels
    )


@pytest.mark.parametrize("what", ["extended", "lossless, 12 bits", "lossless, 16 bits"])
def test_a_hole_in_more_than_8_bits_is_refused(what: str) -> None:
    wide = deep(GRAINY) + np.random.default_rng(3).integers(0, 9, GRAINY.shape).astype(np.uint16)
    wide = np.minimum(wide, 4095).astype(np.uint16)
    frame = {
        "extended": bytes(imagecodecs.jpeg8_encode(wide, level=95, bitspersample=12)),
        "lossless, 12 bits": lossless(wide, 12),
        "lossless, 16 bits": lossless(wide, 16),
    }[what]
    syntax = EXTENDED if what == "extended" else LOSSLESS
    assert not refused(made(wide, 12, syntax=syntax, frame=frame))
    for number, data in enumerate(holed(frame, 1024)):
        assert refused(made(wide, 12, syntax=syntax, frame=data)), number


@pytest.mark.parametrize("what", [*sorted(WHOLE), "restarts"])
def test_bytes_that_pad_a_whole_image_are_harmless(what: str) -> None:
    whole = WHOLE.get(what, RESTARTS)
    pixels, shown = decode(whole, name="x").pixels, prepare(whole, SPEC)
    for padding in (b"\0", bytes(100), b"\xff\xff\xff", b"\x7f", b"\x12\x34", b"\x55" * 9):
        data = whole[:-2] + padding + jpeg.END
        np.testing.assert_array_equal(decode(data, name="x").pixels, pixels)
        np.testing.assert_array_equal(prepare(data, SPEC), shown)
        assert not refused(frame_of(data))


@pytest.mark.parametrize("what", [*sorted(WHOLE), "restarts"])
def test_data_behind_the_last_row_are_damage(what: str) -> None:
    whole = WHOLE.get(what, RESTARTS)
    data = whole[:-2] + whole[-400:]
    with pytest.raises(DamagedImageError, match=r"film\.jpg: damaged JPEG \(it has more data"):
        decode(data, name="film.jpg")
    with pytest.raises(DamagedImageError, match="more data than its rows need"):
        decode(frame_of(data), name="film.dcm")


def test_what_stands_behind_the_end_of_an_image_is_no_part_of_it() -> None:
    whole = WHOLE["grey"]
    pixels = decode(whole, name="x").pixels
    for behind in (bytes(3000), whole, whole[: len(whole) // 2], b"\xff\xd9" * 3, b"x" * 10**6):
        np.testing.assert_array_equal(decode(whole + behind, name="x").pixels, pixels)


def test_arithmetic_decoding_is_not_interrupted() -> None:
    header = jpeg.read_header(WHOLE["grey"])
    assert header is not None
    assert pause(WHOLE["grey"], header) == len(WHOLE["grey"]) - 3
    assert pause(WHOLE["grey"], header._replace(process=9)) == len(WHOLE["grey"])

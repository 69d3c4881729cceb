"""JPEG, PNG and TIFF in the variants that scanners and programs write."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from PIL import Image

from helpers.files import encoded, png, png_header, tiff
from helpers.hostile import NOISE
from pneumoscope.errors import ImageTooLargeError, UnsupportedImageError
from pneumoscope.images.prepare import InputSpec, prepare, to_input
from pneumoscope.images.radiograph import check_size
from pneumoscope.images.read import decode, probe

RAMP = np.tile(np.arange(240, dtype=np.uint8), (200, 1))
WIDE = RAMP.astype(np.uint16) * 17  # at most 4063: 12 bits


def wide_png(pixels: np.ndarray, *, declared: int | None = None) -> bytes:
    """Return a 16-bit grey PNG with a significant-bits chunk."""
    rows = np.concatenate(
        [np.zeros((len(pixels), 1), np.uint8), pixels.astype(">u2").view(np.uint8)], axis=1
    )
    header = png_header(pixels.shape[1], pixels.shape[0], bits=16)
    bits = [(b"sBIT", bytes([declared]))] if declared else []
    return png((b"IHDR", header), *bits, (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("pixels", [RAMP, WIDE])
def test_grey_tiff_is_unchanged(pixels: np.ndarray, compression: str | None) -> None:
    radiograph = decode(encoded(pixels, "TIFF", compression=compression), name="x")
    np.testing.assert_array_equal(radiograph.pixels, pixels)
    assert radiograph.meta.format == "TIFF"
    assert radiograph.pixels.dtype == pixels.dtype


def test_big_endian_tiff_is_read_in_the_machines_order() -> None:
    little = tiff(WIDE)
    count = int.from_bytes(little[8:10], "little")
    table = np.frombuffer(little[10 : 10 + 12 * count], np.uint8).reshape(count, 12)
    turned = b"".join(_big(bytes(entry)) for entry in table)
    data = b"MM\0*\0\0\0\x08" + count.to_bytes(2, "big") + turned + bytes(4)
    data += bytes(len(little) - WIDE.nbytes - len(data)) + WIDE.astype(">u2").tobytes()
    np.testing.assert_array_equal(decode(data, name="x").pixels, WIDE)


def _big(entry: bytes) -> bytes:
    tag, kind = entry[1::-1], entry[3:1:-1]
    short = entry[2] == 3
    value = entry[9:7:-1] + b"\0\0" if short else entry[11:7:-1]
    return tag + kind + entry[7:3:-1] + value


def test_colour_palette_and_bilevel_tiff() -> None:
    image = Image.fromarray(RAMP)
    for mode in ("RGB", "P"):
        found = decode(encoded(image.convert(mode), "TIFF"), name="x").pixels
        np.testing.assert_array_equal(found, RAMP)
    found = decode(encoded(image.convert("1"), "TIFF", compression="group4"), name="x").pixels
    assert set(np.unique(found)) == {0, 255}


@pytest.mark.parametrize("pixels", [RAMP, WIDE])
def test_a_negative_is_turned_positive(pixels: np.ndarray) -> None:
    white = 255 if pixels.dtype == np.uint8 else 4095
    found = decode(tiff(pixels, white_is_zero=True), name="x").pixels
    np.testing.assert_array_equal(found, white - pixels)


def test_several_pages_are_refused() -> None:
    pages = [Image.fromarray(RAMP)] * 2
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(UnsupportedImageError, match="several pages"):
        probe(data, name="x")


def test_floats_are_stretched_and_what_is_no_number_is_refused() -> None:
    values = (RAMP.astype(np.float32) - 30) / 1000
    found = decode(tiff(values), name="x")
    np.testing.assert_allclose(found.pixels / 65535, RAMP / 239, atol=1e-4)
    values[0, 0] = np.nan
    with pytest.raises(UnsupportedImageError, match="NaN"):
        decode(tiff(values), name="x")


def test_signed_tiff_is_stretched() -> None:
    found = decode(tiff(WIDE.astype(np.int16) - 1000), name="x")
    np.testing.assert_allclose(found.pixels / 65535, WIDE / WIDE.max(), atol=1e-4)


@pytest.mark.parametrize("tag", ["t_281", "t_341"])
def test_the_largest_value_that_a_tiff_declares_is_its_white(tag: str) -> None:
    dark = WIDE // 8  # 507: 10 bits would hold it
    plain = prepare(tiff(dark), InputSpec(32, 32))
    declared = prepare(tiff(dark, white_is_zero=False, **{tag: 4095}), InputSpec(32, 32))
    assert declared.max() == pytest.approx(255 * 507 / 4095, abs=2)
    assert plain.max() == pytest.approx(255, abs=8)  # less than half of 10 bits: their own range


@pytest.mark.parametrize(
    ("largest", "declared", "bits"),
    [(4000, None, None), (4000, 12, 12), (900, 12, 12), (60000, 12, None), (900, 16, None)],
)
def test_the_depth_that_a_png_declares_is_believed_where_the_pixels_keep_it(
    largest: int, declared: int | None, bits: int | None
) -> None:
    pixels = np.linspace(0, largest, 400).astype(np.uint16).reshape(20, 20)
    radiograph = decode(wide_png(pixels, declared=declared), name="x")
    np.testing.assert_array_equal(radiograph.pixels, pixels)
    assert radiograph.bits == bits


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_a_colour_keep_all_their_bits(form: str) -> None:
    colours = np.stack([WIDE, WIDE[:, ::-1], WIDE // 2], axis=2)
    data = rgb16_png(colours) if form == "PNG" else rgb16_tiff(colours)
    found = decode(data, name="x").pixels
    expected = colours @ np.array([0.299, 0.587, 0.114])
    assert found.dtype == np.uint16
    np.testing.assert_allclose(found, expected, atol=1)


def rgb16_png(colours: np.ndarray) -> bytes:
    height, width, _ = colours.shape
    flat = colours.astype(">u2").reshape(height, -1).view(np.uint8)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), flat], axis=1)
    header = png_header(width, height, bits=16, colour=2)
    return png((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))


def rgb16_tiff(colours: np.ndarray) -> bytes:
    # BitsPerSample needs three values, which lie behind the table: one entry points to them.
    data = bytearray(tiff(colours[:, :, 0], t_262=2, t_277=3, t_284=1))
    head = len(data) - colours[:, :, 0].nbytes
    bits = (16).to_bytes(2, "little") * 3 + b"\0\0"
    for tag, kind, count, value in ((258, 3, 3, head), (279, 4, 1, colours.nbytes)):
        at = data.index(tag.to_bytes(2, "little") + (4 if tag == 279 else 3).to_bytes(2, "little"))
        data[at + 2 : at + 12] = (
            kind.to_bytes(2, "little") + count.to_bytes(4, "little") + value.to_bytes(4, "little")
        )
    at = data.index((273).to_bytes(2, "little") + b"\x04\0\1\0\0\0")
    data[at + 8 : at + 12] = (head + 8).to_bytes(4, "little")
    return bytes(data[:head]) + bits + colours.astype("<u2").tobytes()


def test_inverted_cmyk_of_adobe_comes_out_right() -> None:
    image = Image.fromarray(RAMP).convert("CMYK")
    found = decode(encoded(image, "JPEG", quality=95), name="x").pixels
    assert np.abs(found.astype(int) - RAMP).mean() < 3


def test_an_animated_png_is_its_still_image() -> None:
    frames = [Image.fromarray(np.roll(NOISE, step, axis=1)) for step in range(3)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(data, name="x").pixels, NOISE)


def test_strips_give_the_resize_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (331, 257), dtype=np.uint16)
    whole = to_input(pixels, InputSpec(64, 80))
    scaled = Image.fromarray(pixels.astype(np.float32) * np.float32(255 / 65535))
    at_once = np.asarray(scaled.resize((80, 64), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(whole, np.clip(np.rint(at_once), 0, 255).astype(np.uint8))
    monkeypatch.setattr("pneumoscope.images.prepare._STRIP_VALUES", 1000)
    np.testing.assert_array_equal(to_input(pixels, InputSpec(64, 80)), whole)


def test_a_colour_image_may_be_less_large_than_a_grey_one() -> None:
    check_size(9_000, 9_000, name="x")
    with pytest.raises(ImageTooLargeError, match="40,000,000"):
        check_size(9_000, 9_000, name="x", bytes_per_pixel=4)

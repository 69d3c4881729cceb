"""Any bytes give pixels or one typed error."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pneumoscope.errors import (
    DamagedImageError,
    EmptyImageError,
    ImageError,
    ImageTooLargeError,
    NotAnImageError,
)
from pneumoscope.images.read import decode, probe, read_bytes

RAMP = np.tile(np.arange(0, 240, dtype=np.uint8), (200, 1))


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_grey_png_comes_back_unchanged() -> None:
    radiograph = decode(encoded(Image.fromarray(RAMP)), name="x")
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert (radiograph.meta.width, radiograph.meta.height) == (240, 200)
    assert (radiograph.meta.mode, radiograph.meta.format) == ("L", "PNG")


def test_colour_becomes_luma() -> None:
    colours = np.zeros((1, 3, 3), np.uint8)
    colours[0] = 255 * np.eye(3)
    grey = decode(encoded(Image.fromarray(colours)), name="x").pixels
    np.testing.assert_allclose(grey[0], [0.299 * 255, 0.587 * 255, 0.114 * 255], atol=1)


def test_palette_and_bilevel_images_are_read() -> None:
    image = Image.fromarray(RAMP)
    palette = decode(encoded(image.convert("P")), name="x").pixels
    np.testing.assert_array_equal(palette, RAMP)
    bilevel = decode(encoded(image.convert("1")), name="x").pixels
    assert set(np.unique(bilevel)) == {0, 255}


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_lies_over_black(mode: str) -> None:
    image = Image.fromarray(RAMP).convert(mode)
    image.putalpha(Image.fromarray(np.where(RAMP < 100, 0, 255).astype(np.uint8)))
    grey = decode(encoded(image), name="x").pixels
    np.testing.assert_array_equal(grey, np.where(RAMP < 100, 0, RAMP))


def test_sixteen_bit_grey_stays_sixteen_bit() -> None:
    pixels = (RAMP.astype(np.uint16) * 200).copy()
    radiograph = decode(encoded(Image.fromarray(pixels)), name="x")
    assert radiograph.pixels.dtype == np.uint16
    np.testing.assert_array_equal(radiograph.pixels, pixels)


def test_a_scaled_decode_is_never_below_what_is_needed() -> None:
    image = Image.fromarray(np.tile(RAMP, (8, 8)))  # 1920 x 1600
    data = encoded(image, "JPEG")
    pixels = decode(data, name="x", at_least=(224, 224)).pixels
    assert pixels.shape == (400, 480)
    assert decode(data, name="x").pixels.shape == (1600, 1920)
    full = np.asarray(image.resize((480, 400), Image.Resampling.BOX), float)
    assert np.abs(pixels - full).mean() < 1


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_pillow_does(
    form: str, order: str, orientation: int
) -> None:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    other = struct.pack(f"{order}HHIHH", 0x0100, 3, 1, 240, 0)
    directory = struct.pack(f"{order}IH", 8, 2) + other + entry + bytes(4)
    data = encoded(Image.fromarray(RAMP), form, exif=b"Exif\0\0" + mark + directory)
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[0x0112] == orientation
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(decode(data, name="x").pixels, expected)


def test_a_scaled_decode_of_a_turned_image_is_never_below_what_is_needed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side
    data = encoded(Image.fromarray(np.tile(RAMP, (8, 2))), "JPEG", exif=exif)  # 480 x 1600
    # Half the size would be 240 rows of 800 columns once it is upright.
    assert decode(data, name="x", at_least=(300, 200)).pixels.shape == (480, 1600)
    assert decode(data, name="x", at_least=(200, 300)).pixels.shape == (240, 800)


@given(st.binary(max_size=80), st.sampled_from([b"II*\0", b"MM\0*", b""]))
def test_damaged_exif_leaves_the_image_readable(tail: bytes, mark: bytes) -> None:
    data = encoded(Image.fromarray(RAMP[:8, :8]), "JPEG", exif=b"Exif\0\0" + mark + tail)
    assert decode(data, name="x").pixels.shape == (8, 8)


def test_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpeg"
    path.write_bytes(encoded(Image.fromarray(RAMP)))
    assert probe(read_bytes(path), name="x").format == "PNG"


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (b"", EmptyImageError, "empty"),
        (b"This is a letter, not an image.", NotAnImageError, "text file"),
        (b"II*\0" + bytes(40), DamagedImageError, "TIFF"),
        (b"GIF89a" + bytes(40), DamagedImageError, "GIF"),
        (b"RIFF....WEBPVP8 ", DamagedImageError, "WebP"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", DamagedImageError, "JPEG 2000"),
        (b"BM is how this letter begins.", NotAnImageError, "text file"),
        (b"%PDF-1.7\n%\xe2\xe3", NotAnImageError, "export the radiograph"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", NotAnImageError, "HEIC or AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", NotAnImageError, "video"),
        (b"\xff\x0a" + bytes(40), NotAnImageError, "JPEG XL"),
        (b"\x5c\x01\0\0" + bytes(40), NotAnImageError, "NIfTI"),
        (b"PK\x03\x04" + bytes(40), NotAnImageError, "unpack it"),
        (b"\x00\x01\x02" * 20, NotAnImageError, "not a supported image format"),
        (b"\xff\xd8\xff" + bytes(40), DamagedImageError, "header is damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), DamagedImageError, "damaged"),
    ],
)
def test_a_file_that_is_none_says_what_it_is(
    tmp_path: Path, content: bytes, error: type[ImageError], says: str
) -> None:
    path = tmp_path / "x.jpeg"
    path.write_bytes(content)
    with pytest.raises(error, match=says) as caught:
        decode(read_bytes(path), name=str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_truncated_file_is_an_error(form: str, tenth: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), form)
    with pytest.raises(DamagedImageError, match="damaged"):
        decode(data[: len(data) * tenth // 10], name="x")


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    size = struct.pack(">II", 30_000, 30_000) + b"\x08\0\0\0\0"
    data = b"\x89PNG\r\n\x1a\n"
    for chunk in (b"IHDR" + size, b"IDAT" + zlib.compress(bytes(1000))):
        data += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(ImageTooLargeError, match="30,000 x 30,000"):
        probe(data, name="x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpeg")
    with pytest.raises(ImageError, match="not a regular file"):
        read_bytes(tmp_path / "pipe.jpeg")


def test_missing_files_folders_and_odd_names_are_image_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path, tmp_path / "a\0b", tmp_path / ("n" * 300)):
        with pytest.raises(ImageError):
            read_bytes(path)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"]))
def test_any_bytes_give_an_image_or_an_image_error(data: bytes, start: bytes) -> None:
    with contextlib.suppress(ImageError):
        decode(start + data, name="x", at_least=(32, 32))


_JPEG = encoded(Image.fromarray(RAMP), "JPEG")
_PNG = encoded(Image.fromarray(RAMP))


@given(st.sampled_from([_JPEG, _PNG]), st.integers(0, 2000), st.binary(min_size=1, max_size=8))
def test_a_file_with_flipped_bytes_gives_an_image_or_an_image_error(
    data: bytes, position: int, patch: bytes
) -> None:
    position %= len(data)
    with contextlib.suppress(ImageError):
        decode(data[:position] + patch + data[position + len(patch) :], name="x")

"""Images passed in Python are read like files, or give an error with a solution."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.files import dicom_data_set, encoded
from pneumoscope.data.phantom import render
from pneumoscope.errors import DamagedImageError, ImageError, ImageTooLargeError, OptionError
from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.images.sources import Decoded, Pixels, resolve
from pneumoscope.reader.preprocess import load_image, native

PICTURE = render("NORMAL", patient_seed=3, size_px=(230, 250)).pixels
WIDE = np.rint(PICTURE / 255 * 4095).astype(np.uint16)
COLOUR = np.stack([PICTURE, PICTURE // 2, PICTURE // 4], axis=2)
SPEC = InputSpec(64, 64)


class _Tensor:
    """What has no type of numpy's but turns into an array."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._array


class _OnGpu:
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("can't convert device tensor to numpy")


class _Path:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)


def test_files_in_every_wrapping(tmp_path: Path) -> None:
    data = encoded(PICTURE)
    path = tmp_path / "x.png"
    path.write_bytes(data)
    expected = prepare(path, SPEC)
    behind = io.BytesIO(b"head" + data)
    behind.seek(4)
    sources: list[Any] = [str(path), _Path(path), data, bytearray(data), memoryview(data), behind]
    for source in sources:
        np.testing.assert_array_equal(prepare(source, SPEC), expected)
    with path.open("rb") as file:
        np.testing.assert_array_equal(load_image(file, SPEC).pixels, expected)
    with pytest.raises(ImageError, match="empty"):
        prepare(behind, SPEC)  # it was read to its end


@pytest.mark.parametrize(
    "source",
    [
        PICTURE[None],
        PICTURE[:, :, None],
        PICTURE[None, None],
        np.asfortranarray(PICTURE),
        np.stack([PICTURE] * 3, 2),
        np.stack([PICTURE] * 3, 2)[None],
        np.stack([PICTURE, PICTURE, PICTURE, np.full_like(PICTURE, 255)], 2),
        PICTURE.data,
        _Tensor(PICTURE),
        Pixels(PICTURE / 255, (0, 1)),
        Pixels(_Tensor(PICTURE.astype(np.int16) - 1000), value_range=(-1000, -745)),
        Pixels(np.stack([PICTURE] * 3, 2) / 255, (0, 1)),
        *[Image.fromarray(PICTURE).convert(mode) for mode in ("L", "RGB", "RGBA", "LA", "I", "P")],
        *[Image.fromarray(PICTURE).convert("RGB").convert(mode) for mode in ("RGBX", "HSV")],
    ],
)
def test_pixels_in_every_form(source: Any) -> None:
    np.testing.assert_allclose(prepare(source, SPEC), prepare(PICTURE, SPEC), atol=1)
    taken = load_image(source, SPEC)
    assert (taken.shape.width, taken.shape.height) == (250, 230)
    assert taken.shape.chroma == 0
    assert native(source).shape == (230, 250)


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<i2", ">i4", "u4", "i8", "u8"])
def test_any_byte_order_and_width_is_read_where_the_values_fit(kind: str) -> None:
    source = WIDE.astype(kind)
    np.testing.assert_array_equal(prepare(source, SPEC), prepare(WIDE, SPEC))
    assert native(source).dtype == np.uint16


def test_bilevel_pixels_are_read_as_a_bilevel_file_is() -> None:
    mask = PICTURE > 100
    np.testing.assert_array_equal(prepare(mask, SPEC), prepare(encoded(mask), SPEC))


@pytest.mark.parametrize("scale", [1, 16, 257])
def test_colour_counts_for_the_gate_as_in_a_file(scale: int) -> None:
    file = load_image(encoded(COLOUR), SPEC)
    wide = COLOUR if scale == 1 else COLOUR.astype(np.uint16) * scale
    for source in (wide, Image.fromarray(COLOUR)):
        found = load_image(source, SPEC)
        assert found.shape.chroma == pytest.approx(file.shape.chroma, rel=0.1)
    if scale == 1:
        np.testing.assert_allclose(load_image(wide, SPEC).pixels, file.pixels, atol=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pillow_image_is_turned_as_its_file_is(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for form in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if form == "WEBP" else {}
        data = encoded(Image.fromarray(PICTURE), form, exif=exif, **options)
        with Image.open(io.BytesIO(data)) as image:
            np.testing.assert_array_equal(prepare(image, SPEC), prepare(data, SPEC))


def test_transparency_lies_over_black() -> None:
    alpha = np.where(PICTURE > 100, 255, 0).astype(np.uint8)
    clear = np.stack([PICTURE, PICTURE, PICTURE, alpha], 2)
    expected = prepare(np.where(alpha, PICTURE, 0).astype(np.uint8), SPEC)
    wide = clear.astype(np.uint16) * 257
    for source in (clear, wide, Image.fromarray(clear), encoded(clear)):
        np.testing.assert_allclose(prepare(source, SPEC), expected, atol=1)


def test_a_stated_range_holds_whatever_the_values_are() -> None:
    half = Pixels(np.full((20, 20), 0.25, np.float32), (0.0, 0.5))
    assert prepare(half, InputSpec(8, 8)).max() == 128
    found = resolve(half)
    assert isinstance(found, Decoded)
    assert found.bits == 16
    clipped = Pixels(np.array([[-0.1, 0.5], [0.5, 1.1]]), (0, 1))
    assert native(clipped).tolist() == [[0, 32768], [32768, 65535]]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "NoneType"),
        (7, "got int"),
        ([[1, 2]], "numpy.asarray"),
        ({"a": 1}, "got dict"),
        (io.StringIO("text"), "binary mode"),
        (_OnGpu(), "give a numpy array"),
        (dicom_data_set(PICTURE), "bytes of the DICOM file"),
        (PICTURE / 255, r"value_range=\(0, 1\)"),
        (WIDE.astype(np.int16) - 1024, "subtract the minimum"),
        (WIDE.astype(np.int32) * 100, "do not fit into 16 bits"),
        (PICTURE.astype(complex), "astype"),
        (np.array([["a", "b"]]), "astype"),
        (np.array([[None]]), "astype"),
        (np.zeros((3, 40, 40), np.uint8), "moveaxis"),
        (np.zeros((5, 40, 40), np.uint8), "one by one"),
        (np.zeros((40, 40, 2), np.uint8), "height, width"),
        (np.zeros((0, 4), np.uint8), "no pixels"),
        (np.frombuffer(encoded(PICTURE), np.uint8), "tobytes"),
        (np.uint8(3), "height, width"),
        (Pixels(np.full((4, 4), np.nan), (0, 1)), "NaN"),
        (Pixels(PICTURE, (0, 1)), "do not fit the value_range"),
        (Image.new("L", (0, 5)), "is empty"),
        (Image.new("LAB", (5, 5)), "LAB"),
    ],
)
def test_what_is_not_read_names_the_way_out(source: Any, says: str) -> None:
    for read in (lambda: prepare(source, SPEC), lambda: load_image(source, SPEC)):
        if hasattr(source, "seek"):
            source.seek(0)
        with pytest.raises(ImageError, match=says):
            read()


def test_closed_and_write_only_files_are_image_errors(tmp_path: Path) -> None:
    closed = io.BytesIO(encoded(PICTURE))
    closed.close()
    with pytest.raises(ImageError, match="cannot be read"):
        prepare(closed, SPEC)
    with (tmp_path / "x").open("wb") as file, pytest.raises(ImageError, match="cannot be read"):
        prepare(file, SPEC)


def test_a_file_object_is_named_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    path.write_bytes(encoded(PICTURE)[:900])
    with path.open("rb") as file, pytest.raises(DamagedImageError, match=r"cut\.png"):
        prepare(file, SPEC)
    with Image.open(path) as image, pytest.raises(DamagedImageError, match="truncated"):
        prepare(image, SPEC)


def test_too_many_pixels_are_refused_without_a_copy() -> None:
    endless = np.broadcast_to(np.uint8(3), (20_000, 20_000))
    with pytest.raises(ImageTooLargeError):
        prepare(endless, SPEC)


@pytest.mark.parametrize("value_range", [(1, 0), (0, 0), (0, np.inf), (0,), None, "ab", (0, "b")])
def test_a_range_that_cannot_be_is_an_option_error(value_range: Any) -> None:
    with pytest.raises(OptionError, match="value_range"):
        Pixels(PICTURE, value_range)


def test_the_array_of_the_caller_is_not_changed() -> None:
    for given in (PICTURE.copy(), COLOUR.copy(), WIDE.astype(">u2")):
        before = given.copy()
        prepare(given, SPEC)
        np.testing.assert_array_equal(given, before)


def test_a_path_of_bytes_like_objects_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(encoded(PICTURE))
    with os.scandir(tmp_path) as entries:
        (entry,) = list(entries)
    assert prepare(entry, SPEC).shape == (64, 64)

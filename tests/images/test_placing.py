"""Stretching, padding and cropping: the part of an image in the input, and its position."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.errors import OptionError
from pneumoscope.images.prepare import InputSpec, placing, prepare
from pneumoscope.reader.evidence import over_whole_image


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_padding_keeps_the_shape_of_things(dtype: type[Any]) -> None:
    image: NDArray[Any] = np.full((100, 200), 200, dtype)
    padded = prepare(image, InputSpec(64, 64, "pad"))
    assert padded.shape == (64, 64)
    assert (padded[:16] == 0).all()
    assert (padded[48:] == 0).all()
    assert (padded[16:48] >= 200).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cropping_takes_the_middle(dtype: type[Any]) -> None:
    image: NDArray[Any] = np.zeros((100, 300), dtype)
    image[:, 100:200] = 255
    cropped = prepare(image, InputSpec(50, 50, "crop"))
    assert cropped.shape == (50, 50)
    assert (cropped == 255).all()


def test_stretching_is_what_it_was() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((32, 48), Image.Resampling.BILINEAR))
    assert np.array_equal(prepare(image, InputSpec(48, 32)), expected)


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_a_file_and_its_array_give_nearly_the_same(resize: str, tmp_path: Path) -> None:
    rows, columns = np.mgrid[:400, :900]
    image = ((rows / 400 + columns / 900) * 127).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.jpeg", quality=95)
    Image.fromarray(image).save(tmp_path / "a.png")
    spec = InputSpec(64, 64, resize)
    array = prepare(image, spec).astype(int)
    assert np.array_equal(prepare(tmp_path / "a.png", spec), array)
    assert np.abs(prepare(tmp_path / "a.jpeg", spec) - array).max() <= 6


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2)])
@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_odd_sizes_come_out_right(size: tuple[int, int], resize: str) -> None:
    buffer = io.BytesIO()
    Image.new("L", size, 90).save(buffer, "PNG")
    assert prepare(buffer.getvalue(), InputSpec(16, 24, resize)).shape == (16, 24)


def test_evidence_goes_back_to_where_it_came_from() -> None:
    shape = (100, 300)
    spec = InputSpec(64, 64, "crop")
    whole = over_whole_image(np.ones((7, 7), np.float32), spec, shape)
    height, width = whole.shape
    assert width == pytest.approx(3 * height, abs=2)
    assert (whole[:, : width // 3 - 1] == 0).all()
    assert (whole[:, width // 3 + 1 : 2 * width // 3 - 1] == 1).all()
    marked = np.zeros((8, 8), np.float32)
    marked[4, 0] = 1
    padded = over_whole_image(marked, InputSpec(64, 64, "pad"), shape)
    row, column = np.unravel_index(padded.argmax(), padded.shape)
    assert row > padded.shape[0] / 2
    assert column < padded.shape[1] / 8
    same = over_whole_image(marked, InputSpec(64, 64), shape)
    assert same is marked


def test_the_middle_of_an_image_stays_the_middle() -> None:
    for resize in ("stretch", "pad", "crop"):
        place = placing(InputSpec(64, 32, resize), 501, 333)
        x = place.left + place.width / 2
        y = place.top + place.height / 2
        assert x == pytest.approx(250.5, abs=1)
        assert y == pytest.approx(166.5, abs=1)


def test_a_wrong_policy_is_named() -> None:
    with pytest.raises(OptionError, match="Did you mean 'crop'"):
        InputSpec(64, 64, "crob")

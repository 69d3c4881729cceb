"""The one pixel path."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pneumoscope.data.phantom import render
from pneumoscope.errors import OptionError
from pneumoscope.images.prepare import InputSpec, prepare

SPEC = InputSpec(64, 48)


def as_file(pixels: np.ndarray, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **({"quality": 95} if form == "JPEG" else {}))
    return file.getvalue()


def test_path_bytes_and_array_give_the_same_input(tmp_path: Path) -> None:
    pixels = render("PNEUMONIA", patient_seed=1, size_px=(300, 260)).pixels
    path = tmp_path / "x.png"
    path.write_bytes(as_file(pixels, "PNG"))
    expected = prepare(pixels, SPEC)
    assert expected.shape == (64, 48)
    assert expected.dtype == np.uint8
    for source in (path, str(path), path.read_bytes()):
        np.testing.assert_array_equal(prepare(source, SPEC), expected)


def test_it_is_deterministic() -> None:
    data = as_file(render("NORMAL", patient_seed=2, size_px=(500, 600)).pixels, "JPEG")
    np.testing.assert_array_equal(prepare(data, SPEC), prepare(data, SPEC))


def test_a_scaled_decode_differs_little_from_a_full_one() -> None:
    pixels = render("PNEUMONIA", patient_seed=3).pixels
    from_jpeg = prepare(as_file(pixels, "JPEG"), InputSpec()).astype(float)
    from_array = prepare(pixels, InputSpec()).astype(float)
    assert np.abs(from_jpeg - from_array).mean() < 1.5


def test_an_image_of_the_right_size_is_not_touched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, SPEC.shape, dtype=np.uint8)
    np.testing.assert_array_equal(prepare(pixels, SPEC), pixels)


@pytest.mark.parametrize(("bits", "largest"), [(8, 255), (10, 1023), (12, 4095), (16, 65535)])
def test_sixteen_bit_pixels_are_scaled_by_the_depth_that_they_use(bits: int, largest: int) -> None:
    ramp = np.linspace(0, largest, SPEC.shape[1]).round().astype(np.uint16)
    found = prepare(np.tile(ramp, (SPEC.shape[0], 1)), SPEC)
    np.testing.assert_allclose(found[0], np.linspace(0, 255, SPEC.shape[1]), atol=0.6)


def test_eight_bits_stored_in_sixteen_read_as_eight() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, SPEC.shape, dtype=np.uint8)
    pixels[0, 0] = 255
    np.testing.assert_array_equal(prepare(pixels.astype(np.uint16) * 257, SPEC), pixels)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 255))
def test_any_size_gives_the_same_grey(height: int, width: int, grey: int) -> None:
    found = prepare(np.full((height, width), grey, np.uint8), InputSpec(16, 16))
    assert (found == grey).all()


def test_a_specification_survives_its_dictionary() -> None:
    assert InputSpec.from_dict(SPEC.to_dict()) == SPEC


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"height_px": 4}, "height_px"),
        ({"width_px": 1.5}, "width_px"),
        ({"resize": "strech"}, "Did you mean 'stretch'"),
        ({"heigth_px": 32}, "Did you mean 'height_px'"),
    ],
)
def test_wrong_values_name_the_way_out(values: dict[str, object], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        InputSpec.from_dict(values)

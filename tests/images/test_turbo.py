"""The decoder that reports libjpeg's warnings gives Pillow's pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from helpers.files import encoded
from pneumoscope.data.phantom import render
from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.images.turbo import grey

PICTURE = render("NORMAL", patient_seed=4, size_px=(403, 517)).pixels
COLOUR = np.stack([PICTURE, PICTURE // 2, 255 - PICTURE], 2)
FILES = {
    "grey": encoded(PICTURE, "JPEG", quality=90),
    "restarts": encoded(PICTURE, "JPEG", quality=90, restart_marker_rows=1),
    "progressive": encoded(PICTURE, "JPEG", quality=90, progressive=True),
    "colour": encoded(COLOUR, "JPEG", quality=90),
    "colour 4:4:4": encoded(COLOUR, "JPEG", quality=90, subsampling=0),
}


@pytest.mark.parametrize("what", sorted(FILES))
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_pixels_are_those_of_pillow(what: str, scale: int) -> None:
    image = Image.open(io.BytesIO(FILES[what]))
    image.draft("L", (image.width // scale, image.height // scale))
    expected = np.asarray(image)
    found = grey(FILES[what], (-(-403 // scale), -(-517 // scale)))
    assert found.warning == ""
    assert found.pixels is not None
    np.testing.assert_array_equal(found.pixels, expected)


@pytest.mark.parametrize("what", sorted(FILES))
@pytest.mark.parametrize("side", [40, 100, 224, 600])
def test_model_input_is_that_of_a_pillow_draft(what: str, side: int) -> None:
    image = Image.open(io.BytesIO(FILES[what]))
    image.draft("L", (side, side))
    small = image.convert("L").resize((side, side), Image.Resampling.BILINEAR)
    found = prepare(FILES[what], InputSpec(side, side))
    np.testing.assert_array_equal(found, np.asarray(small))


def test_warnings_are_told_apart() -> None:
    whole = FILES["grey"]
    holed = grey(whole[:9000] + bytes(500) + whole[9500:], (403, 517))
    assert (holed.pixels, holed.damaged) == (None, True)
    assert "Corrupt JPEG data" in holed.warning
    for other in (whole[:-2] + bytes(9) + whole[-2:], whole[:-2]):
        heard = grey(other, (403, 517))
        assert not heard.damaged

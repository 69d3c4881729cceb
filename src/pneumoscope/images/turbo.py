"""Decode grey 8-bit JPEG with libjpeg-turbo, including its warnings.

libjpeg continues at damaged data and only counts a warning, which Pillow does not report.
simplejpeg raises an error instead, and decodes the same pixels slightly faster than Pillow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from simplejpeg import decode_jpeg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HARMLESS = "extraneous bytes before marker"  # also caused by padding
_CORRUPT = "Corrupt JPEG data"


class GreyJpeg(NamedTuple):
    """The warnings of libjpeg about an image.

    Attributes:
        pixels: uint8 [rows, columns]; None if there was a warning.
        damaged: Whether the warning is only given for damaged data. Other warnings, such as of
            bytes after the data or a missing end, need further checks.
        warning: Text of the warning.
    """

    pixels: NDArray[np.uint8] | None
    damaged: bool = False
    warning: str = ""


def grey(data: bytes, size: tuple[int, int]) -> GreyJpeg:
    """Return the luma of an 8-bit JPEG of one or three components.

    Args:
        data: The file.
        size: (rows, columns) of the result: those of the image, or a half, a quarter or an eighth
            of them, rounded up.
    """
    try:
        pixels: NDArray[Any] = decode_jpeg(data, "GRAY", min_height=size[0], min_width=size[1])
    except ValueError as fault:
        message = str(fault)
        return GreyJpeg(None, _CORRUPT in message and _HARMLESS not in message, message)
    return GreyJpeg(pixels[..., 0]) if pixels.shape[:2] == size else GreyJpeg(None)

"""The range between black and white of an image that does not declare it.

A few extreme pixels, such as detector defects, burnt-in letters or a pixel written into a corner,
do not affect it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.images.radiograph import usual_depth

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAMPLE = 2**18
"""Approximate number of pixels in a sample."""

_SHARE = 0.02  # of the pixels at each end may be outliers: letters cover over 1 %
_SLACK = 0.5  # share of the range of the others: values farther away are extreme
_EVEN = 0.01  # share of the whole range: a row or column that spans less is a border
_STRAY = 0.02  # share of the pixels of a border that may differ
_THICKEST = 0.3  # share of a side
_LEAST = 32  # levels; with fewer, the contrast is not stretched


def sample_of(pixels: NDArray[Any], excluded: NDArray[np.bool_] | None = None) -> NDArray[Any]:
    """Return a sample of pixels, [n]: evenly spaced, without excluded ones and uniform borders.

    Args:
        pixels: Grey pixels [height, width].
        excluded: Mask of pixels without anatomy; the same shape.
    """
    step = max(1, int(np.sqrt(pixels.size / _SAMPLE)))
    few = pixels[::step, ::step]
    if excluded is not None:
        left = few[~excluded[::step, ::step]]
        return left if left.size else few.ravel()
    return _without_border(few).ravel()


def _without_border(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the image without uniform rows and columns at the edges."""
    low, high = np.quantile(pixels, (_SHARE, 1 - _SHARE), method="nearest")
    even = _EVEN * (float(high) - float(low))

    def inside(lines: NDArray[Any]) -> slice:
        least, most = np.quantile(lines, (_STRAY, 1 - _STRAY), axis=1, method="nearest")
        busy = np.flatnonzero(most.astype(np.float64) - least.astype(np.float64) > even)
        if not busy.size:
            return slice(None)
        thickest = int(_THICKEST * len(lines))
        return slice(min(busy[0], thickest), max(busy[-1] + 1, len(lines) - thickest))

    return pixels[inside(pixels), inside(pixels.T)]


def used_range(sample: NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and largest value of a sample without outliers.

    >>> used_range(np.array([*range(1000), 65535]))
    (0.0, 999.0)
    """
    low, high = np.quantile(sample, (_SHARE, 1 - _SHARE), method="nearest")
    slack = _SLACK * (float(high) - float(low))
    kept = sample[(sample >= low - slack) & (sample <= high + slack)]
    return float(kept.min()), float(kept.max())


def shown_range(
    sample: NDArray[Any], *, bits: int | None = None, inverted: bool = False
) -> tuple[float, float]:
    """Return the values shown as black and white if there is no window.

    These are zero and the largest value of a depth, if the pixels use at least half of its range
    and their smallest value is in its darkest tenth; otherwise the range of the pixels.

    Args:
        sample: Some of the pixels.
        bits: The declared depth; None for the smallest usual one (8, 10, 12, 14, 16 bits) that
            contains the pixels.
        inverted: Whether the largest value is black.

    Example:
        >>> shown_range(np.arange(3000)), shown_range(np.arange(2000, 9001))
        ((0.0, 4095.0), (2000.0, 9000.0))
    """
    low, high = used_range(sample)
    white = float(2 ** (bits or usual_depth(high)) - 1)
    from_black = white - high if inverted else low
    whole = high - low >= white / 2 and from_black <= white / 10
    if low >= 0 and (whole or high - low < _LEAST):
        return 0.0, white
    return low, high

"""Which values of an image are black and white, where nothing declares it.

A few extreme pixels decide nothing: defects of the detector, burnt-in letters, a pixel in the
corner that a program wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.images.radiograph import usual_depth

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAMPLE = 2**18
"""About so many pixels are looked at."""

_SHARE = 0.005  # of the pixels at each end may be extreme
_SLACK = 0.3  # of the range of the others: farther away, they are
_LEAST = 32  # levels; with fewer there is no image to stretch


def sample_of(pixels: NDArray[Any], excluded: NDArray[np.bool_] | None = None) -> NDArray[Any]:
    """Return some pixels, [n]: evenly spread, without excluded ones and even borders.

    Args:
        pixels: Grey pixels [height, width].
        excluded: True where there is no anatomy; the same shape.
    """
    step = max(1, int(np.sqrt(pixels.size / _SAMPLE)))
    few = pixels[::step, ::step]
    if excluded is not None:
        left = few[~excluded[::step, ::step]]
        return left if left.size else few.ravel()
    return _without_border(few).ravel()


def _without_border(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return what is inside of rows and columns of one value at the edges."""
    rows = np.flatnonzero(pixels.min(axis=1) < pixels.max(axis=1))
    columns = np.flatnonzero(pixels.min(axis=0) < pixels.max(axis=0))
    if not rows.size or not columns.size:
        return pixels
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def used_range(sample: NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and largest value of a sample, extreme ones left out.

    >>> used_range(np.array([*range(1000), 65535]))
    (0.0, 999.0)
    """
    low, high = np.quantile(sample, (_SHARE, 1 - _SHARE), method="nearest")
    slack = _SLACK * (float(high) - float(low))
    kept = sample[(sample >= low - slack) & (sample <= high + slack)]
    return float(kept.min()), float(kept.max())


def shown_range(sample: NDArray[Any]) -> tuple[float, float]:
    """Return which values of whole numbers without a declared depth are black and white.

    That is zero and the largest value of the smallest usual depth (8, 10, 12, 14, 16 bits) that
    holds the pixels, if they use half of it; else the range that they use.

    >>> shown_range(np.arange(3000)), shown_range(np.arange(2000, 9001))
    ((0.0, 4095.0), (2000.0, 9000.0))
    """
    low, high = used_range(sample)
    white = float(2 ** usual_depth(high) - 1)
    if low >= 0 and (high - low >= white / 2 or high - low < _LEAST):
        return 0.0, white
    return low, high

"""Describe what a refused image may be instead.

In noise, pages and screens, the differences of neighbouring pixels are unlike those of any
radiograph. The limits separate them: among 1,120 radiographs of children (Kermany et al. 2018), the
roughest has 0.13, the smoothest 0.44. Grey photographs, other body parts and lateral views have no
such property and are not described.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAGE = "it looks like a page of text or a document: sharp marks on uniform white"
NOISE = "it looks like noise or a texture: neighbouring pixels have little in common"
SCREEN = "it looks like a screenshot or a drawing: most of it consists of areas of uniform grey"

_SIDE = 160  # with fewer pixels in each direction, neighbours differ in a chest as in noise
_ROUGH = 0.2  # mean step between neighbours, in standard deviations
_EVEN = 0.6  # share of pixels without a step to the right and below
_PAPER, _PAPER_SHARE = 200, 0.22  # most pixels of a page have the same light grey


def kind(pixels: NDArray[np.uint8]) -> tuple[str, ...]:
    """Describe what a refused image looks like; empty if unclear.

    Args:
        pixels: The result of ``prepare``, uint8 [height, width].
    """
    if min(pixels.shape) < _SIDE:
        return ()
    levels = pixels.astype(np.int16)
    across, down = np.abs(np.diff(levels, axis=1)), np.abs(np.diff(levels, axis=0))
    rough = (across.mean() + down.mean()) / 2 / max(float(levels.std()), 1.0)
    even = ((across[:-1] <= 1) & (down[:, :-1] <= 1)).mean()
    if rough >= _ROUGH:
        return (PAGE if _paper_share(pixels) >= _PAPER_SHARE else NOISE,)
    return (SCREEN,) if even >= _EVEN else ()


def _paper_share(pixels: NDArray[np.uint8]) -> float:
    """Return the share of the most common grey and its neighbours if light; otherwise 0."""
    shares = np.bincount(pixels.ravel(), minlength=256) / pixels.size
    near = np.convolve(shares, np.ones(9), "same")
    common = int(near.argmax())
    return float(near[common]) if common >= _PAPER else 0.0

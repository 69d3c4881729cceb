"""What the figures have in common: their array types, their table, and an empty canvas."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeAlias

import numpy as np
import numpy.typing as npt

from pneumoscope.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Table: TypeAlias = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
"""A header, and rows of text as long as the header."""
Integers: TypeAlias = npt.NDArray[np.integer[Any]]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Pixels: TypeAlias = npt.NDArray[np.uint8]


def number(value: SupportsFloat) -> str:
    """Return a number as a table holds it: six digits, ``nan`` and ``inf`` as such."""
    return f"{float(value):.6g}"


def new_figure(
    width_in: float, height_in: float, *, gap: float = 0.02, margin_in: float = 0.04
) -> Figure:
    """Return an empty figure that no global state knows of.

    Args:
        width_in: Its width in inches.
        height_in: Its height in inches.
        gap: Between panels, as a share of a panel.
        margin_in: Around each panel, in inches.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - matplotlib is loaded to draw
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415

    layout = ConstrainedLayoutEngine(w_pad=margin_in, h_pad=margin_in, wspace=gap, hspace=gap)
    return Figure(figsize=(width_in, height_in), layout=layout)


def as_jpeg(pixels: Pixels) -> bytes:
    """Return a picture, ``[H, W]`` or ``[H, W, 3]``, as a JPEG file, grey if it has no colour."""
    from PIL import Image  # noqa: PLC0415 - only pictures need it

    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        file, format="JPEG", quality=85, optimize=True
    )
    return file.getvalue()


def require_shape(name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise OptionError unless ``array`` has this shape."""
    if array.shape != shape:
        raise OptionError(name, must=f"an array of shape {list(shape)}", was=list(array.shape))

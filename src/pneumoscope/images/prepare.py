"""The one pixel path: a file, its bytes or an array → the model's input.

Cache, training, evaluation, prediction and serving all call ``prepare``; there is no second
resize anywhere. Normalisation lives in the network and in the exported graph.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import ImageError, OptionError, nearest
from pneumoscope.images.read import Radiograph, decode, read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_RESIZE = ("stretch",)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a model takes: one grey channel of uint8, ``height_px`` by ``width_px``.

    Args:
        height_px: Rows of the input.
        width_px: Columns of the input.
        resize: How another aspect ratio is brought to it; ``stretch`` scales each axis by itself.
    """

    height_px: int = 224
    width_px: int = 224
    resize: str = "stretch"

    def __post_init__(self) -> None:
        for name in ("height_px", "width_px"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 8 <= value <= 4096:
                raise OptionError(name, must="a whole number of pixels from 8 to 4096", was=value)
        if self.resize not in _RESIZE:
            raise OptionError(
                "resize",
                must=f"one of {', '.join(_RESIZE)}",
                was=self.resize,
                hint=nearest(self.resize, _RESIZE),
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height_px, self.width_px

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InputSpec:
        """Return the specification that ``to_dict`` wrote.

        Raises:
            OptionError: An unknown field, or a value that cannot be.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise OptionError(
                    "input", must="fields of InputSpec", was=key, hint=nearest(key, known)
                )
        return cls(**values)


def prepare(source: Path | str | bytes | NDArray[Any], spec: InputSpec) -> NDArray[np.uint8]:
    """Return the model's input for one image, uint8 [spec.height_px, spec.width_px].

    Args:
        source: A path, the bytes of an encoded file, or grey pixels [height, width] as uint8 or
            uint16.
        spec: The input that the model takes.

    Raises:
        ImageError: The source cannot be read as an image; the message names the file.

    Example:
        >>> prepare(np.full((50, 40), 7, np.uint8), InputSpec(16, 16)).max()
        np.uint8(7)
    """
    if isinstance(source, np.ndarray):
        return to_input(_checked(source), spec)
    if isinstance(source, bytes):
        return to_input(decode(source, name="<bytes>", at_least=spec.shape).pixels, spec)
    return to_input(open_radiograph(Path(source), at_least=spec.shape).pixels, spec)


def open_radiograph(path: Path, *, at_least: tuple[int, int] | None = None) -> Radiograph:
    """Return the decoded image of a file; see ``decode``."""
    return decode(read_bytes(path), name=str(path), at_least=at_least)


def to_input(pixels: NDArray[np.uint8] | NDArray[np.uint16], spec: InputSpec) -> NDArray[np.uint8]:
    """Return grey pixels [height, width] as uint8 [spec.height_px, spec.width_px].

    The resize is bilinear with support widened for reduction (antialiased). 16-bit pixels are
    scaled by the smallest usual depth (8, 10, 12, 14, 16 bits) that holds their largest value:
    detectors store 12 bits in 16, and dividing those by 257 would leave an almost black image.
    """
    from PIL import Image  # noqa: PLC0415 - so that importing the package stays light

    size = (spec.width_px, spec.height_px)
    if pixels.dtype == np.uint8:
        image = Image.fromarray(pixels)
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    largest = int(pixels.max())
    depth = next(bits for bits in (8, 10, 12, 14, 16) if largest < 2**bits)
    scaled = pixels.astype(np.float32) * np.float32(255 / (2**depth - 1))
    resized = np.asarray(Image.fromarray(scaled).resize(size, Image.Resampling.BILINEAR))
    rounded: NDArray[np.uint8] = np.clip(np.rint(resized), 0, 255).astype(np.uint8)
    return rounded


def _checked(array: NDArray[Any]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    if array.ndim != 2 or array.dtype not in (np.uint8, np.uint16) or array.size == 0:
        raise ImageError(
            "an array must hold grey pixels [height, width] as uint8 or uint16, "
            f"got {array.dtype} {list(array.shape)}."
        )
    return np.ascontiguousarray(array)

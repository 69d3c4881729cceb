"""Python objects accepted as images, converted to file bytes or grey pixels."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from pneumoscope.errors import ImageError, ImageTooLargeError, OptionError
from pneumoscope.images import raster
from pneumoscope.images.radiograph import LUMA, check_size, usual_depth
from pneumoscope.images.read import MAX_BYTES, read_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

_KINDS = (
    "a path, the bytes of a file, a binary file object, a Pillow image or an array of grey pixels"
)
_WORK_BYTES = 16  # per colour pixel, during conversion to luma
_MOST_OUTSIDE = 0.5  # share of pixels outside a range, from which it is considered a mistake


class BinaryFile(Protocol):
    """A file object opened in binary mode."""

    def read(self, size: int = ..., /) -> bytes:
        """Return at most a number of bytes."""


class ArrayLike(Protocol):
    """An object that can be converted to an array, such as a tensor in main memory."""

    def __array__(self, *args: Any, **options: Any) -> NDArray[Any]:
        """Return the array."""


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Pixels with explicit black and white: for floats, signed values and odd depths.

    Args:
        array: Grey [height, width] or colour [height, width, 3], of any real type.
        value_range: The values shown as black and white. Values outside are clipped.

    Raises:
        OptionError: The range is not a pair of finite, increasing numbers.

    Example:
        >>> from pneumoscope import InputSpec, prepare
        >>> prepare(Pixels(np.full((50, 40), 0.5), (0, 1)), InputSpec(16, 16)).max()
        np.uint8(128)
    """

    array: NDArray[Any] | ArrayLike
    value_range: tuple[float, float]

    def __post_init__(self) -> None:
        try:
            low, high = (float(value) for value in self.value_range)
            good = np.isfinite([low, high]).all() and low < high
        except (TypeError, ValueError):
            good = False
        if not good:
            raise OptionError(
                "value_range",
                must="two finite numbers, black and white, the smaller first",
                was=self.value_range,
                hint="For an image with white air, give its negative.",
            )


Source: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Image.Image"
    " | NDArray[Any] | ArrayLike | Pixels"
)
"""Types that are accepted as an image."""


class Encoded(NamedTuple):
    """The bytes of a file.

    Attributes:
        data: The bytes.
        name: Name of the file in messages.
    """

    data: bytes
    name: str


class Decoded(NamedTuple):
    """An image given as pixels.

    Attributes:
        pixels: Grey pixels with air as black, uint8 or uint16 [height, width].
        chroma: Colourfulness, as ``read.chroma`` measures it for a file.
        bits: The depth of 16-bit pixels, if known, as for ``to_input``.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    chroma: float = 0.0
    bits: int | None = None


def resolve(source: Source) -> Encoded | Decoded:
    """Return the bytes of an encoded image, or grey pixels.

    A file object is read from its current position to its end.

    Raises:
        ImageError: The source cannot be read, or is of an unsupported type.
    """
    encoded = _encoded(source)
    if encoded is not None:
        return encoded
    if isinstance(source, Pixels):
        return _decoded(_array(source.array), value_range=source.value_range)
    if _is_pillow(source):
        return _from_pillow(source)
    hint = ""
    if isinstance(source, list | tuple):
        hint = "; use numpy.asarray(it, numpy.uint8)"
    elif type(source).__module__.startswith("pydicom."):  # its array would lack the header
        hint = "; give the path or the bytes of the DICOM file"
    elif hasattr(source, "__array__") or isinstance(source, memoryview):
        return _decoded(_array(source))
    raise ImageError(f"an image must be {_KINDS}, got {type(source).__name__}{hint}.")


def _encoded(source: object) -> Encoded | None:
    """Return the bytes of a path, bytes or a file object, otherwise None."""
    if isinstance(source, str | os.PathLike):
        path = os.fsdecode(source)
        return Encoded(read_bytes(Path(path)), path)
    if isinstance(source, bytes | bytearray):
        return Encoded(bytes(source), "<bytes>")
    if isinstance(source, memoryview) and source.ndim == 1 and source.itemsize == 1:
        return Encoded(source.tobytes(), "<bytes>")
    read = getattr(source, "read", None)
    return Encoded(_content(read), _name(source)) if callable(read) else None


def name_of(source: object) -> str:
    """Return the path of a source as given; empty if it has none."""
    return os.fsdecode(source) if isinstance(source, str | os.PathLike) else ""


def _name(source: object) -> str:
    name = getattr(source, "name", None)
    return name if isinstance(name, str) and name else "<file object>"


def _content(read: Callable[[int], object]) -> bytes:
    try:
        data = read(MAX_BYTES + 1)
    except (OSError, ValueError, TypeError) as fault:  # ValueError: it is closed
        raise ImageError(f"the file object cannot be read ({fault}).") from fault
    if isinstance(data, str):
        raise ImageError('the file object returns text; open the file in binary mode ("rb").')
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ImageError(
            f"the file object returns {type(data).__name__} instead of bytes; is it non-blocking?"
        )
    if len(data) > MAX_BYTES:
        raise ImageTooLargeError(
            f"the file object has more than {MAX_BYTES:,} bytes, which is too large."
        )
    return bytes(data)


def _is_pillow(source: object) -> bool:
    module = sys.modules.get("PIL.Image")  # a caller with a Pillow image has loaded Pillow
    return module is not None and isinstance(source, module.Image)


def _from_pillow(source: Any) -> Decoded:
    width, height = source.size
    if not (width and height):
        raise ImageError(f"a Pillow image of {width} x {height} pixels is empty.")
    check_size(width, height, name="<Pillow image>", bytes_per_pixel=_image_bytes(source.mode))
    grey, chroma = raster.from_pillow(source, name="<Pillow image>")
    return Decoded(raster.to_array(grey), chroma)


def _image_bytes(mode: str) -> int:
    return 1 if mode in {"1", "L", "P"} else 2 if mode.startswith("I;16") else 4


def _array(source: Any) -> NDArray[Any]:
    try:
        return np.asarray(source)
    except Exception as fault:  # any exception of another package, such as for a tensor on a GPU
        raise ImageError(
            f"{type(source).__name__} cannot be converted to an array ({fault}); give a numpy "
            "array."
        ) from fault


def _decoded(array: NDArray[Any], *, value_range: tuple[float, float] | None = None) -> Decoded:
    array = _shaped(array)
    colour = 4 if array.dtype == np.uint8 else _WORK_BYTES
    needs = 2 if array.ndim == 2 else colour
    check_size(array.shape[1], array.shape[0], name="<array>", bytes_per_pixel=needs)
    values: NDArray[Any] = _ranged(array, value_range) if value_range else _whole(array)
    bits = 16 if value_range else None
    if values.ndim == 2:
        return Decoded(np.ascontiguousarray(values), bits=bits)
    return _luma(values, bits)


def _shaped(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as [height, width] or [height, width, 3 or 4]."""
    given = list(array.shape)
    if array.size == 0:
        raise ImageError(f"an array of shape {given} has no pixels.")
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    elif array.ndim == 3 and array.shape[0] == 1 and array.shape[2] not in {3, 4}:
        array = array[0]
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in {3, 4}):
        return array
    hint = "give one image, [height, width] or [height, width, 3]"
    if array.ndim == 3 and array.shape[0] in {3, 4}:
        hint = "put the channels last with numpy.moveaxis(array, 0, -1)"
    elif array.ndim in {3, 4}:
        hint = f"these are {array.shape[0]} images; give them one by one, as array[0]"
    elif array.ndim == 1 and array.dtype == np.uint8:
        hint = "for the bytes of a file, give array.tobytes()"
    raise ImageError(f"an array must contain grey pixels [height, width], got {given}; {hint}.")


def _whole(array: NDArray[Any]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return an array as uint8 or uint16 in native byte order."""
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return array
    if kind == "b":  # like a file of one bit
        return array.astype(np.uint8) * np.uint8(255)
    if kind == "f":
        numbers = array[np.isfinite(array)]
        low, high = (numbers.min(), numbers.max()) if numbers.size else (0.0, 0.0)
        white = 1 if high <= 1 else 255 if high <= 255 else 65535
        factor, depth = (" * 255", 8) if white == 1 else ("", 8 if white == 255 else 16)
        raise ImageError(
            f"{array.dtype} values from {low:g} to {high:g} do not define black and white: give "
            f"the range, such as pneumoscope.Pixels(array, value_range=(0, {white})), or "
            f"convert them, such as numpy.rint(array{factor}).astype(numpy.uint{depth})."
        )
    if kind not in "ui":
        raise ImageError(
            f"an array must contain grey pixels as numbers, got {array.dtype}; convert it with "
            "astype(numpy.uint8) or astype(numpy.uint16)."
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 65535:
        raise ImageError(
            f"{array.dtype} values from {low} to {high} do not fit into 16 bits without a sign: "
            "subtract the minimum and convert them with astype(numpy.uint16), or give the range, "
            f"as pneumoscope.Pixels(array, value_range=({low}, {high}))."
        )
    return array.astype(np.uint16, copy=False)


def _ranged(array: NDArray[Any], value_range: tuple[float, float]) -> NDArray[np.uint16]:
    """Scale an array to 16 bits between the given black and white."""
    if array.dtype.kind not in "buif":
        raise ImageError(f"an array must contain pixels as numbers, got {array.dtype}.")
    low, high = (float(value) for value in value_range)
    if not np.isfinite(array).all():
        raise ImageError("some pixels are not numbers (NaN or infinite); replace them.")
    if float(((array < low) | (array > high)).mean()) > _MOST_OUTSIDE:
        raise ImageError(
            f"values from {array.min():g} to {array.max():g} do not fit the value_range "
            f"({low:g}, {high:g}): most of them are outside."
        )
    share = np.clip((array.astype(np.float64) - low) / (high - low), 0, 1)
    scaled: NDArray[np.uint16] = np.rint(share * 65535).astype(np.uint16)
    return scaled


def _luma(colours: NDArray[Any], bits: int | None) -> Decoded:
    """Return colour pixels as luma (ITU-R 601), blended with black if transparent."""
    from PIL import Image  # noqa: PLC0415 - so that importing the package stays light

    if colours.dtype == np.uint8:
        image = Image.fromarray(np.ascontiguousarray(colours))
        grey, chroma = raster.from_pillow(image, name="<array>")
        return Decoded(raster.to_array(grey), chroma)
    depth = bits or usual_depth(int(colours[:, :, :3].max()))
    white = np.float32(2**depth - 1)
    values = colours.astype(np.float32)
    if values.shape[2] == 4:
        values = values[:, :, :3] * (values[:, :, 3:] / max(white, values[:, :, 3].max()))
    luma = values @ np.array(LUMA, np.float32)
    eight = np.rint(values * (255 / white)).astype(np.uint8)
    chroma = raster.chroma_of(Image.fromarray(eight))
    return Decoded(np.rint(luma).astype(np.uint16), chroma, bits)

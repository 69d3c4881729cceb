"""Decode compressed frames; the codestream selects the decoder, not the transfer syntax.

Baseline JPEG is decoded by Pillow, JPEG 2000 (HTJ2K included) by imagecodecs or Pillow. JPEG with
more than 8 bits, lossless JPEG and JPEG-LS need imagecodecs, which the extra ``dicom`` installs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import (
    DamagedImageError,
    ImageError,
    NoDecoderError,
    UnreachableImageError,
    UnsupportedImageError,
)
from pneumoscope.images import jpeg, jpeg_wholeness
from pneumoscope.images.dicom import jpegls

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.images.dicom.codestream import Codestream


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The samples of a frame.

    Attributes:
        pixels: Samples as defined by the codestream, [rows, columns] or RGB [rows, columns, 3].
        decoder: The library and the coding process.
        notes: Assumptions about colours.
    """

    pixels: NDArray[Any]
    decoder: str
    notes: tuple[str, ...] = ()


def decode(
    stream: Codestream, *, photometric: str, name: str, at_least: tuple[int, int] | None = None
) -> Decoded:
    """Return the samples of a compressed frame.

    Args:
        stream: The frame.
        photometric: The photometric interpretation in the header, for colours that the codestream
            does not define.
        name: Name of the file, for messages.
        at_least: Required (height, width); JPEG 2000 is then decoded at 1/2, 1/4 or less of its
            size, if four times as many pixels in each direction remain. None decodes at full size.

    Raises:
        UnsupportedImageError: This kind of codestream is not supported.
        NoDecoderError: The decoder is not installed.
        UnreachableImageError: The decoder cannot be started.
        DamagedImageError: The frame cannot be decoded, or is incomplete.
    """
    if stream.fault:
        raise _cut(name, stream.fault)
    if stream.components not in {1, 3}:
        raise UnsupportedImageError(
            f"{name}: a compressed image with {stream.components} components; supported are 1 or 3."
        )
    try:
        if stream.kind == "JPEG 2000":
            return _jpeg_2000(stream, photometric, at_least, name=name)
        if stream.kind == "JPEG-LS":
            _need_imagecodecs(stream, name=name)
            return Decoded(_jpeg_ls(stream.data), f"imagecodecs ({stream.name})")
        return _jpeg(stream, photometric, name=name)
    except ImageError:
        raise
    except jpegls.NotStartedError as fault:
        raise UnreachableImageError(
            f"{name}: the process that decodes {stream.name} cannot be started ({fault})."
        ) from fault
    except Exception as fault:  # the decoders have no common exception class
        message = " ".join(str(fault).split())[:120] or type(fault).__name__
        raise DamagedImageError(
            f"{name}: its {stream.name} data cannot be decoded, they are truncated or damaged "
            f"({message}); copy it again."
        ) from fault


def _cut(name: str, what: str) -> DamagedImageError:
    return DamagedImageError(f"{name}: its compressed image is truncated: {what}; copy it again.")


def _need_imagecodecs(stream: Codestream, *, name: str) -> None:
    if importlib.util.find_spec("imagecodecs") is None:
        from pneumoscope.installation import install_command  # noqa: PLC0415 - rare

        raise NoDecoderError(
            f"{name}: no decoder for {stream.name} is installed; install it with: "
            f"{install_command('dicom')}"
        )


def _jpeg_ls(data: bytes) -> NDArray[Any]:
    """Return the samples of a JPEG-LS frame.

    If the end marker was missing, zeros before it may be padding, which CharLS does not skip; the
    last few of them may belong to the image.
    """
    try:
        return jpegls.decode(data)
    except ValueError as fault:
        body = data[: -len(jpeg.END)]
        bare = body.rstrip(b"\0")
        for zeros in range(min(3, len(body) - len(bare))):
            with contextlib.suppress(ValueError):
                return jpegls.decode(bare + bytes(zeros) + jpeg.END)
        raise fault from None


def _jpeg(stream: Codestream, photometric: str, *, name: str) -> Decoded:
    header = stream.jpeg
    assert header is not None  # noqa: S101 - every JPEG stream has one
    dct = header.process in {0, 1, jpeg.PROGRESSIVE}
    if not (dct or header.process == jpeg.LOSSLESS):
        raise UnsupportedImageError(
            f"{name}: {stream.name} is not supported; export it uncompressed."
        )
    if dct and header.precision not in {8, 12}:
        raise UnsupportedImageError(
            f"{name}: {stream.name}: JPEG with this depth is not standardised; export it as "
            "lossless JPEG or uncompressed."
        )
    notes: tuple[str, ...] = ()
    raw = stream.components == 3 and _colours_are_open(header) and photometric == "RGB"
    pixels: NDArray[Any]
    if dct and header.precision == 8:
        library, pixels = _of_8_bits(stream, header, raw=raw, name=name)
    else:
        library, raw = "imagecodecs", False
        pixels = _by_imagecodecs(stream, header, name=name)
    if int(pixels.max()) >= 2**header.precision:
        raise DamagedImageError(
            f"{name}: its {stream.name} data are damaged: they decode to values of more bits; "
            "copy it again."
        )
    if header.process == jpeg.LOSSLESS:
        pixels = _rgb_of(pixels, stream, photometric)
    if raw:
        pixels, notes = _open_colours(pixels)
    elif stream.components == 3 and photometric == "RGB" and _is_ycbcr(header):
        notes = ("the header states RGB, the JPEG data are YCbCr and were converted",)
    return Decoded(pixels, f"{library} ({stream.name})", notes)


def _is_ycbcr(header: jpeg.JpegHeader) -> bool:
    return header.adobe == 1 or header.jfif or header.subsampled


def _colours_are_open(header: jpeg.JpegHeader) -> bool:
    """Return whether a JPEG of three components declares neither RGB nor YCbCr."""
    marked = header.adobe is not None or header.jfif or header.subsampled
    return not marked and bytes(header.components) != b"RGB"


def _open_colours(components: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return components as RGB: unchanged or from YCbCr, whichever is greyer.

    The header states RGB; this is only overridden if components look like YCbCr (two planes near
    128).
    """
    from PIL import Image  # noqa: PLC0415 - loaded with the decoder

    wide = components[::4, ::4].astype(np.int16)
    as_rgb = float((wide.max(2) - wide.min(2)).mean())
    as_ycbcr = float(np.abs(wide[..., 1:] - 128).sum(2).mean())
    if as_rgb <= as_ycbcr:
        return components, ()
    rgb = np.asarray(Image.fromarray(components, "YCbCr").convert("RGB"))
    return rgb, ("the header states RGB, the JPEG data look like YCbCr and were converted",)


def _of_8_bits(
    stream: Codestream, header: jpeg.JpegHeader, *, raw: bool, name: str
) -> tuple[str, NDArray[np.uint8]]:
    """Return the decoder's name and 8-bit samples; ``raw`` keeps the stored colours."""
    from pneumoscope.images.turbo import grey  # noqa: PLC0415 - only for JPEG frames

    full = stream.rows, stream.columns
    # Colour images are only checked for warnings, at an eighth of the size.
    decoded = grey(
        stream.data, full if stream.components == 1 else (-(-full[0] // 8), -(-full[1] // 8))
    )
    if decoded.damaged:
        raise DamagedImageError(
            f"{name}: its {stream.name} data are damaged ({decoded.warning}); copy it again."
        )
    if (
        decoded.pixels is not None
        and stream.components == 1
        and jpeg.has_all_scans(stream.data, header)
    ):
        return "simplejpeg", decoded.pixels
    return "pillow", _by_pillow(stream, header, "YCbCr" if raw else "", name=name)


def _by_pillow(
    stream: Codestream, header: jpeg.JpegHeader, mode: str, *, name: str
) -> NDArray[np.uint8]:
    """Return 8-bit samples; ``mode`` "YCbCr" keeps three components as stored."""
    data = stream.data
    pixels, ready = _interrupted(data, mode, jpeg_wholeness.pause(data, header))

    def decoder(content: bytes) -> NDArray[np.uint8]:
        return _interrupted(content, mode, len(content))[0]

    def ready_without(few: int) -> bool:
        return _interrupted(data, mode, len(data) - len(jpeg.END) - few)[1]

    if not jpeg_wholeness.is_whole(data, header, pixels, decoder):
        raise _cut(name, _MISSING)
    if ready and jpeg_wholeness.has_data_left(data, header, ready_without):
        raise _holed(name)
    return pixels


def _by_imagecodecs(
    stream: Codestream, header: jpeg.JpegHeader, *, name: str
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return samples of more than 8 bits, or of lossless JPEG.

    The decoder cannot be interrupted, so damage is detected by decoding again. Damaged lossless
    data with fewer than 16 bits are recognised by values that exceed the bits.
    """
    _need_imagecodecs(stream, name=name)
    from imagecodecs import jpeg8_decode  # noqa: PLC0415 - an extra

    data = stream.data
    pixels: NDArray[Any] = jpeg8_decode(data)
    thorough = header.process != jpeg.LOSSLESS or header.precision == 16
    if not jpeg_wholeness.is_whole(data, header, pixels, jpeg8_decode, always=thorough):
        raise _cut(name, _MISSING)

    def ready_without(few: int) -> bool:
        return jpeg_wholeness.same_without(data, few, pixels, jpeg8_decode)

    if thorough and jpeg_wholeness.has_data_left(data, header, ready_without):
        raise _holed(name)
    return pixels


_MISSING = "data are missing for some of its rows"


def _holed(name: str) -> DamagedImageError:
    return DamagedImageError(
        f"{name}: its compressed image is damaged: it has more data than its rows need, so some "
        "rows are wrong; copy it again."
    )


def _interrupted(data: bytes, mode: str, block: int) -> tuple[NDArray[np.uint8], bool]:
    """Return the image decoded by Pillow from blocks of a given size.

    Also return whether its decoder finished before it received all of them.
    """
    from PIL.JpegImagePlugin import JpegImageFile  # noqa: PLC0415 - only for JPEG frames

    file = io.BytesIO(data)
    image: Any = JpegImageFile(file)
    if mode:
        image.draft(mode, image.size)
    image.decodermaxblock = block  # fewer calls of the decoder
    image.load()
    return np.asarray(image), file.tell() < len(data)


def _jpeg_2000(
    stream: Codestream, photometric: str, at_least: tuple[int, int] | None, *, name: str
) -> Decoded:
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile  # noqa: PLC0415 - only for JPEG 2000

    if stream.precision > 16:
        raise UnsupportedImageError(
            f"{name}: JPEG 2000 with {stream.precision} bits per sample; supported are up to 16."
        )
    levels = _levels_to_skip(stream, at_least) if at_least else 0
    if not levels and importlib.util.find_spec("imagecodecs") is not None:
        # It releases Python's lock while decoding, which Pillow does not.
        from imagecodecs import jpeg2k_decode  # noqa: PLC0415 - an extra

        pixels = jpeg2k_decode(stream.data, numthreads=1)
        return Decoded(_rgb_of(pixels, stream, photometric), f"imagecodecs ({stream.name})")
    image: Any = Jpeg2KImageFile(io.BytesIO(stream.data))
    image.reduce = levels
    image.load()
    scale = f", at 1/{2**levels} of its size" if levels else ""
    decoder = f"pillow ({stream.name}{scale})"
    pixels = np.asarray(image)
    if stream.components == 3:
        return Decoded(_rgb_of(pixels, stream, photometric), decoder)
    # Pillow shifts samples to the upper bits of words, and adds half of the range to signed ones.
    pixels = pixels >> (8 * pixels.dtype.itemsize - stream.precision)
    if stream.signed:
        pixels = (pixels.astype(np.int32) - 2 ** (stream.precision - 1)).astype(np.int16)
    return Decoded(pixels, decoder)


def _rgb_of(pixels: NDArray[Any], stream: Codestream, photometric: str) -> NDArray[Any]:
    """Return pixels as RGB; some codestreams leave the transform to the application."""
    open_colours = stream.components == 3 and not stream.transformed
    if not (open_colours and photometric.startswith("YBR_FULL") and pixels.dtype == np.uint8):
        return pixels
    from PIL import Image  # noqa: PLC0415 - only for colours stored in this way

    return np.asarray(Image.fromarray(pixels, "YCbCr").convert("RGB"))


def _levels_to_skip(stream: Codestream, at_least: tuple[int, int]) -> int:
    """Return how many times an image can be halved while keeping four times the target size.

    The grey levels then differ from those of a full decode by a quarter of a level of 255 on
    average; with twice the target size it would be a whole level.
    """
    ratio = min(stream.rows / at_least[0], stream.columns / at_least[1]) / 4
    return max(0, min(stream.levels, int(np.log2(ratio)) if ratio >= 1 else 0))

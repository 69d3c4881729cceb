"""The stored values of a DICOM image, with their actual sign and bits.

If header and codestream contradict each other, or bits above BitsStored are used, several
interpretations are possible. The correct one is the smoothest: a wrong sign or mask causes jumps at
half or at the end of the range.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DamagedImageError, UnsupportedImageError
from pneumoscope.images.dicom import codecs
from pneumoscope.images.dicom.codestream import Codestream, identify
from pneumoscope.images.dicom.fragments import frame_of
from pneumoscope.images.quiet import quietly

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from pneumoscope.images.dicom.layout import Layout

_RLE = "1.2.840.10008.1.2.5"
_UNCOMPRESSED = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
_ROWS_LOOKED_AT = 256


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Stored values, and how they were interpreted.

    Attributes:
        pixels: uint8, uint16 or int16 [rows, columns], or RGB [rows, columns, 3].
        bits: The depth of the values; None if unknown.
        decoder: The decoder.
        notes: Assumptions, in words.
        lossy: Whether compression changed the values.
    """

    pixels: NDArray[Any]
    bits: int | None
    decoder: str
    notes: tuple[str, ...] = ()
    lossy: bool = False


def stored_values(
    dataset: Dataset, layout: Layout, *, name: str, at_least: tuple[int, int] | None = None
) -> Stored:
    """Return the stored values of an image.

    Args:
        dataset: Data set with pixel data and transfer syntax.
        layout: Layout of the pixels according to the header.
        name: Name of the file, for messages.
        at_least: Required (height, width), if a smaller image is sufficient; None for full size.

    Raises:
        UnsupportedImageError: An unsupported encoding, or one whose decoder is not installed.
        DamagedImageError: The pixel data are truncated, damaged, or do not match the header.
    """
    element = dataset.get_item("PixelData")
    if element is None or not element.value:
        raise UnsupportedImageError(f"{name}: a DICOM file without pixel data.")
    value: bytes = element.value
    syntax = dataset.file_meta.TransferSyntaxUID
    notes: tuple[str, ...] = ()
    if getattr(element, "length", None) == 0xFFFFFFFF or getattr(
        element, "is_undefined_length", False
    ):
        frame = frame_of(value, frames=layout.frames, name=name)
    elif syntax in _UNCOMPRESSED or _expected(layout, value) == len(value):
        if syntax not in _UNCOMPRESSED:
            notes = (f"the transfer syntax is {syntax.name}, the pixels are uncompressed",)
        return _uncompressed(dataset, layout, value, notes, name=name)
    else:
        frame = value
    stream = identify(frame)
    if stream is None and (syntax == _RLE or _begins_like_rle(frame)):
        return _run_length(dataset, layout, name=name)
    if stream is None:
        raise UnsupportedImageError(
            f"{name}: transfer syntax {syntax.name!r} is not supported, or its data are "
            "damaged: they do not start like a JPEG, JPEG-LS or JPEG 2000 image; export it "
            "uncompressed."
        )
    if syntax in _UNCOMPRESSED or not _is_of(stream, syntax):
        notes = (f"the transfer syntax is {syntax.name}, the pixels are {stream.name}",)
    return _compressed(stream, layout, notes, at_least, name=name)


# The kind of codestream of transfer syntaxes, by the end of their identifiers.
_PROMISED = {
    "JPEG": ("50", "51", "57", "70"),
    "JPEG-LS": ("80", "81"),
    "JPEG 2000": ("90", "91", "201", "202", "203"),
}


def _begins_like_rle(frame: bytes) -> bool:
    """Return whether a frame starts like an RLE header (PS3.5, annex G.5)."""
    return 1 <= int.from_bytes(frame[:4], "little") <= 15 and frame[4:8] == b"\x40\0\0\0"


def _run_length(dataset: Dataset, layout: Layout, *, name: str) -> Stored:
    from pydicom.uid import RLELossless  # noqa: PLC0415 - pydicom is only loaded for DICOM

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax != RLELossless:
        note = f"the transfer syntax is {syntax.name}, the pixels are RLE"
        layout = replace(layout, notes=(*layout.notes, note))
        dataset.file_meta.TransferSyntaxUID = RLELossless
        dataset["PixelData"].is_undefined_length = True
    return _by_pydicom(dataset, layout, "pydicom", "RLE", name=name)


def _is_of(stream: Codestream, syntax: str) -> bool:
    if syntax == _RLE:
        return False
    end = syntax.rpartition(".")[2]
    if stream.kind == "JPEG" and stream.jpeg is not None:
        lossless = stream.jpeg.process == 3
        return end in (("57", "70") if lossless else ("50", "51"))
    return end in _PROMISED[stream.kind]


def _expected(layout: Layout, value: bytes) -> int:
    """Return the size in bytes of uncompressed pixels, padded to an even number."""
    count = layout.rows * layout.columns * layout.samples
    word = layout.allocated // 8 if layout.allocated else max(1, len(value) // count)
    if layout.photometric == "YBR_FULL_422":
        count = count * 2 // 3
    return count * word + count * word % 2


def _uncompressed(
    dataset: Dataset, layout: Layout, value: bytes, notes: tuple[str, ...], *, name: str
) -> Stored:
    element = dataset.get_item("PixelData")
    declared = getattr(element, "length", len(value))
    expected = _expected(layout, value)
    held = len(value) + len(value) % 2
    if held < expected:
        declared_too = f", its element declares {declared:,}" if declared > len(value) else ""
        raise DamagedImageError(
            f"{name}: truncated: its pixel data have {len(value):,} bytes, the image needs "
            f"{expected:,}{declared_too}; copy it again."
        )
    if held >= 2 * expected - 2:
        raise UnsupportedImageError(
            f"{name}: its pixel data contain {held // expected} frames, but its header declares "
            f"{layout.frames}; save the intended frame."
        )
    # Some files have a little padding; more would mean missing rows.
    if held - expected > max(2 * expected // layout.rows, expected // 50):
        raise DamagedImageError(
            f"{name}: its pixel data have {held:,} bytes, {layout.rows} rows of {layout.columns} "
            f"columns need {expected:,}: Rows or Columns is wrong; export it again."
        )
    if held > expected:
        notes = (*notes, f"{held - expected:,} bytes after the pixels were ignored")
    if layout.photometric == "YBR_FULL_422":
        return _by_pydicom(dataset, layout, "", "uncompressed", name=name)
    count = layout.rows * layout.columns * layout.samples
    word = layout.allocated // 8 if layout.allocated else max(1, min(2, len(value) // count))
    order = ">" if dataset.original_encoding[1] is False else "<"
    if word == 1 and order == ">" and element.VR == "OW":  # two pixels in a big-endian word
        value = np.frombuffer(value, np.uint16, len(value) // 2).byteswap().tobytes()
    pixels: NDArray[Any] = np.frombuffer(value, f"{order}u{word}", count)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if layout.samples == 3:
        pixels = _rgb(_planes(pixels, layout), layout)
    else:
        pixels = pixels.reshape(layout.rows, layout.columns)
    decoded = codecs.Decoded(pixels, "uncompressed")
    return _resolved(decoded, layout, precision=8 * word, notes=notes)


def _planes(pixels: NDArray[Any], layout: Layout) -> NDArray[Any]:
    if layout.planar:
        return np.moveaxis(pixels.reshape(3, layout.rows, layout.columns), 0, 2)
    return pixels.reshape(layout.rows, layout.columns, 3)


def _rgb(colours: NDArray[Any], layout: Layout) -> NDArray[Any]:
    if not layout.photometric.startswith("YBR") or colours.dtype != np.uint8:
        return colours
    from PIL import Image  # noqa: PLC0415 - only for colours stored in this way

    colours = np.ascontiguousarray(colours)
    return np.asarray(Image.fromarray(colours, "YCbCr").convert("RGB"))


def _by_pydicom(dataset: Dataset, layout: Layout, plugin: str, what: str, *, name: str) -> Stored:
    from pydicom.pixels.decoders.base import get_decoder  # noqa: PLC0415 - for few encodings

    for keyword, value in (
        ("PhotometricInterpretation", layout.photometric),
        ("SamplesPerPixel", layout.samples),
        ("PixelRepresentation", 0),
        ("BitsAllocated", layout.allocated or 16),
        ("BitsStored", layout.allocated or 16),
        ("HighBit", (layout.allocated or 16) - 1),
        ("NumberOfFrames", 1),
    ):
        setattr(dataset, keyword, value)
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    if plugin and _has_more_rows(decoder, dataset, plugin):
        raise DamagedImageError(
            f"{name}: its {what} pixel data have more than the {layout.rows} rows of its header."
        )
    try:
        with quietly():
            pixels, _ = decoder.as_array(dataset, index=0, decoding_plugin=plugin)
    except Exception as fault:  # pydicom has no base class for errors caused by damaged data
        message = " ".join(str(fault).split())[:120]
        raise DamagedImageError(
            f"{name}: its {what} pixel data are truncated or damaged ({message}); copy it again."
        ) from fault
    decoded = codecs.Decoded(pixels, f"pydicom ({what})")
    return _resolved(decoded, layout, precision=layout.allocated or 16)


def _has_more_rows(decoder: Any, dataset: Dataset, plugin: str) -> bool:
    """Return whether pixel data contain one more row than declared; pydicom drops it."""
    rows = dataset.Rows
    dataset.Rows = rows + 1
    try:
        with quietly():
            decoder.as_array(dataset, index=0, decoding_plugin=plugin)
    except Exception:  # pydicom has no class for it; usually data are missing
        return False
    finally:
        dataset.Rows = rows
    return True


def _compressed(
    stream: Codestream,
    layout: Layout,
    notes: tuple[str, ...],
    at_least: tuple[int, int] | None,
    *,
    name: str,
) -> Stored:
    if (stream.rows, stream.columns) != (layout.rows, layout.columns):
        raise DamagedImageError(
            f"{name}: its compressed image has {stream.rows} rows and {stream.columns} columns, "
            f"its header states {layout.rows} and {layout.columns}."
        )
    if stream.components != layout.samples:
        notes = (
            *notes,
            f"{stream.components} samples per pixel instead of the header's {layout.samples}",
        )
    if layout.stored is not None and stream.precision > layout.stored:
        at_least = None  # bits above BitsStored may not belong to the values
    if layout.signed is not None and layout.signed != stream.signed:
        at_least = None  # values may wrap around, so they must not be averaged
    decoded = codecs.decode(stream, photometric=layout.photometric, name=name, at_least=at_least)
    if decoded.pixels.ndim == 3 and stream.kind == "JPEG-LS":
        decoded = replace(decoded, pixels=_rgb(decoded.pixels, layout))
    signed = stream.signed if stream.kind == "JPEG 2000" else None
    found = _resolved(
        decoded, layout, precision=stream.precision, stream_signed=signed, notes=notes
    )
    return replace(found, lossy=stream.lossy)


# --- sign and bits ---


def _resolved(
    decoded: codecs.Decoded,
    layout: Layout,
    *,
    precision: int,
    stream_signed: bool | None = None,
    notes: tuple[str, ...] = (),
) -> Stored:
    """Return grey samples with their sign, without bits that do not belong to them.

    Args:
        decoded: The decoded samples.
        layout: Layout according to the header.
        precision: Bits of a sample in the codestream, or of a word of uncompressed pixels.
        stream_signed: Whether the codestream is signed; None if it does not define the sign.
        notes: Previous assumptions.
    """
    notes = (*layout.notes, *notes, *decoded.notes)
    bits = layout.stored or precision
    if decoded.pixels.ndim == 3:
        return Stored(decoded.pixels, bits, decoded.decoder, notes)
    readings = _readings(decoded.pixels, layout, precision, stream_signed)
    words = next(iter(readings))
    if len(readings) > 1:
        words = _smoothest(readings)
    if words != _AS_DECLARED:
        notes = (*notes, f"the pixels are read as {words}")
    found = readings[words]
    scaled = found.shape != (layout.rows, layout.columns)
    depth: int | None = min(bits, precision)
    if scaled and found.dtype.kind == "u":  # smaller wavelet images overshoot
        found = np.minimum(found, 2**bits - 1)
    elif found.dtype.kind == "u" and int(found.max()) >= 2**bits:
        notes = (*notes, f"BitsStored is {bits}, and the pixels have more bits")
        depth = precision if precision < 16 else None
    return Stored(found, depth, decoded.decoder, notes)


_AS_DECLARED = "declared"


def _readings(
    pixels: NDArray[Any], layout: Layout, precision: int, stream_signed: bool | None
) -> dict[str, NDArray[Any]]:
    """Return the possible interpretations of samples, by name."""
    bits = layout.stored or precision
    if pixels.dtype.kind == "i":
        return _signed_readings(pixels, layout, precision)
    if layout.signed if layout.signed is not None else stream_signed:
        readings = {_AS_DECLARED: _twos_complement(pixels, bits)}
        if precision != bits:
            words = f"signed values of {precision} bits"
            readings[words] = _twos_complement(pixels, precision)
        if stream_signed is False:
            readings["unsigned values, as stated in the codestream"] = pixels
        return readings
    if precision > bits and int(pixels.max()) >= 2**bits:
        if not int(np.bitwise_or.reduce(pixels, axis=None)) & (2 ** (precision - bits) - 1):
            return {_AS_DECLARED: pixels}  # left-aligned: the unused bits are the lower ones
        swapped = pixels.byteswap()
        if int(swapped.max()) < 2**bits:  # all of them are in the other byte order
            return {"words of the other byte order": swapped}
        lower = pixels & pixels.dtype.type(2**bits - 1)
        words = f"their lower {bits} bits: those above do not belong to the values"
        return {_AS_DECLARED: pixels, words: lower}
    return {_AS_DECLARED: pixels}


def _signed_readings(
    pixels: NDArray[Any], layout: Layout, precision: int
) -> dict[str, NDArray[Any]]:
    """Return the possible interpretations of signed samples, only for JPEG 2000."""
    pixels = pixels.astype(np.int16, copy=False)
    if int(pixels.min()) >= 0:
        return {_AS_DECLARED: pixels.view(np.uint16)}
    if layout.signed is not False:
        return {_AS_DECLARED: pixels}
    mask = np.uint16(2**precision - 1)
    return {
        "signed values, as stated in the codestream": pixels,
        "unsigned values, as stated in the header": pixels.view(np.uint16) & mask,
    }


def _twos_complement(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Interpret the lower bits of words as signed numbers, int16."""
    shift = 16 - bits
    words = pixels.astype(np.uint16, copy=False)
    if not shift:
        return words.view(np.int16)
    return (words << np.uint16(shift)).view(np.int16) >> np.int16(shift)


def _smoothest(readings: dict[str, NDArray[Any]]) -> str:
    """Return the interpretation under which most neighbouring pixels are similar.

    Only neighbours that differ between the interpretations count: these are places where one
    interpretation jumps by the weight of a bit. They are counted, not summed, since edges in the
    image are jumps as well.
    """
    differences = []
    for pixels in readings.values():
        rows = pixels[:: max(1, len(pixels) // _ROWS_LOOKED_AT)].astype(np.int32)
        differences.append(np.abs(np.diff(rows, axis=1)))
    steps = np.stack(differences)
    least = steps.min(axis=0)
    unlike = steps.max(axis=0) > least
    wins = ((steps == least) & unlike).sum(axis=(1, 2))
    return list(readings)[int(wins.argmax())]

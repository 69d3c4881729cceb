"""Check that the data of a JPEG image are complete, by decoding it with modified bytes.

libjpeg fills in the missing part of a truncated image, skips surplus data, and only counts a
warning, which no Python binding reports for all precisions. Both are therefore detected by their
effects: the pixels of a whole image do not depend on the bytes that follow its data, and they
depend on the last byte of it. A hole in the data shifts everything that follows, so that one of the
two conditions is nearly always violated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.images.jpeg import (
    BASELINE,
    END,
    EXTENDED,
    MARKER,
    PROGRESSIVE,
    START_OF_SCAN,
    JpegHeader,
    has_all_scans,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_RESTART_OR_SCAN = re.compile(rb"\xff[\xd0-\xd7\xda]")
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
# Decodes to other values than the zeros that libjpeg fills in, for all Huffman tables. It includes
# restart markers, since a decoder that waits for one skips all other bytes.
_NOISE = bytes(1 + (number * number * 81 + number // 7) % 254 for number in range(2048))
_FILLER = _NOISE + b"".join(bytes((0xFF, 0xD0 + number)) + _NOISE[:256] for number in range(8))
_MOST_INTERVALS = 2**20  # maximum number of intervals examined; real images have fewer
_BETWEEN = 64  # bytes of noise before a restart marker
_MOST_FILLER = 2**24  # bytes: malicious files may consist of markers
_OTHER_FILLER = bytes(255 - byte for byte in _NOISE)
_NEEDLESS = 2
"""Number of extra bytes after the data that are harmless padding, besides any number of equal
ones."""


def pause(data: bytes, header: JpegHeader) -> int:
    """Return the number of bytes before the last byte of the image data.

    A decoder that finishes without them did not need all of the data; see ``has_data_left``.
    Arithmetic decoding cannot be interrupted and receives all bytes at once.
    """
    at = data.rfind(END)
    sequential = header.process in {BASELINE, EXTENDED}
    return at - 1 if sequential and at > header.body + 1 else len(data)


def has_data_left(data: bytes, header: JpegHeader, ready_without: Callable[[int], bool]) -> bool:
    """Return whether there are surplus data after the image, which indicates damage.

    Equal bytes at the end, and two others, are padding and not damage.

    Args:
        data: The codestream, as returned by ``closed``.
        header: Header of the codestream.
        ready_without: Returns whether the image is complete without a number of the last bytes.
    """
    body = data[header.body : -len(END)]
    padding = len(body) - len(body.rstrip(body[-1:]))
    withheld = padding + _NEEDLESS
    return withheld < len(body) and ready_without(withheld)


def same_without(
    data: bytes, withheld: int, pixels: NDArray[Any], decode: Callable[[bytes], NDArray[Any]]
) -> bool:
    """Return whether the image is unchanged when the last bytes are replaced.

    Used for ``has_data_left`` with a decoder that cannot be interrupted.

    Args:
        data: The codestream, as returned by ``closed``.
        withheld: Number of last bytes that are replaced.
        pixels: The result of ``decode`` for ``data``.
        decode: The decoder.
    """
    rest = data[: -len(END) - withheld].rstrip(b"\xff")
    try:  # two fillers, since one of them may happen to equal the data
        return all(
            np.array_equal(pixels, decode(rest + filler + END))
            for filler in (_FILLER, _OTHER_FILLER)
        )
    except Exception:  # decoders have no common exception; unneeded data cause none
        return False


def is_whole(
    data: bytes,
    header: JpegHeader,
    pixels: NDArray[Any],
    decode: Callable[[bytes], NDArray[Any]],
    *,
    always: bool = False,
) -> bool:
    """Return whether a decoded image has no areas filled in by the decoder.

    If data end too early, libjpeg fills the rest with the middle of the range, up to the next
    restart marker. If the last pixel, or the last units before a restart marker, have that value,
    or if more scans could follow, the image is decoded a second time with other bytes after its
    data, which do not change a whole image. The last row of a lossless image, and the last block of
    others, are not covered.

    Args:
        data: The codestream, as returned by ``closed``.
        header: Header of the codestream.
        pixels: The result of ``decode`` for ``data``, at any of its sizes, before any change of
            sign or colour.
        decode: The decoder.
        always: Whether to decode a second time regardless of the pixels, since a colour conversion
            may hide the middle of the range.
    """
    if not _restarts_in_order(data, header):
        return False
    if header.process == PROGRESSIVE:
        if not has_all_scans(data, header):
            return False
    elif not (
        always
        or _middle(pixels[-1:, -1], header.precision).any()
        or _middle_before_restarts(pixels, header)
    ):
        return True
    try:
        other = decode(_with_filler(data, header))
    except Exception:  # decoders have no common exception; a whole image is decoded as before
        return False
    return bool(np.array_equal(pixels, other))


def _with_filler(data: bytes, header: JpegHeader) -> bytes:
    """Return a codestream with additional bytes after each scan and restart interval."""
    found = bytearray(data[: header.body])
    position = header.body
    while marker := MARKER.search(data, position):
        at = marker.start()
        # A truncated marker would form another one with the first byte of the filler.
        scan = data[position:at].rstrip(b"\xff")
        left = _MOST_FILLER - (len(found) - position)
        if scan.count(b"\xff") * _BETWEEN < left:
            scan = _RESTART.sub(lambda restart: _NOISE[:_BETWEEN] + restart[0], scan)
        found += scan + (_FILLER if left > 0 else b"")
        position = at
        while data[position : position + 1] == b"\xff" and data[position + 1 : position + 2]:
            kind = data[position + 1]
            if kind == 0xFF:
                position += 1
                continue
            if kind == END[1]:
                return bytes(found) + END
            length = max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
            found += data[position : position + 2 + length]
            position += 2 + length
            if kind == START_OF_SCAN:
                break
    return bytes(found) + END


def _restarts_in_order(data: bytes, header: JpegHeader) -> bool:
    """Return whether the restart markers of each scan count modulo eight.

    If they do not, data are missing between them, and rows are misplaced.
    """
    expected = 0
    for found in _RESTART_OR_SCAN.finditer(data, header.body):
        number = found[0][1] - 0xD0
        if number == START_OF_SCAN - 0xD0:
            expected = 0
        elif number == expected:
            expected = (expected + 1) % 8
        else:
            return False
    return True


def _middle_before_restarts(pixels: NDArray[Any], header: JpegHeader) -> bool:
    """Return whether the last two units of any restart interval have the middle of the range.

    In whole images, a single unit has this value too often.
    """
    height, width = header.unit
    if header.interval < 2 or not (header.rows and header.columns):
        return False
    across, down = -(-header.columns // width), -(-header.rows // height)
    if across * down // header.interval > _MOST_INTERVALS:
        return True
    last = np.arange(header.interval - 1, across * down, header.interval)
    scale = max(
        1, round(header.rows / len(pixels))
    )  # decoded at a half, a quarter or an eighth of the size
    found = np.ones(len(last), np.bool_)
    for number in (last - 1, last):
        row = np.minimum(number // across * height + height // 2, header.rows - 1) // scale
        column = np.minimum(number % across * width + width // 2, header.columns - 1) // scale
        row, column = np.minimum(row, len(pixels) - 1), np.minimum(column, pixels.shape[1] - 1)
        found &= _middle(pixels[row, column], header.precision)
    return bool(found.any())


def _middle(pixels: NDArray[Any], precision: int) -> NDArray[np.bool_]:
    """Return whether pixels, [n] or [n, channels], have a value used for filling."""
    values = pixels.reshape(len(pixels), -1).astype(np.int64)
    # Colour conversion rounds values, so a difference of one level of 8 bits is tolerated.
    near = np.abs(values - 2 ** (precision - 1)) <= (values.shape[1] > 1)
    return np.asarray(near.any(axis=1), np.bool_)

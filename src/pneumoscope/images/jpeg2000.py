"""Check that a JPEG 2000 codestream is complete (ISO/IEC 15444-1, annexes A and I).

Some decoders return half an image for half a codestream, and allocate memory for each tile that the
header declares. The tile-parts are therefore counted before decoding.
"""

from __future__ import annotations

import struct

from pneumoscope.errors import DamagedImageError

CODESTREAM = b"\xff\x4f\xff\x51"
"""The first bytes of a codestream: SOC and SIZ."""

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
"""The first bytes of a file with boxes (.jp2, .jpf)."""

END = b"\xff\xd9"
"""The marker that ends a codestream."""

_SOT = 0xFF90
_LEAST_TILE_PART = 14  # bytes: its header and the marker that ends it


def check_whole(data: bytes, *, name: str) -> None:
    """Raise an error for a file or codestream that is incomplete.

    Args:
        data: A codestream, or a file with boxes around one.
        name: Name of the file in messages.

    Raises:
        DamagedImageError: It is truncated, or its markers are invalid.
    """
    try:
        begin, end = codestream_in(data)
        at = end_of_tile_parts(data, begin, end)
    except CutError as fault:
        raise DamagedImageError(
            f"{name}: truncated or damaged JPEG 2000 ({fault}); copy it again."
        ) from fault
    if at < end and not data.startswith(END, at):
        raise DamagedImageError(
            f"{name}: truncated or damaged JPEG 2000 (a tile-part is missing where one is "
            "expected); copy it again."
        )


class CutError(ValueError):
    """The markers announce more data than there are."""


def end_of_tile_parts(data: bytes, begin: int, end: int) -> int:
    """Return the end of the last tile-part, where the end marker should be.

    Args:
        data: Bytes that contain the codestream.
        begin: Start of the codestream.
        end: End of the codestream, or of the data that may belong to it.

    Raises:
        CutError: A tile or a part of one is missing, or its markers are invalid.
    """
    try:
        first = _first_tile_part(data, begin, end)
        return _check_tile_parts(data, first, end, _tile_count(data, begin))
    except struct.error as fault:
        raise CutError("it ends within a marker") from fault


def precision_of(data: bytes) -> int:
    """Return the bits per sample of the first component.

    Raises:
        CutError: There is no header.
    """
    begin, end = codestream_in(data)
    if begin + 43 > end:
        raise CutError("it ends within a marker")
    return (data[begin + 42] & 0x7F) + 1


def _first_tile_part(data: bytes, begin: int, end: int) -> int:
    """Return the end of the main header."""
    at = begin + 2
    while at < end:
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _SOT:
            return at
        if marker < 0xFF00 or length < 2:
            raise CutError("its main header is damaged")
        at += 2 + length
    raise CutError("it contains no pixels")


def _check_tile_parts(data: bytes, at: int, end: int, tiles: int) -> int:
    """Follow the lengths of the tile-parts to the end; all tiles must occur."""
    seen: dict[int, int] = {}
    announced: dict[int, int] = {}
    while at + 2 <= end and struct.unpack_from(">H", data, at)[0] == _SOT:
        tile, length, _, parts = struct.unpack_from(">HIBB", data, at + 4)
        seen[tile] = seen.get(tile, 0) + 1
        announced[tile] = max(announced.get(tile, 0), parts)
        if length == 0:  # the last one, which extends to the end marker
            marker = data.rfind(END, at, end)
            at = marker if marker > at else end
            break
        if length < _LEAST_TILE_PART:
            raise CutError("a tile-part has an impossible length")
        at += length
    if at > end:
        raise CutError(f"a tile-part reaches {at - end:,} bytes beyond the end")
    if len(seen) < tiles:
        raise CutError(f"{len(seen)} of {tiles} tiles are present")
    if any(seen[tile] < parts for tile, parts in announced.items()):
        raise CutError("a tile-part is missing")
    return at


def _tile_count(data: bytes, begin: int) -> int:
    """Return the number of tiles in the SIZ segment; 0 if invalid."""
    sizes: tuple[int, ...] = struct.unpack_from(">8I", data, begin + 8)
    right, bottom, _, _, width, height, left, top = sizes
    if not (width and height and right > left and bottom > top):
        return 0
    return int(-(-(right - left) // width) * -(-(bottom - top) // height))


def codestream_in(data: bytes) -> tuple[int, int]:
    """Return start and end of the codestream in a file.

    Raises:
        CutError: There is none, or a box is truncated.
    """
    if data.startswith(CODESTREAM):
        return 0, len(data)
    at = 0
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        head = 8
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
            head = 16
        end = len(data) if length == 0 else at + length
        if end > len(data) or end < at + head:
            raise CutError("a box reaches beyond the end")
        if kind == b"jp2c":
            return at + head, end
        at = end
    raise CutError("it contains no codestream")

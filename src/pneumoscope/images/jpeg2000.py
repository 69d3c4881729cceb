"""Whether a JPEG 2000 codestream is whole, by its markers (ISO/IEC 15444-1, annexes A and I).

Some decoders return half an image for half a codestream, and take memory for each tile that a
header declares. So the tile-parts are counted before a decoder is asked.
"""

from __future__ import annotations

import struct

from pneumoscope.errors import DamagedImageError

CODESTREAM = b"\xff\x4f\xff\x51"
"""How a codestream begins: SOC and SIZ."""

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
"""How a file with boxes (.jp2, .jpf) begins."""

_SOT, _EOC = 0xFF90, 0xFFD9
_LEAST_TILE_PART = 14  # bytes: its header and the marker that ends it


def check_whole(data: bytes, *, name: str) -> None:
    """Refuse a file or codestream that lacks a part that its markers announce.

    Args:
        data: A codestream, or a file with boxes around one.
        name: What messages call it.

    Raises:
        DamagedImageError: It was cut, or its markers cannot be.
    """
    try:
        begin, end = _codestream(data)
        _check_tile_parts(data, _first_tile_part(data, begin, end), end, _tile_count(data, begin))
    except (struct.error, _CutError) as fault:
        reason = fault if isinstance(fault, _CutError) else "it ends within a marker"
        raise DamagedImageError(
            f"{name}: truncated or damaged JPEG 2000 ({reason}); copy it again."
        ) from fault


class _CutError(ValueError):
    """The markers announce more than is there."""


def _first_tile_part(data: bytes, begin: int, end: int) -> int:
    """Return where the main header ends."""
    at = begin + 2
    while at < end:
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _SOT:
            return at
        if marker < 0xFF00 or length < 2:
            raise _CutError("its main header is damaged")
        at += 2 + length
    raise _CutError("no pixels in it")


def _check_tile_parts(data: bytes, at: int, end: int, tiles: int) -> None:
    """Follow the lengths of the tile-parts to the end marker; all tiles must be among them."""
    seen: dict[int, int] = {}
    announced: dict[int, int] = {}
    while at < end and struct.unpack_from(">H", data, at)[0] == _SOT:
        tile, length, _, parts = struct.unpack_from(">HIBB", data, at + 4)
        seen[tile] = seen.get(tile, 0) + 1
        announced[tile] = max(announced.get(tile, 0), parts)
        if length == 0:  # the last one, which reaches to the end marker
            at = end - 2
            break
        if length < _LEAST_TILE_PART:
            raise _CutError("a tile-part has an impossible length")
        at += length
    if at > end:
        raise _CutError(f"a tile-part reaches {at - end:,} bytes beyond the end")
    if len(seen) < tiles:
        raise _CutError(f"{len(seen)} of {tiles} tiles are there")
    if any(seen[tile] < parts for tile, parts in announced.items()):
        raise _CutError("a tile-part is missing")
    if at < end and struct.unpack_from(">H", data, at)[0] != _EOC:
        raise _CutError("something else stands in place of a tile-part")


def _tile_count(data: bytes, begin: int) -> int:
    """Return how many tiles the SIZ segment declares; 0 where it cannot be."""
    sizes: tuple[int, ...] = struct.unpack_from(">8I", data, begin + 8)
    right, bottom, _, _, width, height, left, top = sizes
    if not (width and height and right > left and bottom > top):
        return 0
    return -(-(right - left) // width) * -(-(bottom - top) // height)


def _codestream(data: bytes) -> tuple[int, int]:
    """Return where the codestream begins and ends."""
    if data.startswith(CODESTREAM):
        return 0, len(data)
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        end = len(data) if length == 0 else at + length
        if end > len(data) or end < at + head:
            raise _CutError("a box reaches beyond the end")
        if kind == b"jp2c":
            return at + head, end
        at = end
    raise _CutError("no codestream in it")

"""What a compressed frame is, by its own markers: the transfer syntax is only a claim about it.

Sources: ITU-T T.81, T.87 (JPEG, JPEG-LS); ITU-T T.800, T.814 (JPEG 2000, HTJ2K), annex A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pneumoscope.images import jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator

_J2K_START = b"\xff\x4f\xff\x51"
_J2K_END = b"\xff\xd9"
_BOXES = b"\0\0\0\x0cjP"
_RAW_BOX = b"jp2c"
_HIGH_THROUGHPUT = 0x4000  # of Rsiz: part 15


@dataclass(frozen=True, slots=True)
class Codestream:
    """A compressed frame, ready for a decoder.

    Attributes:
        kind: ``JPEG``, ``JPEG-LS`` or ``JPEG 2000``.
        name: The same with its process, such as ``JPEG lossless`` or ``HTJ2K``.
        data: The frame with its end marker, without what stood behind it.
        rows: Of the image.
        columns: Of the image.
        components: How many there are.
        precision: Bits a sample.
        signed: Whether samples are signed; only JPEG 2000 can say so.
        jpeg: The header of a JPEG or JPEG-LS frame.
        transformed: Whether a JPEG 2000 frame undoes a colour transform, so that RGB comes out.
        levels: How often a JPEG 2000 frame can be halved while it is decoded.
        fault: What is missing of the frame; empty if nothing is known to be.
    """

    kind: str
    name: str
    data: bytes
    rows: int
    columns: int
    components: int
    precision: int
    signed: bool = False
    jpeg: jpeg.JpegHeader | None = None
    transformed: bool = False
    levels: int = 0
    fault: str = ""


_PROCESSES = {0: "baseline", 1: "extended", 2: "progressive", jpeg.LOSSLESS: "lossless"}


def identify(frame: bytes) -> Codestream | None:
    """Return what a frame is, None if it is neither JPEG, JPEG-LS nor JPEG 2000."""
    if frame[:2] == b"\xff\xd8":
        return _jpeg(frame)
    if frame.startswith(_BOXES):
        at = frame.find(_RAW_BOX, 0, 65536)
        frame = frame[at + 4 :] if at > 0 else b""
    return _jpeg_2000(frame) if frame.startswith(_J2K_START) else None


def starts_in(fragments: list[bytes]) -> int:
    """Return how many of the fragments begin a codestream of their own."""
    starts = (b"\xff\xd8\xff", _J2K_START, _BOXES)
    return sum(fragment.startswith(starts) for fragment in fragments)


def _jpeg(frame: bytes) -> Codestream | None:
    header = jpeg.read_header(frame)
    if header is None:
        return None
    lossless_ls = header.process == jpeg.JPEG_LS
    process = _PROCESSES.get(header.process, f"process {header.process}")
    return Codestream(
        kind="JPEG-LS" if lossless_ls else "JPEG",
        name="JPEG-LS" if lossless_ls else f"JPEG {process}, {header.precision} bits",
        data=jpeg.closed(frame, header),
        rows=header.rows,
        columns=header.columns,
        components=len(header.components),
        precision=header.precision,
        jpeg=header,
    )


def _jpeg_2000(frame: bytes) -> Codestream | None:
    if len(frame) < 45:
        return None
    right, bottom, left, top, wide, high, tile_left, tile_top = (
        int.from_bytes(frame[8 + 4 * field : 12 + 4 * field], "big") for field in range(8)
    )
    components = int.from_bytes(frame[40:42], "big")
    depth = frame[42]
    capabilities = int.from_bytes(frame[6:8], "big")
    tiles = 0
    if wide and high and right > tile_left and bottom > tile_top:
        tiles = -(-(right - tile_left) // wide) * -(-(bottom - tile_top) // high)
    end, fault = _end_of_tiles(frame, tiles)
    transformed, levels = _coding_style(frame)
    return Codestream(
        kind="JPEG 2000",
        name="HTJ2K" if capabilities & _HIGH_THROUGHPUT else "JPEG 2000",
        data=frame[:end] + _J2K_END,
        rows=max(0, bottom - top),
        columns=max(0, right - left),
        components=components,
        precision=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        transformed=transformed,
        levels=levels,
        fault=fault,
    )


def _markers(frame: bytes) -> Iterator[tuple[int, int]]:
    """Yield marker and place of the segments of the main header, and of the first tile part."""
    position = 2
    while position + 4 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        yield marker, position
        if marker == 0x90:
            return
        position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")


def _coding_style(frame: bytes) -> tuple[bool, int]:
    """Return whether colours are transformed, and the number of decomposition levels (COD)."""
    for marker, at in _markers(frame):
        if marker == 0x52 and len(frame) > at + 9:
            return frame[at + 8] == 1, min(frame[at + 9], 32)
    return False, 0


def _end_of_tiles(frame: bytes, tiles: int) -> tuple[int, str]:
    """Return where the last tile part ends, and what is missing of the tiles."""
    position = next((at for marker, at in _markers(frame) if marker == 0x90), 0)
    if not position:
        return len(frame), "it has no tile"
    seen: set[int] = set()
    while frame[position : position + 2] == b"\xff\x90" and position + 12 <= len(frame):
        seen.add(int.from_bytes(frame[position + 4 : position + 6], "big"))
        length = int.from_bytes(frame[position + 6 : position + 10], "big")
        if length == 0:  # up to the end marker
            at = frame.rfind(_J2K_END)
            position = at if at > position else len(frame.rstrip(b"\0"))
            break
        if length < 14:
            return len(frame), "the length of a tile part is impossible"
        if position + length > len(frame):
            missing = position + length - len(frame)
            return len(frame), f"{missing:,} bytes of a tile part are missing"
        position += length
    missing_tiles = tiles - len(seen)
    fault = f"{missing_tiles} of {tiles} tiles are missing" if missing_tiles > 0 else ""
    return position, fault

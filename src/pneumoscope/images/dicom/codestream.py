"""Identify a compressed frame by its own markers instead of the transfer syntax.

Sources: ITU-T T.81, T.87 (JPEG, JPEG-LS); ITU-T T.800, T.814 (JPEG 2000, HTJ2K), annex A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pneumoscope.images import jpeg, jpeg2000

if TYPE_CHECKING:
    from collections.abc import Iterator

_HIGH_THROUGHPUT = 0x4000  # of Rsiz: part 15


@dataclass(frozen=True, slots=True)
class Codestream:
    """A compressed frame, ready to be decoded.

    Attributes:
        kind: ``JPEG``, ``JPEG-LS`` or ``JPEG 2000``.
        name: The same with its process, such as ``JPEG lossless`` or ``HTJ2K``.
        data: The frame up to and including its end marker.
        rows: Number of rows.
        columns: Number of columns.
        components: Number of components.
        precision: Bits per sample.
        signed: Whether samples are signed; only defined by JPEG 2000.
        jpeg: The header of a JPEG or JPEG-LS frame.
        transformed: Whether a JPEG 2000 frame includes a colour transform, so that decoding gives
            RGB.
        levels: How many times a JPEG 2000 frame can be halved while it is decoded.
        fault: The missing part of the frame; empty if it is complete as far as known.
        lossy: Whether the compression changes values.
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
    lossy: bool = False


_PROCESSES = {0: "baseline", 1: "extended", 2: "progressive", jpeg.LOSSLESS: "lossless"}


def identify(frame: bytes) -> Codestream | None:
    """Return the codestream of a frame, None if it is neither JPEG, JPEG-LS nor JPEG 2000."""
    if frame[:2] == b"\xff\xd8":
        return _jpeg(frame)
    if frame.startswith((jpeg2000.CODESTREAM, jpeg2000.SIGNATURE)):
        try:
            begin, end = jpeg2000.codestream_in(frame)
        except jpeg2000.CutError:
            return None
        return _jpeg_2000(frame[begin:end] if begin else frame)
    return None


def starts_in(fragments: list[bytes]) -> int:
    """Return the number of fragments that start a codestream."""
    starts = (b"\xff\xd8\xff", jpeg2000.CODESTREAM, jpeg2000.SIGNATURE)
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
        # The scan header of JPEG-LS ends with the permitted error, the interleave mode and a
        # transform.
        lossy=(
            frame[header.body - 3 : header.body - 2] > b"\0"
            if lossless_ls
            else header.process != jpeg.LOSSLESS
        ),
    )


def _jpeg_2000(frame: bytes) -> Codestream | None:
    if len(frame) < 45:
        return None
    right, bottom, left, top = (
        int.from_bytes(frame[8 + 4 * field : 12 + 4 * field], "big") for field in range(4)
    )
    components = int.from_bytes(frame[40:42], "big")
    depth = frame[42]
    capabilities = int.from_bytes(frame[6:8], "big")
    fault = ""
    try:
        end = jpeg2000.end_of_tile_parts(frame, 0, len(frame))
    except jpeg2000.CutError as cut:
        end, fault = len(frame), str(cut)
    transformed, levels, lossy = _coding_style(frame)
    return Codestream(
        kind="JPEG 2000",
        name="HTJ2K" if capabilities & _HIGH_THROUGHPUT else "JPEG 2000",
        data=frame[:end] + jpeg2000.END,
        rows=max(0, bottom - top),
        columns=max(0, right - left),
        components=components,
        precision=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        transformed=transformed,
        levels=levels,
        fault=fault,
        lossy=lossy,
    )


def _markers(frame: bytes) -> Iterator[tuple[int, int]]:
    """Yield marker and position of the segments of the main header and the first tile-part."""
    position = 2
    while position + 4 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        yield marker, position
        if marker == 0x90:
            return
        position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")


def _coding_style(frame: bytes) -> tuple[bool, int, bool]:
    """Return the fields of COD: colour transform, decomposition levels, lossy.

    Wavelet 0 (9-7) is lossy, wavelet 1 (5-3) is lossless.
    """
    for marker, at in _markers(frame):
        if marker == 0x52 and len(frame) > at + 13:
            return frame[at + 8] == 1, min(frame[at + 9], 32), frame[at + 13] == 0
    return False, 0, False

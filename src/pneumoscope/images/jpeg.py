"""The structure of JPEG and JPEG-LS codestreams: headers, end of image, completeness.

Source: ITU-T T.81 (JPEG), annex B; ITU-T T.87 (JPEG-LS), annex C.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

JPEG_LS = 0xF7
"""The start-of-frame marker of JPEG-LS."""

BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS = 0, 1, 2, 3
_ARITHMETIC_PROGRESSIVE = 10
END = b"\xff\xd9"

START_OF_SCAN, _END_OF_IMAGE, _RESTART_INTERVAL = 0xDA, 0xD9, 0xDD
_NO_FRAME = frozenset({0xC4, 0xC8, 0xCC})  # DHT, JPG, DAC are in the range
# A marker in entropy-coded data other than stuffed bytes, restart markers and fill bytes. JPEG-LS
# stuffs bits, so that no byte after 0xFF is above 0x7F.
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_LS_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")


class JpegHeader(NamedTuple):
    """The frame header of a JPEG or JPEG-LS codestream, and how its colours are marked.

    Attributes:
        process: Number of the start-of-frame marker: 0 baseline, 1 extended, 2 progressive,
            3 lossless, from 9 on arithmetic coding; ``JPEG_LS``.
        precision: Bits per sample.
        rows: Number of rows; 0 if the codestream defines it after the first scan.
        columns: Number of columns.
        components: Identifiers of the components.
        subsampled: Whether components have different sampling factors.
        jfif: Whether there is a JFIF marker, which implies YCbCr (or grey).
        adobe: Colour transform of Adobe's marker: 0 none, 1 YCbCr, 2 YCCK; None without one.
        body: Position of the first entropy-coded segment.
        scanned: Number of components in the first scan.
        interval: Units between restart markers; 0 if there are none.
        unit: (height, width) in pixels of a coding unit; for several components, if they share a
            scan.
    """

    process: int
    precision: int
    rows: int
    columns: int
    components: tuple[int, ...]
    subsampled: bool
    jfif: bool
    adobe: int | None
    body: int
    scanned: int
    interval: int = 0
    unit: tuple[int, int] = (8, 8)


def read_header(data: bytes) -> JpegHeader | None:
    """Return the frame header of a codestream, None if there is none before the first scan."""
    frame: tuple[int, bytes] | None = None
    jfif, adobe, interval = False, None, 0
    for marker, begin, end in _segments(data):
        content = data[begin:end]
        if marker == JPEG_LS or (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME):
            frame = marker, content
        elif marker == 0xE0 and content[:5] == b"JFIF\0":
            jfif = True
        elif marker == 0xEE and content[:5] == b"Adobe" and len(content) >= 12:
            adobe = content[11]
        elif marker == _RESTART_INTERVAL:
            interval = int.from_bytes(content[:2], "big")
        elif marker == START_OF_SCAN and frame is not None and len(frame[1]) >= 6:
            return _header(
                *frame, jfif=jfif, adobe=adobe, body=end, scanned=data[begin], interval=interval
            )
    return None


def _header(
    marker: int,
    content: bytes,
    *,
    jfif: bool,
    adobe: int | None,
    body: int,
    scanned: int,
    interval: int,
) -> JpegHeader | None:
    count = content[5]
    parts = content[6 : 6 + 3 * count]
    if len(parts) != 3 * count:
        return None
    side = 1 if marker - 0xC0 == LOSSLESS else 8
    sampling = parts[1::3] if count > 1 else b"\x11"  # irrelevant for a single component
    return JpegHeader(
        process=JPEG_LS if marker == JPEG_LS else marker - 0xC0,
        precision=content[0],
        rows=int.from_bytes(content[1:3], "big"),
        columns=int.from_bytes(content[3:5], "big"),
        components=tuple(parts[::3]),
        subsampled=len(set(parts[1::3])) > 1,
        jfif=jfif,
        adobe=adobe,
        body=body,
        scanned=scanned,
        interval=interval,
        unit=(
            side * max((factors & 15 for factors in sampling), default=1),
            side * max((factors >> 4 for factors in sampling), default=1),
        ),
    )


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of the segments up to the first scan header."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill
            position += 1
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        yield marker, position + 4, end
        if marker == START_OF_SCAN:
            return
        position = end


def end_of_image(data: bytes, header: JpegHeader) -> int | None:
    """Return the position of the end marker, None if there is none.

    Thumbnails in application segments, and bytes after the image, are ignored.
    """
    pattern = _LS_MARKER if header.process == JPEG_LS else MARKER
    position = header.body
    while found := pattern.search(data, position):
        at = found.start()
        if data[at + 1] == _END_OF_IMAGE:
            return at
        position = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None


def closed(data: bytes, header: JpegHeader) -> bytes:
    """Return a codestream that ends with its end marker.

    Bytes after the marker are dropped, and a missing marker is added; ``is_whole`` checks whether
    the image is complete.
    """
    at = end_of_image(data, header)
    return (data if at is None else data[:at]) + END


def has_all_scans(data: bytes, header: JpegHeader) -> bool:
    """Return whether the scans of an image are known to be complete.

    Scans may be missing at the end without a warning of the decoder. A single scan that contains
    all components is complete, and so are progressive scans that give all bits of all coefficients.
    """
    if header.process not in {PROGRESSIVE, _ARITHMETIC_PROGRESSIVE}:
        return header.scanned == len(header.components)
    if header.process == _ARITHMETIC_PROGRESSIVE:
        return False
    missing = {(component, k) for component in header.components for k in range(64)}
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            found = MARKER.search(data, position)
            if found is None:
                break
            position = found.start()
        marker = data[position + 1]
        if marker == _END_OF_IMAGE:
            break
        if marker == 0xFF:
            position += 1
            continue
        length = max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
        if marker == START_OF_SCAN and position + 5 < len(data):
            count = data[position + 4]
            names = data[position + 5 : position + 5 + 2 * count : 2]
            first, last, low = (*data[position + 2 + length - 3 : position + 2 + length], 0, 0, 0)[
                :3
            ]
            if low & 0x0F == 0:
                missing -= {(name, k) for name in names for k in range(first, last + 1)}
            found = MARKER.search(data, position + 2 + length)
            if found is None:
                break
            position = found.start()
        else:
            position += 2 + length
    return not missing

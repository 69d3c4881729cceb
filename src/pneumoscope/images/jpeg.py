"""The structure of JPEG and JPEG-LS codestreams: headers, the end of the image, wholeness.

libjpeg fills in what is missing of a truncated image, passes over what is too much, and only counts
a warning, which no Python binding hands on for all precisions. So both are found by what cannot be
hidden: the pixels of a whole image do not depend on the bytes that follow its data, and they need
the last byte of it. A hole in the data shifts all that follows, so that nearly always one of the
two does not hold.

Source: ITU-T T.81 (JPEG), annex B; ITU-T T.87 (JPEG-LS), annex C.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

JPEG_LS = 0xF7
"""The start-of-frame marker of JPEG-LS."""

BASELINE, EXTENDED = 0, 1
LOSSLESS = 3
PROGRESSIVE = 2
END = b"\xff\xd9"

_START_OF_SCAN, _END, _RESTART_INTERVAL = 0xDA, 0xD9, 0xDD
_NO_FRAME = frozenset({0xC4, 0xC8, 0xCC})  # DHT, JPG, DAC lie among the start-of-frame markers
# A marker in entropy-coded data: no stuffed byte, no restart, no fill. JPEG-LS stuffs bits, so
# that no byte after 0xFF is above 0x7F.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_LS_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
_RESTART_OR_SCAN = re.compile(rb"\xff[\xd0-\xd7\xda]")
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
# Decodes to something else than the zeros that libjpeg fills in, whatever the Huffman tables are.
# Restart markers are among it, since a decoder that waits for one passes over all else.
_NOISE = bytes(1 + (number * number * 81 + number // 7) % 254 for number in range(2048))
_FILLER = _NOISE + b"".join(bytes((0xFF, 0xD0 + number)) + _NOISE[:256] for number in range(8))
_MOST_INTERVALS = 2**20  # are looked at; images in more of them are made up
_BETWEEN = 64  # bytes of noise before a restart marker
_MOST_FILLER = 2**24  # bytes: made-up files may consist of markers
_OTHER_FILLER = bytes(255 - byte for byte in _NOISE)
_NEEDLESS = 2
"""So many bytes behind the data are harmless, and any number of equal ones: writers pad so."""


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """The frame header of a JPEG or JPEG-LS codestream, and how its colours are marked.

    Attributes:
        process: Number of the start-of-frame marker: 0 baseline, 1 extended, 2 progressive,
            3 lossless, from 9 on arithmetic coding; ``JPEG_LS``.
        precision: Bits a sample.
        rows: Of the image; 0 if the codestream defines them after the first scan.
        columns: Of the image.
        components: Identifiers of the components.
        subsampled: Whether components have different sampling factors.
        jfif: Whether there is a JFIF marker, which says YCbCr (or grey).
        adobe: Colour transform of Adobe's marker: 0 none, 1 YCbCr, 2 YCCK; None without one.
        body: Where the first entropy-coded segment begins.
        interval: Units between restart markers; 0 if there are none.
        unit: (height, width) in pixels of what is coded together; where there are several
            components, if they share a scan.
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
    interval: int = 0
    unit: tuple[int, int] = (8, 8)


def read_header(data: bytes) -> JpegHeader | None:
    """Return the header of a codestream, None if it has none before its first scan."""
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
        elif marker == _START_OF_SCAN and frame is not None and len(frame[1]) >= 6:
            return _header(*frame, jfif=jfif, adobe=adobe, body=end, interval=interval)
    return None


def _header(
    marker: int, content: bytes, *, jfif: bool, adobe: int | None, body: int, interval: int
) -> JpegHeader | None:
    count = content[5]
    parts = content[6 : 6 + 3 * count]
    if len(parts) != 3 * count:
        return None
    side = 1 if marker - 0xC0 == LOSSLESS else 8
    sampling = parts[1::3] if count > 1 else b"\x11"  # of one component it does not count
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
        interval=interval,
        unit=(
            side * max((factors & 15 for factors in sampling), default=1),
            side * max((factors >> 4 for factors in sampling), default=1),
        ),
    )


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, begin and end of the segments up to and with the first scan header."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill
            position += 1
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        yield marker, position + 4, end
        if marker == _START_OF_SCAN:
            return
        position = end


def end_of_image(data: bytes, header: JpegHeader) -> int | None:
    """Return where the end marker of the image stands, None if there is none.

    Thumbnails in application segments, and bytes behind the image, do not mislead it.
    """
    pattern = _LS_MARKER if header.process == JPEG_LS else _MARKER
    position = header.body
    while found := pattern.search(data, position):
        at = found.start()
        if data[at + 1] == _END:
            return at
        position = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None


def closed(data: bytes, header: JpegHeader) -> bytes:
    """Return a codestream that ends with its end marker.

    What stands behind the marker is dropped, and a missing one is added; whether the image before
    it is whole is for ``is_whole`` to say.
    """
    at = end_of_image(data, header)
    return (data if at is None else data[:at]) + END


def pause(data: bytes, header: JpegHeader) -> int:
    """Return after how many bytes a decoder is to be interrupted: before the last one of the image.

    A decoder that is then ready has not needed all of the data; see ``has_data_left``. Arithmetic
    decoding cannot be interrupted, and gets all bytes at once.
    """
    at = data.rfind(END)
    sequential = header.process in {BASELINE, EXTENDED}
    return at - 1 if sequential and at > header.body + 1 else len(data)


def has_data_left(data: bytes, header: JpegHeader, ready_without: Callable[[int], bool]) -> bool:
    """Return whether data are left when the image is complete: then a part of them is damaged.

    Equal bytes at the end, and two others, are no damage but padding.

    Args:
        data: The codestream, as ``closed`` returns it.
        header: Its header.
        ready_without: Says whether the image is complete without so many of the last bytes.
    """
    body = data[header.body : -len(END)]
    padding = len(body) - len(body.rstrip(body[-1:]))
    withheld = padding + _NEEDLESS
    return withheld < len(body) and ready_without(withheld)


def same_without(
    data: bytes, withheld: int, pixels: NDArray[Any], decode: Callable[[bytes], NDArray[Any]]
) -> bool:
    """Return whether an image stays the same with other bytes instead of the last ones.

    It is what ``has_data_left`` asks, for a decoder that cannot be interrupted.

    Args:
        data: The codestream, as ``closed`` returns it.
        withheld: How many of the last bytes are replaced.
        pixels: What ``decode`` made of ``data``.
        decode: The decoder.
    """
    rest = data[: -len(END) - withheld].rstrip(b"\xff")
    try:  # two fillers, since one of them may happen to say the same as the data
        return all(
            np.array_equal(pixels, decode(rest + filler + END))
            for filler in (_FILLER, _OTHER_FILLER)
        )
    except Exception:  # decoders' faults share no base; data that are not needed cause none
        return False


def is_whole(
    data: bytes,
    header: JpegHeader,
    pixels: NDArray[Any],
    decode: Callable[[bytes], NDArray[Any]],
    *,
    always: bool = False,
) -> bool:
    """Return whether a decoded image was filled in nowhere by the decoder.

    Where data end too early, libjpeg fills the rest with the middle of the range, up to the next
    restart marker. Only if the last pixel, or the last units before a restart marker, have that
    value, or where more scans could follow, the image is decoded a second time, with other bytes
    behind its data: a whole image stays the same. Of a lossless image the last row is not covered,
    of others the last block.

    Args:
        data: The codestream, as ``closed`` returns it.
        header: Its header.
        pixels: What ``decode`` made of ``data``, at any of its sizes, before any change of sign or
            colour.
        decode: The decoder.
        always: Whether to decode a second time whatever the pixels are: colours may have been
            converted in a way that hides the middle of the range.
    """
    if not _restarts_in_order(data, header):
        return False
    if header.process == PROGRESSIVE:
        if not _has_all_scans(data, header):
            return False
    elif not (
        always
        or _middle(pixels[-1:, -1], header.precision).any()
        or _middle_before_restarts(pixels, header)
    ):
        return True
    try:
        other = decode(_with_filler(data, header))
    except Exception:  # decoders' faults share no base; a whole image is decoded as before
        return False
    return bool(np.array_equal(pixels, other))


def _with_filler(data: bytes, header: JpegHeader) -> bytes:
    """Return a codestream with needless bytes behind the data of each scan and restart interval."""
    found = bytearray(data[: header.body])
    position = header.body
    while marker := _MARKER.search(data, position):
        at = marker.start()
        # A cut marker would make another one with the first byte of the filler.
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
            if kind == _END:
                return bytes(found) + END
            length = max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
            found += data[position : position + 2 + length]
            position += 2 + length
            if kind == _START_OF_SCAN:
                break
    return bytes(found) + END


def _restarts_in_order(data: bytes, header: JpegHeader) -> bool:
    """Return whether the restart markers of each scan count as they should, modulo eight.

    Where they do not, data are missing between them, and rows are out of their place.
    """
    expected = 0
    for found in _RESTART_OR_SCAN.finditer(data, header.body):
        number = found[0][1] - 0xD0
        if number == _START_OF_SCAN - 0xD0:
            expected = 0
        elif number == expected:
            expected = (expected + 1) % 8
        else:
            return False
    return True


def _middle_before_restarts(pixels: NDArray[Any], header: JpegHeader) -> bool:
    """Return whether the last two units of any restart interval have the middle of the range.

    One unit alone has it too often in whole images.
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
    )  # decoded at a half, a quarter or an eighth of it
    found = np.ones(len(last), np.bool_)
    for number in (last - 1, last):
        row = np.minimum(number // across * height + height // 2, header.rows - 1) // scale
        column = np.minimum(number % across * width + width // 2, header.columns - 1) // scale
        row, column = np.minimum(row, len(pixels) - 1), np.minimum(column, pixels.shape[1] - 1)
        found &= _middle(pixels[row, column], header.precision)
    return bool(found.any())


def _middle(pixels: NDArray[Any], precision: int) -> NDArray[np.bool_]:
    """Return for pixels, [n] or [n, channels], whether one of the values is that of a filling."""
    values = pixels.reshape(len(pixels), -1).astype(np.int64)
    # Colours are rounded when they are converted, so one level of 8 bits is left for it.
    near = np.abs(values - 2 ** (precision - 1)) <= (values.shape[1] > 1)
    return np.asarray(near.any(axis=1), np.bool_)


def _has_all_scans(data: bytes, header: JpegHeader) -> bool:
    """Return whether the scans of a progressive image give all bits of all coefficients."""
    missing = {(component, k) for component in header.components for k in range(64)}
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            found = _MARKER.search(data, position)
            if found is None:
                break
            position = found.start()
        marker = data[position + 1]
        if marker == _END:
            break
        if marker == 0xFF:
            position += 1
            continue
        length = max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
        if marker == _START_OF_SCAN and position + 5 < len(data):
            count = data[position + 4]
            names = data[position + 5 : position + 5 + 2 * count : 2]
            first, last, low = (*data[position + 2 + length - 3 : position + 2 + length], 0, 0, 0)[
                :3
            ]
            if low & 0x0F == 0:
                missing -= {(name, k) for name in names for k in range(first, last + 1)}
            found = _MARKER.search(data, position + 2 + length)
            if found is None:
                break
            position = found.start()
        else:
            position += 2 + length
    return not missing

"""Assemble the single frame of encapsulated pixel data.

Source: DICOM PS3.5, annex A.4.
"""

from __future__ import annotations

from pneumoscope.errors import DamagedImageError, UnsupportedImageError
from pneumoscope.images.dicom.codestream import starts_in

ITEM = b"\xfe\xff\x00\xe0"
DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"


def frame_of(value: bytes, *, frames: int, name: str) -> bytes:
    """Return the compressed frame of a single-frame image.

    Args:
        value: The items of the pixel data: the offset table, then the fragments.
        frames: Number of frames declared in the header.
        name: Name of the file, for messages.

    Raises:
        DamagedImageError: A fragment is truncated, or there is none.
        UnsupportedImageError: There are several frames.
    """
    items = _items(value, name=name)
    fragments = items[1:]
    if not any(fragments):
        raise DamagedImageError(f"{name}: its compressed pixel data are empty; copy it again.")
    offsets = len(items[0]) // 4
    several = max(offsets, starts_in(fragments))
    if several > max(1, frames):
        raise UnsupportedImageError(
            f"{name}: its pixel data contain {several} frames, but its header (NumberOfFrames) "
            f"declares {frames}; save the intended frame."
        )
    return fragments[0] if len(fragments) == 1 else b"".join(fragments)


def _items(value: bytes, *, name: str) -> list[bytes]:
    items = []
    position = 0
    while position < len(value):
        tag = value[position : position + 4]
        if tag != ITEM:
            if tag == DELIMITER[:4] or not value[position:].strip(b"\0"):
                break
            raise DamagedImageError(
                f"{name}: its compressed pixel data are not a sequence of fragments (at byte "
                f"{position:,}); copy it again."
            )
        length = int.from_bytes(value[position + 4 : position + 8], "little")
        begin = position + 8
        if begin + length > len(value):
            raise DamagedImageError(
                f"{name}: truncated: a fragment of its compressed pixel data has "
                f"{len(value) - begin:,} of {length:,} bytes; copy it again."
            )
        items.append(value[begin : begin + length])
        position = begin + length
    if not items:
        raise DamagedImageError(f"{name}: its compressed pixel data are empty; copy it again.")
    return items

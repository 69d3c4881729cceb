"""The wire format of protocol buffers, as needed to inspect ONNX files.

Field numbers and wire types are those of the ONNX specification (``onnx.proto``) and of the
Protocol Buffers encoding. Nothing is copied: values are positions in the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_MOST_VARINT = 10  # bytes of a 64-bit number


class WireError(ValueError):
    """The bytes are not a valid protocol buffer."""


def fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (number, wire type, a, b) of each field of the message ``data[start:end]``.

    For ``BYTES``, the content is ``data[a:b]``; for ``VARINT``, a is the unsigned value and b the
    end of the field; for the fixed types, ``data[a:b]`` are the bytes of the value.

    Raises:
        WireError: A field exceeds the message, or its type is unknown. Groups, which ONNX does not
            use, count as unknown.
    """
    at = start
    while at < end:
        # Most keys and lengths are one byte, hence the fast path.
        key = data[at]
        at += 1
        if key > 127:
            key, at = _varint(data, at - 1, end)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("a field has the number 0")
        if kind == BYTES:
            if at >= end:
                raise WireError("a field is cut off")
            size = data[at]
            at += 1
            if size > 127:
                size, at = _varint(data, at - 1, end)
            begin, at = at, at + size
            if at > end:
                raise WireError("a field reaches beyond its message")
            yield number, kind, begin, at
        elif kind == VARINT:
            value, at = _varint(data, at, end)
            yield number, kind, value, at
        elif kind in {FIXED32, FIXED64}:
            begin, at = at, at + (4 if kind == FIXED32 else 8)
            if at > end:
                raise WireError("a field reaches beyond its message")
            yield number, kind, begin, at
        else:
            raise WireError(f"a field has the unknown type {kind}")


def varints(data: bytes, start: int, end: int) -> Iterator[int]:
    """Yield the numbers of a packed field.

    Raises:
        WireError: The last number is truncated.
    """
    at = start
    while at < end:
        value, at = _varint(data, at, end)
        yield value


def encoded(number: int, content: bytes) -> bytes:
    """Return an encoded bytes field."""
    return _number(number << 3 | BYTES) + _number(len(content)) + content


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    if at < end and data[at] < 128:  # the usual case
        return data[at], at + 1
    value = 0
    for shift in range(0, 7 * _MOST_VARINT, 7):
        if at >= end:
            raise WireError("a number is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise WireError("a number is longer than 64 bits")

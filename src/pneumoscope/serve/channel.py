"""Messages between the service and its worker processes.

A message consists of a header with two lengths, a JSON object, and bytes. Both ends run the same
version of this package, so the protocol has no version.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

LENGTHS = struct.Struct("!IQ")
"""Length of the JSON object and of the bytes that follow it."""

BUFFER_BYTES = 2**20
"""Size of the socket buffers: most images fit, so that sending one takes a single system call."""

Message = tuple[dict[str, Any], bytes]


def head_of(fields: dict[str, Any], size: int) -> bytes:
    """Return the header of a message.

    Args:
        fields: The JSON object.
        size: Number of bytes that follow.
    """
    text = json.dumps(fields).encode()
    return LENGTHS.pack(len(text), size) + text


def receive(connection: socket.socket) -> Message | None:
    """Return the next message of a blocking socket, None at its end."""
    lengths = _exactly(connection, LENGTHS.size)
    if lengths is None:
        return None
    text_size, size = LENGTHS.unpack(lengths)
    text, content = _exactly(connection, text_size), _exactly(connection, size)
    if text is None or content is None:
        return None
    return json.loads(text), content


def send(connection: socket.socket, fields: dict[str, Any], content: bytes = b"") -> None:
    """Send a message over a blocking socket.

    Raises:
        OSError: The other side has closed the connection.
    """
    connection.sendall(head_of(fields, len(content)))
    if content:
        connection.sendall(content)


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    pieces: list[bytes] = []
    while size:
        piece = connection.recv(size, socket.MSG_WAITALL)
        if not piece:
            return None
        pieces.append(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)

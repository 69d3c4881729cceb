"""Messages between the service and its worker processes.

A message is a header of two lengths, a JSON object, and bytes. Both ends are this package in the
same version, so there is no version to agree on.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

LENGTHS = struct.Struct("!IQ")
"""Bytes of the JSON object, bytes of what follows."""

BUFFER_BYTES = 2**20
"""What a socket takes without waiting for the other side: most images, in one system call."""

Message = tuple[dict[str, Any], bytes]


def head_of(fields: dict[str, Any], size: int) -> bytes:
    """Return the header of a message.

    Args:
        fields: The JSON object.
        size: How many bytes follow.
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
        OSError: The other side is gone.
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

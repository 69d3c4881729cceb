"""The service's end of a worker's socket, as an asyncio protocol.

Responses are delivered by callback. Streams and tasks would wake the event loop several times per
image, which would take more time than the rest of the service's work for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from pneumoscope.serve.channel import LENGTHS, head_of


class Link(asyncio.Protocol):
    """Messages to and from one worker process.

    Attributes:
        lost: A future that is done when either side has closed the socket.
        on_message: Called with the fields and the bytes of each message.
    """

    def __init__(self, on_message: Callable[[dict[str, Any], bytes], None]) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_message = on_message
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are not a subclass of it
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Complete ``lost``."""
        del exc
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Collect a message, and report it when it is complete."""
        self._received += data
        while len(self._received) >= LENGTHS.size:
            text_size, size = LENGTHS.unpack_from(self._received)
            text_end = LENGTHS.size + text_size
            if len(self._received) < text_end + size:
                return
            fields = json.loads(self._received[LENGTHS.size : text_end])
            content = bytes(self._received[text_end : text_end + size])
            del self._received[: text_end + size]
            self.on_message(fields, content)

    def send(self, fields: dict[str, Any], content: Sequence[bytes | bytearray]) -> None:
        """Send a message; the end of the process is reported through ``lost``."""
        assert self._transport is not None  # noqa: S101 - it was connected
        self._transport.writelines((head_of(fields, sum(map(len, content))), *content))

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.abort()

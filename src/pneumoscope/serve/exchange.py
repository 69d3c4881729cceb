"""A request with an image, and its response, without ASGI messages.

A body of a megabyte consists of many ASGI messages, each of which wakes the task that collects
them. Here the connection collects the pieces and wakes the task once; the response is sent in one
write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from pneumoscope.serve.body import BodyError, ClientGoneError

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

KEY = "pneumoscope.exchange"
"""Key of the exchange in the scope of a request."""

Headers = Iterable[tuple[bytes, bytes]]


class Exchange:
    """The body of a request as a whole, and its response in one write.

    Args:
        cycle: State of the request in uvicorn.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._pieces: list[bytes] = []
        self._size = 0
        self._most_bytes: int | None = None
        self._whole = False
        self._waiting: asyncio.Future[None] | None = None
        self._when_gone: Callable[[], object] | None = None
        self.gone = False

    @property
    def answered(self) -> bool:
        """Whether the whole response was sent."""
        return bool(self._cycle.response_complete)

    # Called by the connection.

    def add(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._most_bytes is not None and self._size > self._most_bytes:
            self._fail(_too_long(self._most_bytes))

    def end(self) -> None:
        """Take the end of the body."""
        self._whole = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def lose(self) -> None:
        """Take the end of the connection."""
        self.gone = self._cycle.disconnected = True
        self._fail(ClientGoneError())
        if self._when_gone is not None:
            self._when_gone()

    # Called by the application.

    async def body(self, *, declared: bytes | None, most_bytes: int, seconds: float) -> list[bytes]:
        """Return the body in pieces.

        Args:
            declared: Value of the header Content-Length, which is not trusted; None if there is
                none.
            most_bytes: Maximum size; a longer body is rejected as soon as possible.
            seconds: Time limit for the body to arrive.

        Raises:
            BodyError: The body is too large (413), or too slow (408).
            ClientGoneError: The connection ended before the body was complete.
        """
        if self._size > most_bytes or _claims_more(declared, most_bytes):
            raise _too_long(most_bytes)
        self._most_bytes = most_bytes
        if not self._whole:
            await self._rest(seconds)
        pieces, self._pieces = self._pieces, []  # an idle connection must not keep an image
        return pieces

    async def _rest(self, seconds: float) -> None:
        if self.gone:
            raise ClientGoneError
        if self._cycle.waiting_for_100_continue:
            self._cycle.waiting_for_100_continue = False
            self._cycle.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        late = BodyError(408, f"the body did not arrive within {seconds:g} seconds")
        deadline = loop.call_later(seconds, self._fail, late)
        try:
            await self._waiting
        finally:
            deadline.cancel()

    def _fail(self, fault: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(fault)

    def when_gone(self, call: Callable[[], object]) -> None:
        """Register a callback for a client that disconnects before the response."""
        self._when_gone = call
        if self.gone:
            call()

    async def answer(
        self, status: int, headers: Headers, body: bytes, *, close: bool = False
    ) -> None:
        """Send the response, unless the client has disconnected.

        Args:
            status: Status of the response.
            headers: Names in lower case, and values; without Connection.
            body: The complete body.
            close: Whether to close the connection afterwards.
        """
        cycle = self._cycle
        self._when_gone = None
        self._pieces = []
        if cycle.flow.write_paused and not self.gone:
            await cycle.flow.drain()
        if self.gone:
            return
        pieces = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            pieces += (name, b": ", value, b"\r\n")
        if close:
            cycle.keep_alive = False
        if not cycle.keep_alive:
            pieces.append(b"connection: close\r\n")
        pieces += (b"\r\n", body)
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write(b"".join(pieces))
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


def _claims_more(declared: bytes | None, most_bytes: int) -> bool:
    return declared is not None and declared.isdigit() and int(declared) > most_bytes


def _too_long(most_bytes: int) -> BodyError:
    return BodyError(413, f"the body is longer than {most_bytes:,} bytes")

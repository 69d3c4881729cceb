"""uvicorn's connections with additional time limits."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pneumoscope.serve.exchange import KEY, Exchange

HEADER_SECONDS = 15.0
"""A request's headers must arrive within this time."""

LEFT_SECONDS = 5.0
"""Time for which a client may continue to send its body after an early response."""

ENDING_SECONDS = 5.0
"""Time for which a new connection may send its first request during shutdown."""


class Connection(HttpToolsProtocol):
    """A connection with limits for clients that send slowly or without end.

    uvicorn closes idle connections after a request, but has no time limit for the first request,
    for the rest of its headers, or for the rest of a rejected body.
    """

    most: int = 1024
    """Maximum number of connections; further ones are closed immediately."""

    images: frozenset[str] = frozenset()
    """Paths whose requests are handled by an ``Exchange``."""

    header_seconds: float = HEADER_SECONDS
    left_seconds: float = LEFT_SECONDS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._exchange: Exchange | None = None  # the request that is arriving
        self._exchanges: list[Exchange] = []  # of those that are not answered
        self._new = True  # without a request so far
        self._ending = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection if there is room."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._await_within(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a closed connection."""
        self._calm()
        super().connection_lost(exc)
        for exchange in self._exchanges:
            exchange.lose()
        self._exchanges = []

    def shutdown(self) -> None:
        """Close the connection, after its request has been answered if there is one.

        A new connection has some time to send its first request: uvicorn would close it, and a
        request in transit would be lost.
        """
        if self._new and not self.transport.is_closing():
            self._ending = True
            self._await_within(ENDING_SECONDS)
        else:
            super().shutdown()

    def on_message_begin(self) -> None:
        """Wait for the headers of a request."""
        super().on_message_begin()
        self._await_within(self.header_seconds)

    def on_headers_complete(self) -> None:
        """Start the request; from here on the service enforces the time limits."""
        self._calm()
        super().on_headers_complete()
        self._new = False
        if self._ending:
            self.cycle.keep_alive = False
        self._exchange = None
        if self.scope["method"] == "POST" and self.scope["path"] in self.images:
            self._exchange = Exchange(self.cycle)
            # The task of the request was just created and has not started yet.
            cast("dict[str, Any]", self.scope)[KEY] = self._exchange
            self._exchanges.append(self._exchange)

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of a body."""
        if self._exchange is None:
            super().on_body(body)
        elif not self.cycle.response_complete:
            self._exchange.add(body)

    def on_message_complete(self) -> None:
        """Handle the end of a body."""
        self._calm()
        super().on_message_complete()
        if self._exchange is not None:
            self._exchange.end()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the end of a rejected body."""
        self._exchanges = [one for one in self._exchanges if not one.answered]
        unfinished = self.cycle is not None and self.cycle.more_body
        super().on_response_complete()
        if unfinished and not self.transport.is_closing():
            self._await_within(self.left_seconds)

    def _await_within(self, seconds: float) -> None:
        self._calm()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _calm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

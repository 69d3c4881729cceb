"""Middleware for all requests: access, headers, metrics and log."""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.routing import Route

from pneumoscope.serve.exchange import KEY
from pneumoscope.serve.problem import problem
from pneumoscope.serve.settings import is_loopback

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pneumoscope.serve.exchange import Exchange
    from pneumoscope.serve.service import Service

ImageEndpoint = Callable[["Scope"], Awaitable["Response"]]
"""Returns the response to a request with an image."""

OPEN = ("/", "/page/", "/v2/health/", "/openapi.json")
"""Routes that need no token, since they contain no information about images."""

GONE = "pneumoscope.client_gone"
"""Key that is set in the scope of a request whose client has disconnected."""

_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    b"connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", _POLICY),
]
_LOST = 499  # status in the log for a client that disconnected; never sent

_log = logging.getLogger("pneumoscope.serve")


class Guard:
    """Middleware around an application.

    Args:
        app: The application that answers accepted requests.
        service: State of the service.
        images: Path → endpoint for POST requests with an image. Most requests are of this kind, so
            they are answered without the routing of the application.
    """

    def __init__(self, app: ASGIApp, service: Service, images: Mapping[str, ImageEndpoint]) -> None:
        self._app = app
        self._service = service
        self._images = images
        self._token = service.settings.token.encode("ascii")
        self._local_only = service.settings.fd is None and is_loopback(service.settings.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        request_id = secrets.token_hex(8)
        status = _LOST

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), *_HEADERS]
                headers.append((b"x-request-id", request_id.encode()))
                if self._must_close(scope, status):
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            await send(message)

        refusal = self._refusal(scope)
        exchange: Exchange | None = scope.get(KEY)
        try:
            if exchange is not None:
                answered = refusal or await self._images[scope["path"]](scope)
                status = answered.status_code
                await exchange.answer(
                    status,
                    (*answered.raw_headers, *_HEADERS, (b"x-request-id", request_id.encode())),
                    bytes(answered.body),
                    close=self._must_close(scope, status),
                )
            elif refusal is not None:
                await refusal(scope, receive, sending)
            else:
                await self._app(scope, receive, sending)
        except Exception:
            _log.exception("fault", extra={"facts": {"request": request_id}})
            if status == _LOST:
                await problem(500, "an internal error of the service")(scope, receive, sending)
        route = _route(scope)
        if scope.get(GONE):
            status = _LOST
        self._service.metrics.answered(route, status)
        _log.info(
            "request",
            extra={
                "facts": {
                    "request": request_id,
                    "method": scope["method"],
                    "route": route,
                    "status": status,
                    "seconds": round(time.perf_counter() - started, 4),
                }
            },
        )

    def _must_close(self, scope: Scope, status: int) -> bool:
        """Return whether the connection is closed after this response.

        During shutdown, clients should connect to the next service. After a rejected request with
        ``Expect: 100-continue``, the next bytes are ambiguous.
        """
        if self._service.draining:
            return True
        if status < HTTPStatus.BAD_REQUEST:
            return False
        return any(name == b"expect" for name, _ in scope["headers"])

    def _refusal(self, scope: Scope) -> Response | None:
        headers = dict(scope["headers"])
        if self._local_only and not is_loopback(_host(headers.get(b"host", b""))):
            # A page of another site may reach this service under its own host name (DNS rebinding).
            return problem(421, "this service only answers requests to its own address")
        path = scope["path"]
        if not self._token or path == OPEN[0] or path.startswith(OPEN[1:]):
            return None
        given = headers.get(b"authorization", b"")
        if hmac.compare_digest(given, b"Bearer " + self._token):
            return None
        return problem(401, "a bearer token is required", authenticate=True)


def _route(scope: Scope) -> str:
    """Return the pattern of the route instead of the path."""
    if KEY in scope:
        return str(scope["path"])
    route = scope.get("route")
    return route.path if isinstance(route, Route) else "other"


def _host(header: bytes) -> str:
    """Return the host of a Host header without its port."""
    text = header.decode("latin-1").strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]

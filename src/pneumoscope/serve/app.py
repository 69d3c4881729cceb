"""Requests → answers: the ASGI application.

Faults are answered as RFC 9457 problem details. An image that cannot be judged is an answer, not a
fault.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pneumoscope.serve.admission import Admission, BusyError
from pneumoscope.serve.body import BodyError, ClientGoneError, Upload, read_body, upload_of
from pneumoscope.serve.evidence import EvidenceStore
from pneumoscope.serve.metrics import CONTENT_TYPE, Metrics
from pneumoscope.serve.openapi import document
from pneumoscope.serve.settings import is_loopback

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pneumoscope.serve.pool import Answer, Pool
    from pneumoscope.serve.settings import Settings

OPEN = ("/", "/page/", "/v2/health/", "/openapi.json")
"""Routes that need no token: they tell nothing of images."""

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
_PAGE = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    **dict.fromkeys(
        ("page.js", "about.js", "files.js", "opinions.js", "service.js", "viewer.js"),
        "text/javascript; charset=utf-8",
    ),
    "icon.svg": "image/svg+xml",
}
_GONE = "pneumoscope.client_gone"
_LOST = 499  # what the log calls a request whose client went away; never sent

_log = logging.getLogger("pneumoscope.serve")


class Service:
    """The state of a service and its endpoints.

    Args:
        settings: What it was started with.
        pool: Reads the images.
    """

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.settings = settings
        self.pool = pool
        self.admission = Admission(
            settings.queue, per_client=settings.per_client, workers=settings.workers
        )
        self.metrics = Metrics(self.admission, pool)
        self.evidence = EvidenceStore(seconds=settings.evidence_seconds)
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether a request would be answered now."""
        return self.pool.ready and not self.draining and not self.admission.full

    async def predictions(self, request: Request) -> Response:
        """Answer with the record of one image."""
        model = request.query_params.get("model") or self.settings.default_model
        if model not in self.settings.models:
            known = ", ".join(self.settings.models)
            return problem(404, f"there is no model {model!r}; there are: {known}")
        wanted = request.query_params.get("evidence", "0")
        if wanted not in {"0", "1"}:
            return problem(400, "evidence must be 0 or 1")
        name = self.evidence.new_name() if wanted == "1" else ""
        fields = {"kind": "predict", "model": model}
        if name:
            fields["evidence"] = f"/v1/evidence/{name}"
        return await self._with_image(
            request, fields, lambda answer: self._record(model, name, answer)
        )

    async def pictures(self, request: Request) -> Response:
        """Answer with an image as a grey PNG, as a reader is shown it."""
        fields = {"kind": "picture", "model": self.settings.default_model}
        return await self._with_image(
            request, fields, lambda answer: Response(answer.content, media_type="image/png")
        )

    def _record(self, model: str, name: str, answer: Answer) -> Response:
        self.metrics.read(model, answer)
        headers = {"x-model-sha256": self.pool.models[model]["sha256"]}
        if name and answer.content:
            self.evidence.put(name, answer.content)
            headers["x-evidence-seconds"] = f"{self.settings.evidence_seconds:g}"
        return Response(answer.fields["record"], media_type="application/json", headers=headers)

    async def _with_image(
        self, request: Request, fields: dict[str, Any], respond: Callable[[Answer], Response]
    ) -> Response:
        """Return the answer to a request whose body is an image."""
        if not self.pool.ready:
            return problem(503, "the service is not ready", retry_after=1)
        client = request.client.host if request.client else ""
        try:
            with self.admission.place(client):
                upload = await self._upload(request)
                answer = await self._asked(request, {**fields, "name": upload.name}, upload)
        except BusyError as fault:
            self.metrics.refused("busy")
            return problem(429, fault.reason, retry_after=fault.retry_after)
        except ClientGoneError:
            self.metrics.refused("client_gone")
            request.scope[_GONE] = True
            return Response(status_code=400)  # nobody gets it
        except BodyError as fault:
            self.metrics.refused({413: "too_large", 408: "too_slow"}.get(fault.status, "form"))
            return problem(fault.status, fault.reason)
        return self._response(answer, respond)

    async def _upload(self, request: Request) -> Upload:
        body = await read_body(
            request.receive,
            declared=request.headers.get("content-length"),
            most_bytes=self.settings.max_bytes,
            seconds=self.settings.body_seconds,
        )
        return upload_of(body, request.headers.get("content-type", ""))

    async def _asked(self, request: Request, fields: dict[str, Any], upload: Upload) -> Answer:
        """Return a process's answer; stop waiting for it when the client goes away.

        Raises:
            ClientGoneError: It did.
        """
        asking = asyncio.ensure_future(self.pool.ask(fields, upload.content))
        gone = asyncio.ensure_future(request.receive())
        try:
            await asyncio.wait((asking, gone), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise ClientGoneError
            answer = asking.result()
        finally:
            for task in (asking, gone):
                task.cancel()
        self.admission.note(answer.took)
        return answer

    def _response(self, answer: Answer, respond: Callable[[Answer], Response]) -> Response:
        fields = answer.fields
        match fields["status"]:
            case "ok":
                return respond(answer)
            case "unreadable":
                self.metrics.refused(_REASONS.get(fields["kind"], "unreadable"))
                return problem(422, fields["reason"], kind=fields["kind"])
            case "died":
                self.metrics.refused("died")
                return problem(503, "the process that read this image ended, twice", retry_after=5)
            case _:
                self.metrics.refused("failed")
                _log.error("model_failed", extra={"facts": {"reason": fields["reason"]}})
                return problem(503, "the model cannot be used", retry_after=30)

    async def evidence_picture(self, request: Request) -> Response:
        """Answer with a picture that a prediction linked to."""
        found = self.evidence.get(request.path_params["name"])
        if found is None:
            return problem(404, "there is no such picture, or not any more")
        return Response(found, media_type="image/png")

    async def models(self, _request: Request) -> Response:
        """Answer with what the models say of themselves."""
        return JSONResponse({"models": [self._described(name) for name in self.pool.models]})

    async def model(self, request: Request) -> Response:
        """Answer with the metadata of a model, as the open inference protocol has them."""
        name = request.path_params["name"]
        if name not in self.pool.models:
            return problem(404, f"there is no model {name!r}")
        return JSONResponse(self._described(name))

    def _described(self, name: str) -> dict[str, Any]:
        about = self.pool.models[name]
        return {
            "name": name,
            "versions": [about["version"]] if about["version"] else [],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}],
            "outputs": [{"name": "record", "datatype": "BYTES", "shape": [1]}],
            "parameters": {
                **{key: about[key] for key in ("sha256", "name", "classes", "threshold", "rule")},
                **{
                    key: about[key]
                    for key in ("intended", "card", "achieved", "uncertain_zone", "draws_evidence")
                },
            },
        }

    async def model_ready(self, request: Request) -> Response:
        """Answer whether a model can be asked."""
        name = request.path_params["name"]
        if self.pool.ready and name not in self.pool.models:
            return problem(404, f"there is no model {name!r}")
        return _state(self.ready, "ready")

    async def server(self, _request: Request) -> Response:
        """Answer with what the service is, as the open inference protocol has it."""
        return JSONResponse({"name": "pneumoscope", "version": _version(), "extensions": []})

    async def live(self, _request: Request) -> Response:
        """Answer that the process is alive."""
        return _state(True, "live")

    async def is_ready(self, _request: Request) -> Response:
        """Answer whether a request would be answered now."""
        return _state(self.ready, "ready")

    async def counts(self, _request: Request) -> Response:
        """Answer with the metrics."""
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)

    async def openapi(self, _request: Request) -> Response:
        """Answer with the OpenAPI document."""
        return JSONResponse(document(_version(), self.settings))

    async def page(self, request: Request) -> Response:
        """Answer with a file of the page."""
        name = request.path_params.get("name", "index.html")
        if name not in _PAGE:
            return problem(404, "there is no such file")
        content = files("pneumoscope.serve").joinpath("page", name).read_bytes()
        return Response(content, headers={"content-type": _PAGE[name]})

    def routes(self) -> list[Route]:
        """Return the routes of the service."""
        return [
            Route("/v1/predictions", self.predictions, methods=["POST"]),
            Route("/v1/pictures", self.pictures, methods=["POST"]),
            Route("/v1/evidence/{name}", self.evidence_picture, methods=["GET"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/v2", self.server, methods=["GET"]),
            Route("/v2/health/live", self.live, methods=["GET"]),
            Route("/v2/health/ready", self.is_ready, methods=["GET"]),
            Route("/v2/models/{name}", self.model, methods=["GET"]),
            Route("/v2/models/{name}/ready", self.model_ready, methods=["GET"]),
            Route("/metrics", self.counts, methods=["GET"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
            Route("/", self.page, methods=["GET"]),
            Route("/page/{name}", self.page, methods=["GET"]),
        ]


_REASONS = {
    "EmptyImageError": "no_image",
    "NotAnImageError": "no_image",
    "DamagedImageError": "damaged",
    "ImageTooLargeError": "too_many_pixels",
    "UnsupportedImageError": "unsupported",
    "OtherKindError": "header",
    "Timeout": "too_slow_to_read",
    "MemoryError": "too_many_pixels",
}


def application(service: Service) -> ASGIApp:
    """Return the ASGI application of a service."""
    app = Starlette(
        routes=service.routes(),
        exception_handlers={HTTPException: _http_fault},
    )
    return _Guard(app, service)


class _Guard:
    """What holds for every request: access, headers, counts, one line in the log."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service
        self._token = service.settings.token.encode("ascii")
        self._local_only = service.settings.fd is None and is_loopback(service.settings.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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
        try:
            if refusal is not None:
                await refusal(scope, receive, sending)
            else:
                await self._app(scope, receive, sending)
        except Exception:
            _log.exception("fault", extra={"facts": {"request": request_id}})
            if status == _LOST:
                await problem(500, "a fault of the service")(scope, receive, sending)
        route = _route(scope)
        if scope.get(_GONE):
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
        """Return whether the connection ends with this answer.

        While the service drains, clients are sent to its successor; a client that waits to be told
        to continue, and is refused instead, may send anything next.
        """
        if self._service.draining:
            return True
        waits = any(name == b"expect" for name, _ in scope["headers"])
        return waits and status >= HTTPStatus.BAD_REQUEST

    def _refusal(self, scope: Scope) -> Response | None:
        headers = dict(scope["headers"])
        if self._local_only and not is_loopback(_host(headers.get(b"host", b""))):
            # A page of another site may name this service by a name of its own (DNS rebinding).
            return problem(421, "this service answers to its own address alone")
        path = scope["path"]
        if not self._token or path == OPEN[0] or path.startswith(OPEN[1:]):
            return None
        given = headers.get(b"authorization", b"")
        if hmac.compare_digest(given, b"Bearer " + self._token):
            return None
        return problem(401, "a bearer token is needed", authenticate=True)


def problem(
    status: int,
    detail: str,
    *,
    kind: str = "",
    retry_after: int | None = None,
    authenticate: bool = False,
) -> Response:
    """Return problem details (RFC 9457).

    Args:
        status: Of the answer.
        detail: What is wrong, in words.
        kind: The exception's name, for programs.
        retry_after: Whole seconds after which to try again.
        authenticate: Whether to name the way to authenticate.
    """
    content = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if kind:
        content["kind"] = kind
    headers = {}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    if authenticate:
        headers["www-authenticate"] = "Bearer"
    return Response(
        json.dumps(content), status, headers=headers, media_type="application/problem+json"
    )


async def _http_fault(_request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)  # noqa: S101 - it is registered for these
    response = problem(fault.status_code, fault.detail)
    for name, value in (fault.headers or {}).items():
        response.headers[name] = value
    return response


def _route(scope: Scope) -> str:
    """Return the pattern of the route, not the path, which may hold anything."""
    route = scope.get("route")
    return route.path if isinstance(route, Route) else "other"


def _state(good: bool, name: str) -> Response:
    return JSONResponse({name: good}, HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE)


def _host(header: bytes) -> str:
    """Return the host of a Host header without its port."""
    text = header.decode("latin-1").strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - 30 ms, and rarely asked for

    return version("pneumoscope")

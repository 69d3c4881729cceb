"""Routes that read images: predictions, pictures and evidence.

An image that cannot be assessed is a result, not an error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from pneumoscope.serve.admission import BusyError
from pneumoscope.serve.body import BodyError, ClientGoneError, Upload, upload_of
from pneumoscope.serve.evidence import EvidenceStore
from pneumoscope.serve.exchange import KEY
from pneumoscope.serve.guard import GONE, ImageEndpoint
from pneumoscope.serve.problem import problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from pneumoscope.serve.exchange import Exchange
    from pneumoscope.serve.pool import Answer
    from pneumoscope.serve.service import Service

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

PREDICTIONS = "/v1/predictions"
PICTURES = "/v1/pictures"
IMAGES = frozenset({PREDICTIONS, PICTURES})
"""Paths that take an image."""

_log = logging.getLogger("pneumoscope.serve")


class Reading:
    """Endpoints that read images.

    Args:
        service: State of the service.
    """

    def __init__(self, service: Service) -> None:
        self._settings = service.settings
        self._pool = service.pool
        self._admission = service.admission
        self._metrics = service.metrics
        self._evidence = EvidenceStore(seconds=service.settings.evidence_seconds)

    def routes(self) -> list[Route]:
        """Return the routes, except for POST requests with an image."""
        return [
            *(Route(path, _OnlyPost()) for path in sorted(IMAGES)),
            Route("/v1/evidence/{name}", self.evidence_picture, methods=["GET"]),
        ]

    def image_endpoints(self) -> Mapping[str, ImageEndpoint]:
        """Return the endpoint for POST requests to each of ``IMAGES``."""
        return {PREDICTIONS: self.predictions, PICTURES: self.pictures}

    async def predictions(self, scope: Scope) -> Response:
        """Return the record of one image."""
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        model = query.get("model") or self._settings.default_model
        if model not in self._settings.models:
            known = ", ".join(self._settings.models)
            return problem(404, f"there is no model {model!r}; available: {known}")
        wanted = query.get("evidence", "0")
        if wanted not in {"0", "1"}:
            return problem(400, "evidence must be 0 or 1")
        of = query.get("evidence_of")
        if of is not None and wanted == "0":
            return problem(400, "evidence_of needs evidence=1")
        classes: list[str] = self._pool.models[model]["classes"] if self._pool.ready else []
        if of is not None and classes and of not in classes:
            return problem(400, f"evidence_of must be one of {', '.join(classes)}")
        name = self._evidence.new_name() if wanted == "1" else ""
        fields = {"kind": "predict", "model": model}
        if name:
            fields["evidence"] = f"/v1/evidence/{name}"
        if of is not None:
            fields["evidence_of"] = of
        return await self._with_image(
            scope, fields, lambda answer: self._record(model, name, answer)
        )

    async def pictures(self, scope: Scope) -> Response:
        """Return an image as a grey PNG, with the grey levels that the reader uses."""
        fields = {"kind": "picture", "model": self._settings.default_model}
        return await self._with_image(
            scope, fields, lambda answer: Response(answer.content, media_type="image/png")
        )

    def _record(self, model: str, name: str, answer: Answer) -> Response:
        self._metrics.read(model, answer)
        headers = {"x-model-sha256": self._pool.models[model]["sha256"]}
        record_end = answer.fields["record_bytes"]
        record, picture = answer.content[:record_end], answer.content[record_end:]
        if name and picture:
            self._evidence.put(name, picture)
            headers["x-evidence-seconds"] = f"{self._settings.evidence_seconds:g}"
        return Response(record, media_type="application/json", headers=headers)

    async def _with_image(
        self, scope: Scope, fields: dict[str, Any], respond: Callable[[Answer], Response]
    ) -> Response:
        """Return the response to a request with an image as its body."""
        if not self._pool.ready:
            return problem(503, "the service is not ready", retry_after=1)
        client = scope["client"][0] if scope["client"] else ""
        try:
            with self._admission.place(client):
                exchange: Exchange = scope[KEY]
                upload = await self._upload(scope, exchange)
                answer = await self._requested(exchange, {**fields, "name": upload.name}, upload)
        except BusyError as fault:
            self._metrics.refused("busy")
            return problem(429, fault.reason, retry_after=fault.retry_after)
        except ClientGoneError:
            self._metrics.refused("client_gone")
            scope[GONE] = True
            return Response(status_code=400)  # nobody receives it
        except BodyError as fault:
            self._metrics.refused({413: "too_large", 408: "too_slow"}.get(fault.status, "form"))
            return problem(fault.status, fault.reason)
        return self._response(answer, respond)

    async def _upload(self, scope: Scope, exchange: Exchange) -> Upload:
        headers = dict(scope["headers"])
        body = await exchange.body(
            declared=headers.get(b"content-length"),
            most_bytes=self._settings.max_bytes,
            seconds=self._settings.body_seconds,
        )
        return upload_of(body, headers.get(b"content-type", b"").decode("latin-1"))

    async def _requested(
        self, exchange: Exchange, fields: dict[str, Any], upload: Upload
    ) -> Answer:
        """Return a worker's answer; stop waiting if the client disconnects.

        Raises:
            ClientGoneError: The client has disconnected.
        """
        coming = self._pool.ask(fields, upload.content)
        exchange.when_gone(coming.cancel)
        try:
            answer = await coming
        except asyncio.CancelledError:
            if exchange.gone:
                raise ClientGoneError from None
            raise
        self._admission.note(answer.took)
        return answer

    def _response(self, answer: Answer, respond: Callable[[Answer], Response]) -> Response:
        fields = answer.fields
        match fields["status"]:
            case "ok":
                return respond(answer)
            case "unreadable":
                self._metrics.refused(_REASONS.get(fields["kind"], "unreadable"))
                return problem(422, fields["reason"], kind=fields["kind"])
            case "died":
                self._metrics.refused("died")
                return problem(503, "the process that read this image died twice", retry_after=5)
            case _:
                self._metrics.refused("failed")
                _log.error("model_failed", extra={"facts": {"reason": fields["reason"]}})
                return problem(503, "the model cannot be used", retry_after=30)

    async def evidence_picture(self, request: Request) -> Response:
        """Return a picture linked from a prediction."""
        found = self._evidence.get(request.path_params["name"])
        if found is None:
            return problem(404, "there is no such picture, or it has expired")
        return Response(found, media_type="image/png")


class _OnlyPost:
    """Rejects other methods on the paths that take images."""

    async def __call__(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
        raise HTTPException(405, "send the image with POST", headers={"allow": "POST"})

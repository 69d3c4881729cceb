"""Routes that read images: predictions, pictures and evidence.

An image that cannot be judged is an answer, not a fault.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from pneumoscope.serve.admission import BusyError
from pneumoscope.serve.body import BodyError, ClientGoneError, Upload, read_body, upload_of
from pneumoscope.serve.evidence import EvidenceStore
from pneumoscope.serve.guard import GONE
from pneumoscope.serve.problem import problem

if TYPE_CHECKING:
    from starlette.requests import Request

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

_log = logging.getLogger("pneumoscope.serve")


class Reading:
    """Endpoints that read images.

    Args:
        service: Their state.
    """

    def __init__(self, service: Service) -> None:
        self._settings = service.settings
        self._pool = service.pool
        self._admission = service.admission
        self._metrics = service.metrics
        self._evidence = EvidenceStore(seconds=service.settings.evidence_seconds)

    def routes(self) -> list[Route]:
        """Return their routes."""
        return [
            Route("/v1/predictions", self.predictions, methods=["POST"]),
            Route("/v1/pictures", self.pictures, methods=["POST"]),
            Route("/v1/evidence/{name}", self.evidence_picture, methods=["GET"]),
        ]

    async def predictions(self, request: Request) -> Response:
        """Return the record of one image."""
        model = request.query_params.get("model") or self._settings.default_model
        if model not in self._settings.models:
            known = ", ".join(self._settings.models)
            return problem(404, f"there is no model {model!r}; available: {known}")
        wanted = request.query_params.get("evidence", "0")
        if wanted not in {"0", "1"}:
            return problem(400, "evidence must be 0 or 1")
        of = request.query_params.get("evidence_of")
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
            request, fields, lambda answer: self._record(model, name, answer)
        )

    async def pictures(self, request: Request) -> Response:
        """Return an image as a grey PNG, as the reader sees it."""
        fields = {"kind": "picture", "model": self._settings.default_model}
        return await self._with_image(
            request, fields, lambda answer: Response(answer.content, media_type="image/png")
        )

    def _record(self, model: str, name: str, answer: Answer) -> Response:
        self._metrics.read(model, answer)
        headers = {"x-model-sha256": self._pool.models[model]["sha256"]}
        if name and answer.content:
            self._evidence.put(name, answer.content)
            headers["x-evidence-seconds"] = f"{self._settings.evidence_seconds:g}"
        return Response(answer.fields["record"], media_type="application/json", headers=headers)

    async def _with_image(
        self, request: Request, fields: dict[str, Any], respond: Callable[[Answer], Response]
    ) -> Response:
        """Return the response to a request with an image as its body."""
        if not self._pool.ready:
            return problem(503, "the service is not ready", retry_after=1)
        client = request.client.host if request.client else ""
        try:
            with self._admission.place(client):
                upload = await self._upload(request)
                answer = await self._asked(request, {**fields, "name": upload.name}, upload)
        except BusyError as fault:
            self._metrics.refused("busy")
            return problem(429, fault.reason, retry_after=fault.retry_after)
        except ClientGoneError:
            self._metrics.refused("client_gone")
            request.scope[GONE] = True
            return Response(status_code=400)  # nobody gets it
        except BodyError as fault:
            self._metrics.refused({413: "too_large", 408: "too_slow"}.get(fault.status, "form"))
            return problem(fault.status, fault.reason)
        return self._response(answer, respond)

    async def _upload(self, request: Request) -> Upload:
        body = await read_body(
            request.receive,
            declared=request.headers.get("content-length"),
            most_bytes=self._settings.max_bytes,
            seconds=self._settings.body_seconds,
        )
        return upload_of(body, request.headers.get("content-type", ""))

    async def _asked(self, request: Request, fields: dict[str, Any], upload: Upload) -> Answer:
        """Return a worker's answer; stop waiting if the client disconnects.

        Raises:
            ClientGoneError: It did.
        """
        coming = self._pool.ask(fields, upload.content)
        gone = asyncio.ensure_future(request.receive())
        gone.add_done_callback(lambda _: coming.cancel())
        try:
            answer = await coming
        except asyncio.CancelledError:
            if gone.done() and not gone.cancelled():
                raise ClientGoneError from None
            raise
        finally:
            gone.cancel()
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
                return problem(503, "the process that read this image ended, twice", retry_after=5)
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

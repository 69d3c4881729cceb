"""Routes about the service: models, health, metrics, OpenAPI document and page."""

from __future__ import annotations

from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pneumoscope.serve.problem import problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from pneumoscope.serve.service import Service

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class About:
    """Endpoints about the service.

    Args:
        service: State of the service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._page = {
            place.name: place for place in files("pneumoscope.serve").joinpath("page").iterdir()
        }

    def routes(self) -> list[Route]:
        """Return the routes of these endpoints."""
        return [
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

    async def models(self, _request: Request) -> Response:
        """Return the metadata of all models."""
        return JSONResponse(
            {"models": [self._described(name) for name in self._service.pool.models]}
        )

    async def model(self, request: Request) -> Response:
        """Return the metadata of a model in the form of the open inference protocol."""
        name = request.path_params["name"]
        if name not in self._service.pool.models:
            return problem(404, f"there is no model {name!r}")
        return JSONResponse(self._described(name))

    def _described(self, name: str) -> dict[str, Any]:
        about = self._service.pool.models[name]
        return {
            "name": name,
            "versions": [about["version"]] if about["version"] else [],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}],
            "outputs": [{"name": "record", "datatype": "BYTES", "shape": [1]}],
            "parameters": {
                **{key: about[key] for key in ("sha256", "name", "classes", "positive", "pair")},
                **{key: about[key] for key in ("threshold", "rule", "achieved", "uncertain_zone")},
                "findings": {
                    name: {key: value for key, value in one.items() if key != "reference"}
                    for name, one in about["findings"].items()
                },
                **{key: about[key] for key in ("intended", "card", "draws_evidence")},
            },
        }

    async def model_ready(self, request: Request) -> Response:
        """Return whether a model is ready."""
        name = request.path_params["name"]
        if self._service.pool.ready and name not in self._service.pool.models:
            return problem(404, f"there is no model {name!r}")
        return _state(self._service.ready, "ready")

    async def server(self, _request: Request) -> Response:
        """Return the server metadata of the open inference protocol."""
        return JSONResponse({"name": "pneumoscope", "version": _version(), "extensions": []})

    async def live(self, _request: Request) -> Response:
        """Report that the process is alive."""
        return _state(True, "live")

    async def is_ready(self, _request: Request) -> Response:
        """Report whether the service is ready."""
        return _state(self._service.ready, "ready")

    async def counts(self, _request: Request) -> Response:
        """Return the metrics."""
        return Response(self._service.metrics.text(), media_type=METRICS_TYPE)

    async def openapi(self, _request: Request) -> Response:
        """Return the OpenAPI document."""
        from pneumoscope.serve.openapi import document  # noqa: PLC0415 - rarely asked for

        return JSONResponse(document(_version(), self._service.settings))

    async def page(self, request: Request) -> Response:
        """Return a file of the page."""
        name = request.path_params.get("name", "index.html")
        file = self._page.get(name)
        kind = _TYPES.get(name[name.rfind(".") :])
        if file is None or kind is None:
            return problem(404, "there is no such file")
        return Response(file.read_bytes(), headers={"content-type": kind})


def _state(good: bool, name: str) -> Response:
    return JSONResponse({name: good}, HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE)


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - 30 ms, and rarely asked for

    return version("pneumoscope")

"""The OpenAPI document of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pneumoscope.reader.prediction import ERROR, NOT_ASSESSABLE, UNCERTAIN

if TYPE_CHECKING:
    from pneumoscope.serve.settings import Settings

_IMAGE_TYPES = (
    *("application/octet-stream", "application/dicom", "image/jpeg", "image/png", "image/tiff"),
    *("image/webp", "image/bmp", "image/gif", "image/jp2"),
)


def document(version: str, settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document.

    Args:
        version: Version of the package.
        settings: Settings of the service.
    """
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "pneumoscope",
            "version": version,
            "description": "Reads chest X-rays. Research software, not a medical device.",
        },
        "paths": {
            "/v1/predictions": {"post": _predictions(settings)},
            "/v1/pictures": {"post": _pictures(settings)},
            "/v1/evidence/{name}": {"get": _evidence()},
            "/v1/models": {"get": _get("models", "The models of the service", "Models")},
            "/v2": {"get": _get("server", "Information about the service", "Server")},
            "/v2/health/live": {"get": _health("live", "Whether the process is running")},
            "/v2/health/ready": {"get": _health("ready", "Whether the service is ready")},
            "/v2/models/{name}": {"get": _of_model("model", "The metadata of a model", "Model")},
            "/v2/models/{name}/ready": {"get": _model_ready()},
            "/metrics": {"get": _metrics()},
        },
        "components": {"schemas": _schemas()},
    }
    if settings.token:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
        for path in ("/v2/health/live", "/v2/health/ready"):
            found["paths"][path]["get"]["security"] = []
        for operations in found["paths"].values():
            for operation in operations.values():
                if operation.get("security") != []:
                    operation["responses"]["401"] = _fault("Missing or wrong token.")
    return found


def _predictions(settings: Settings) -> dict[str, Any]:
    return {
        "operationId": "predict",
        "summary": "Read one image",
        "parameters": [
            _query("model", "The model to use.", {"enum": list(settings.models)}),
            _query("evidence", "1 adds a link to an evidence picture.", {"enum": ["0", "1"]}),
            _query("evidence_of", "The class or finding whose evidence is drawn.", {}),
        ],
        "requestBody": _image_body(settings),
        "responses": {
            "200": _json(
                "The record of the image. An image that cannot be assessed also gets a record.",
                "Record",
            ),
            **_image_faults(),
            "404": _fault("There is no such model."),
        },
    }


def _pictures(settings: Settings) -> dict[str, Any]:
    return {
        "operationId": "picture",
        "summary": "Return an image as a grey PNG, as the page shows it",
        "requestBody": _image_body(settings),
        "responses": {"200": _png("The picture."), **_image_faults()},
    }


def _evidence() -> dict[str, Any]:
    return {
        "operationId": "evidence",
        "summary": "Return the evidence picture linked in a prediction",
        "parameters": [_path("name", "Taken from the field `evidence` of a record.")],
        "responses": {"200": _png("The picture."), "404": _fault("The picture has expired.")},
    }


def _get(operation: str, summary: str, schema: str) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": _json(f"{summary}.", schema)},
    }


def _of_model(operation: str, summary: str, schema: str) -> dict[str, Any]:
    found = _get(operation, summary, schema)
    found["parameters"] = [_path("name", "The name of the model.")]
    found["responses"]["404"] = _fault("There is no such model.")
    return found


def _model_ready() -> dict[str, Any]:
    found = _health("model_ready", "Whether a model is ready")
    found["parameters"] = [_path("name", "The name of the model.")]
    found["responses"]["404"] = _fault("There is no such model.")
    return found


def _health(operation: str, summary: str) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {
            "200": _json("Yes.", "State"),
            "503": _json("No.", "State"),
        },
    }


def _metrics() -> dict[str, Any]:
    return {
        "operationId": "metrics",
        "summary": "Metrics for Prometheus",
        "responses": {
            "200": {
                "description": "Prometheus' text format.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    }


def _image_body(settings: Settings) -> dict[str, Any]:
    file = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"file": file}, "required": ["file"]}
    return {
        "required": True,
        "description": (
            f"An image of at most {settings.max_bytes:,} bytes; its format is detected from the "
            "content, not from the media type."
        ),
        "content": {
            **{name: {"schema": file} for name in _IMAGE_TYPES},
            "multipart/form-data": {"schema": form},
        },
    }


def _image_faults() -> dict[str, Any]:
    return {
        "400": _fault("No image was sent, or a parameter is invalid."),
        "408": _fault("The body did not arrive in time."),
        "413": _fault("The body is too large."),
        "422": _fault("The image cannot be read; the detail states the reason."),
        "429": _fault("The queue is full; try again after Retry-After seconds."),
        "503": _fault("The service is not ready."),
    }


def _query(name: str, about: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": about,
        "schema": {"type": "string", **schema},
    }


def _path(name: str, about: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": about,
        "schema": {"type": "string", "minLength": 1},
    }


def _json(about: str, schema: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": about, "content": {"application/json": {"schema": reference}}}


def _png(about: str) -> dict[str, Any]:
    schema = {"type": "string", "format": "binary"}
    return {"description": about, "content": {"image/png": {"schema": schema}}}


def _fault(about: str) -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/Problem"}
    return {"description": about, "content": {"application/problem+json": {"schema": reference}}}


def _schemas() -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "number"}
    maybe = {"type": ["number", "null"]}
    texts = {"type": "array", "items": text}
    return {
        "Problem": {
            "type": "object",
            "required": ["title", "status", "detail"],
            "properties": {
                "title": text,
                "status": {"type": "integer"},
                "detail": text,
                "kind": {
                    **text,
                    "description": "The reason why an image cannot be read, as a code.",
                },
            },
        },
        "Record": {
            "type": "object",
            "required": ["conclusion", "probability", "threshold", "reasons", "model"],
            "properties": {
                "path": text,
                "conclusion": {
                    **text,
                    "description": f"A class of the model or a group of them, {UNCERTAIN} or "
                    f"{NOT_ASSESSABLE}; POSITIVE, NEGATIVE or {UNCERTAIN} for a model of several "
                    f"findings. An image that cannot be read gives status 422 instead of {ERROR}.",
                },
                "probability": maybe,
                "logit": maybe,
                "threshold": maybe,
                "error": text,
                "rule": text,
                "conformal_set": {"type": ["array", "null"], "items": text},
                "reasons": texts,
                "model": {
                    "type": "object",
                    "properties": {"name": text, "version": text, "sha256": text},
                },
                "seconds": number,
                "evidence": {**text, "description": "The address of the picture, if any."},
                "distance": maybe,
                "dicom": {"type": ["object", "null"]},
                "probabilities": {
                    "type": ["object", "null"],
                    "additionalProperties": number,
                    "description": "By class, for a model of more than two classes; else null.",
                },
                "findings": {
                    "type": "object",
                    "additionalProperties": {"$ref": "#/components/schemas/Finding"},
                    "description": "By name, for a model of several findings; else missing.",
                },
            },
        },
        "Finding": {
            "type": "object",
            "required": ["conclusion", "probability", "logit", "threshold"],
            "properties": {
                "conclusion": {"enum": ["POSITIVE", "NEGATIVE", UNCERTAIN]},
                "probability": number,
                "logit": number,
                "threshold": number,
            },
        },
        "State": {"type": "object", "additionalProperties": {"type": "boolean"}},
        "Server": {
            "type": "object",
            "required": ["name", "version"],
            "properties": {"name": text, "version": text, "extensions": texts},
        },
        "Model": {
            "type": "object",
            "required": ["name", "versions", "platform", "inputs", "outputs"],
            "properties": {
                "name": text,
                "versions": texts,
                "platform": text,
                "inputs": {"type": "array", "items": {"type": "object"}},
                "outputs": {"type": "array", "items": {"type": "object"}},
                "parameters": {"type": "object"},
            },
        },
        "Models": {
            "type": "object",
            "required": ["models"],
            "properties": {
                "models": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}
            },
        },
    }

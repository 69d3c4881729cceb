"""Errors as RFC 9457 problem details."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request


def problem(
    status: int,
    detail: str,
    *,
    kind: str = "",
    retry_after: int | None = None,
    authenticate: bool = False,
) -> Response:
    """Return problem details.

    Args:
        status: Status of the response.
        detail: Description of the error.
        kind: Name of the exception, for programs.
        retry_after: Seconds to wait before a new attempt, an integer.
        authenticate: Whether to add the header that states how to authenticate.
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


async def http_fault(_request: Request, fault: Exception) -> Response:
    """Return the response to a request that matches no route."""
    assert isinstance(fault, HTTPException)  # noqa: S101 - it is registered for these
    response = problem(fault.status_code, fault.detail)
    for name, value in (fault.headers or {}).items():
        response.headers[name] = value
    return response

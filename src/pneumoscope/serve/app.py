"""The ASGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from pneumoscope.serve.about import About
from pneumoscope.serve.guard import Guard
from pneumoscope.serve.problem import http_fault
from pneumoscope.serve.reading import Reading

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from pneumoscope.serve.service import Service


def application(service: Service) -> ASGIApp:
    """Return the ASGI application of a service."""
    reading = Reading(service)
    app = Starlette(
        routes=[*reading.routes(), *About(service).routes()],
        exception_handlers={HTTPException: http_fault},
    )
    return Guard(app, service, reading.image_endpoints())

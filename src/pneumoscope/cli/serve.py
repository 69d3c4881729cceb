"""``pneumoscope serve``."""

from __future__ import annotations

import gc
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Parser, Verbs, add_verb
from pneumoscope.errors import OptionError

if TYPE_CHECKING:
    from argparse import Namespace

    from pneumoscope.serve.settings import Settings

PACKAGES = ("httptools", "prometheus_client", "python_multipart", "starlette", "uvicorn")
"""Packages of the extra ``serve``."""

TOKEN_VARIABLE = "PNEUMOSCOPE_TOKEN"  # noqa: S105 - the name of a variable


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "serve",
        run,
        about="Run a REST service and a web page for reading images.",
        example="pneumoscope serve --model runs/first --port 8080",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="a run folder or a model file (default: shipped, the included reader); can be repeated"
        " with different names; requests that name no model use the first",
    )
    network = parser.add_argument_group("network").add_argument
    network("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    network(
        "--port", type=int, default=8080, help="port to listen on, 0 for a free one (default: 8080)"
    )
    network(
        "--fd",
        type=int,
        metavar="N",
        help="file descriptor of a listening socket, as passed by systemd",
    )
    network(
        "--tls-certificate",
        type=Path,
        metavar="FILE",
        help="PEM file of the certificate; requires --tls-key",
    )
    network("--tls-key", type=Path, metavar="FILE", help="PEM file of the private key")
    network(
        "--client-ca",
        type=Path,
        metavar="FILE",
        help="PEM file of the authorities whose client certificates are accepted",
    )
    network(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"file with the bearer token of clients (default: the variable {TOKEN_VARIABLE})",
    )
    _add_limits(parser)


def _add_limits(parser: Parser) -> None:
    """Add the options that limit time, memory and requests."""
    limits = parser.add_argument_group("limits").add_argument
    limits(
        "--workers",
        type=int,
        metavar="N",
        help="number of worker processes (default: one per core)",
    )
    limits(
        "--queue",
        type=int,
        metavar="N",
        help="maximum number of requests in progress (default: 32)",
    )
    limits(
        "--per-client",
        type=int,
        metavar="N",
        help="requests in progress per client address (default: no limit)",
    )
    limits(
        "--max-mb", type=float, metavar="MB", help="maximum size of a request body (default: 64)"
    )
    limits(
        "--body-seconds",
        type=float,
        metavar="S",
        help="time limit for receiving a body (default: 30)",
    )
    limits(
        "--image-seconds",
        type=float,
        metavar="S",
        help="time limit for reading an image (default: 60)",
    )
    limits(
        "--grace-seconds",
        type=float,
        metavar="S",
        help="time to finish requests after SIGTERM (default: 5)",
    )
    limits(
        "--evidence-seconds",
        type=float,
        metavar="S",
        help="lifetime of links to evidence pictures (default: 600)",
    )


def run(args: Namespace) -> int:
    """Serve until a signal ends it."""
    _check_packages()
    settings = settings_of(args)
    gc.disable()  # imported objects contain no cycles
    # A reading process loads its models while the HTTP server is imported.
    from pneumoscope.serve.process import Process  # noqa: PLC0415 - after parsing

    first = Process(settings.models)
    from pneumoscope.serve.pool import Pool  # noqa: PLC0415
    from pneumoscope.serve.server import listen, serve  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    pool = Pool(
        settings.models,
        workers=settings.workers,
        image_seconds=settings.image_seconds,
        first=first,
    )
    with listen(settings) as listener:
        serve(settings, pool, listener)
    return 0


def _check_packages() -> None:
    """Check that the packages of the extra are installed.

    Raises:
        ModuleNotFoundError: A package is not installed.
    """
    for name in PACKAGES:
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def settings_of(args: Namespace) -> Settings:
    """Return the settings given by the options.

    Raises:
        OptionError: A setting is invalid.
    """
    from pneumoscope.serve.settings import MEGABYTE, Settings  # noqa: PLC0415 - after parsing

    limits = {
        name: value
        for name in (
            *("workers", "queue", "per_client", "body_seconds", "image_seconds"),
            *("grace_seconds", "evidence_seconds"),
        )
        if (value := getattr(args, name)) is not None
    }
    if args.max_mb is not None:
        limits["max_bytes"] = int(args.max_mb * MEGABYTE)
    return Settings(
        models=_models(args.model),
        host=args.host,
        port=args.port,
        fd=args.fd,
        token=_token(args.token_file),
        tls_certificate=args.tls_certificate,
        tls_key=args.tls_key,
        client_ca=args.client_ca,
        **limits,
    )


def _models(given: list[str]) -> dict[str, Path | None]:
    found: dict[str, Path | None] = {}
    for word in given:
        name, separator, place = word.partition("=")
        if not separator or "/" in name:
            name, place = "default", word
        if name in found:
            raise OptionError("--model", must="given a different name each time", was=word)
        found[name] = None if place == "shipped" else Path(place)
    return found or {"default": None}


def _token(file: Path | None) -> str:
    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise OptionError("--token-file", must="a readable text file", was=str(file)) from fault

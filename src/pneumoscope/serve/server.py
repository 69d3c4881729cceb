"""The server process: socket, signals, start and shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import resource
import signal
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn

from pneumoscope.errors import ModelFileError, OptionError, OutputError
from pneumoscope.logs import start_logging
from pneumoscope.parallel import cgroup_quota
from pneumoscope.serve.app import application
from pneumoscope.serve.connection import Connection
from pneumoscope.serve.pool import Pool
from pneumoscope.serve.process import PoolError
from pneumoscope.serve.reading import IMAGES
from pneumoscope.serve.service import Service
from pneumoscope.serve.settings import Settings

IDLE_SECONDS = 75
"""A connection without a request is closed after this time."""

END_SECONDS = 90
"""Time after the grace period at which requests in progress are aborted."""

_SPARE_FILES = 64  # file descriptors for other purposes than connections
_MOST_CONNECTIONS = 4096

_log = logging.getLogger("pneumoscope.serve")


def listen(settings: Settings) -> socket.socket:
    """Return the listening socket of a service.

    Raises:
        OutputError: The address cannot be listened on.
    """
    try:
        if settings.fd is not None:
            return socket.socket(fileno=settings.fd)
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        found = socket.socket(family)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((settings.host, settings.port))
        found.listen(2048)
    except OSError as fault:
        where = f"descriptor {settings.fd}" if settings.fd is not None else settings.host
        raise OutputError(
            f"{where}: the service cannot listen on port {settings.port} ({fault.strerror})."
        ) from fault
    return found


def serve(settings: Settings, pool: Pool, listener: socket.socket) -> None:
    """Run a service until SIGTERM or Ctrl-C.

    On SIGTERM, the service reports that it is not ready, continues to answer during the grace
    period, stops accepting connections, finishes requests in progress, and ends. Ctrl-C skips the
    grace period; a second signal aborts requests in progress. SIGHUP reloads the model files.

    Args:
        settings: Settings of the service.
        pool: The pool of processes, which is closed at the end.
        listener: The listening socket.

    Raises:
        ModelFileError: A model cannot be used.
        OptionError: A certificate cannot be used.
    """
    start_logging("uvicorn")
    _lighten_logging()
    config = _config(settings, Service(settings, pool))
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_Run(settings, pool, config).run(listener))


def _lighten_logging() -> None:
    """Do not collect information that the log lines omit, as Python's logging guide describes."""
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = False
    logging.logMultiprocessing = False


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are handled here


def _config(settings: Settings, service: Service) -> uvicorn.Config:
    options: dict[str, Any] = {}
    if settings.tls_certificate is not None:
        options = {
            "ssl_certfile": settings.tls_certificate,
            "ssl_keyfile": settings.tls_key,
            "ssl_ca_certs": settings.client_ca,
            "ssl_cert_reqs": ssl.CERT_REQUIRED if settings.client_ca else ssl.CERT_NONE,
        }
    connection = type("Connection", (Connection,), {"most": _most_connections(), "images": IMAGES})
    config = uvicorn.Config(
        application(service),
        http=connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=END_SECONDS,
        **options,
    )
    config.service = service  # type: ignore[attr-defined]
    try:
        config.load()
    except OSError as fault:  # ssl.SSLError is one
        raise OptionError(
            "tls_certificate",
            must="a PEM file with the matching key",
            was=str(settings.tls_certificate),
            hint=f"{fault}.",
        ) from fault
    return config


class _Run:
    """One run of the service within its event loop."""

    def __init__(self, settings: Settings, pool: Pool, config: uvicorn.Config) -> None:
        self._settings = settings
        self._pool = pool
        self._service: Service = config.service  # type: ignore[attr-defined]
        self._server = _Server(config)
        self._ending: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def run(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for number, grace in (
            (signal.SIGTERM, self._settings.grace_seconds),
            (signal.SIGINT, 0.0),
        ):
            loop.add_signal_handler(number, functools.partial(self._end, grace))
        loop.add_signal_handler(signal.SIGHUP, self._renew)
        # An inherited socket may still be served by the previous process. Connections are only
        # accepted once this process can answer.
        opening = asyncio.create_task(self._pool.open())
        if self._settings.fd is not None:
            await asyncio.wait([opening])
        serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        try:
            await opening
        except PoolError as fault:
            self._server.should_exit = True
            await serving
            raise ModelFileError(str(fault)) from fault
        self._tell_started(listener)
        await serving
        await self._pool.close()
        _log.info("ended", extra={"facts": {}})

    def _tell_started(self, listener: socket.socket) -> None:
        address = listener.getsockname()
        models = {name: about["sha256"] for name, about in self._pool.models.items()}
        quota = cgroup_quota()
        _log.info(
            "ready",
            extra={
                "facts": {
                    "address": f"{address[0]}:{address[1]}" if len(address) > 1 else str(address),
                    "workers": self._settings.workers,
                    "cgroup_quota": quota,
                    "queue": self._settings.queue,
                    "models": models,
                }
            },
        )

    def _end(self, grace: float) -> None:
        if self._ending is not None:
            self._server.force_exit = True
            return
        self._service.draining = True
        _log.info("draining", extra={"facts": {"grace_seconds": grace}})
        self._ending = asyncio.create_task(self._ended_after(grace))

    async def _ended_after(self, grace: float) -> None:
        await asyncio.sleep(grace)
        self._server.should_exit = True

    def _renew(self) -> None:
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renewed())

    async def _renewed(self) -> None:
        try:
            await self._pool.renew()
        except PoolError as fault:
            _log.error("reload_failed", extra={"facts": {"reason": str(fault)}})
            return
        models = {name: about["sha256"] for name, about in self._pool.models.items()}
        _log.info("reloaded", extra={"facts": {"models": models}})


def _most_connections() -> int:
    """Raise the limit of open files; return the number of possible connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_CONNECTIONS + _SPARE_FILES
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    limit = max(soft, limit)
    return max(8, min(_MOST_CONNECTIONS, limit - _SPARE_FILES))

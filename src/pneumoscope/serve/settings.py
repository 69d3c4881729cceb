"""The settings of the service."""

from __future__ import annotations

import functools
import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from pneumoscope.errors import OptionError
from pneumoscope.parallel import cores

MEGABYTE = 2**20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a service.

    Attributes:
        models: Name → model file or run folder; None is the included reader. The first one answers
            requests without a model name.
        host: Address to listen on.
        port: Port to listen on; 0 selects a free one.
        fd: File descriptor of a listening socket, such as that of systemd; None opens a socket.
        workers: Number of processes that read images.
        queue: Maximum number of requests in progress; further ones are answered with 429.
        per_client: Maximum number of requests in progress of one address; None for no limit.
        max_bytes: Maximum size of a request body.
        body_seconds: Time limit for a request body to arrive.
        image_seconds: Time limit for reading an image.
        grace_seconds: Seconds for which new requests are still answered after SIGTERM.
        evidence_seconds: Seconds for which the link to an evidence picture is valid.
        token: Bearer token that clients must send; empty if none is required.
        tls_certificate: PEM file of the server's certificate.
        tls_key: PEM file of the server's key.
        client_ca: PEM file of the authorities whose client certificates are accepted; if given,
            clients must present a certificate.

    Raises:
        OptionError: An invalid value, or an address that other machines can reach without a token
            or client certificates.
    """

    models: dict[str, Path | None] = field(default_factory=lambda: {"default": None})
    host: str = "127.0.0.1"
    port: int = 8080
    fd: int | None = None
    workers: int = field(default_factory=cores)
    queue: int = 32
    per_client: int | None = None
    max_bytes: int = 64 * MEGABYTE
    body_seconds: float = 30.0
    image_seconds: float = 60.0
    grace_seconds: float = 5.0
    evidence_seconds: float = 600.0
    token: str = ""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise OptionError("models", must="at least one model", was=self.models)
        for name in self.models:
            if not _NAME.fullmatch(name):
                raise OptionError(
                    "models",
                    must="named with letters, digits, dots, hyphens and underscores",
                    was=name,
                )
        for name, least in (("workers", 1), ("queue", 1), ("max_bytes", 1), ("port", 0)):
            if getattr(self, name) < least:
                raise OptionError(name, must=f"at least {least}", was=getattr(self, name))
        if self.per_client is not None and self.per_client < 1:
            raise OptionError("per_client", must="at least 1", was=self.per_client)
        for name in ("body_seconds", "image_seconds", "evidence_seconds"):
            if getattr(self, name) <= 0:
                raise OptionError(name, must="more than 0", was=getattr(self, name))
        if self.grace_seconds < 0:
            raise OptionError("grace_seconds", must="0 or more", was=self.grace_seconds)
        if self.queue < self.workers:
            raise OptionError("queue", must=f"at least workers ({self.workers})", was=self.queue)
        self._check_access()

    def _check_access(self) -> None:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise OptionError(
                "tls_certificate", must="combined with tls_key", was=self.tls_certificate
            )
        if self.client_ca is not None and self.tls_certificate is None:
            raise OptionError("client_ca", must="combined with tls_certificate", was=self.client_ca)
        if self.token and not self.token.isascii():
            raise OptionError("token", must="ASCII text", was="a text with other characters")
        if self.fd is None and not is_loopback(self.host) and not (self.token or self.client_ca):
            raise OptionError(
                "host",
                must="a loopback address, unless a token or client certificates are required",
                was=self.host,
                hint="Set a token, or require client certificates.",
            )

    @property
    def default_model(self) -> str:
        """The model used for requests without a model name."""
        return next(iter(self.models))


@functools.lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Return whether an address is reachable from this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""A client of the service run by ``pneumoscope serve``; needs only the standard library.

>>> client = Client("http://127.0.0.1:8080")  # doctest: +SKIP
>>> client.predict("a.jpeg")["conclusion"]  # doctest: +SKIP
'NORMAL'
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from pneumoscope.errors import OptionError, ServiceError

if TYPE_CHECKING:
    import ssl

ATTEMPTS = 5
"""Maximum number of attempts for a request to a busy service."""

LONGEST_WAIT_SECONDS = 60.0
"""Maximum time between two attempts, regardless of the response of the service."""

_BUSY = 429
_UNAVAILABLE = 503


class Client:
    """A client of the service.

    Args:
        url: Address of the service, such as ``http://127.0.0.1:8080``.
        token: The access token, if the service requires one.
        timeout: Seconds to wait for a response.
        context: For ``https`` with a certificate authority or a client certificate of your own.

    Raises:
        OptionError: ``url`` is not the address of a service.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        timeout: float = 120.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise OptionError("url", must="an address like http://127.0.0.1:8080", was=url)
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = timeout
        self._context = context

    def predict(
        self,
        image: str | PathLike[str] | bytes,
        evidence: bool = False,
        model: str | None = None,
        evidence_of: str | None = None,
    ) -> dict[str, Any]:
        """Return the record of an image, as ``pneumoscope predict --format json`` prints it.

        If the service is busy, the request is repeated after the time stated by the service, at
        most ``ATTEMPTS`` times in total.

        Args:
            image: The path of a file, or the bytes of one.
            evidence: Whether the service draws an evidence picture; see ``evidence``.
            model: Name of a model of the service; None for the first one.
            evidence_of: Class or finding whose evidence is drawn; None for the service's choice.

        Returns:
            The record; ``path`` is the given path, empty for bytes.

        Raises:
            ServiceError: There is no response, or it contains no record, for example because the
                image cannot be read.
            OSError: The file cannot be read.
        """
        content = image if isinstance(image, bytes) else Path(image).read_bytes()
        parameters = {"evidence": "1"} if evidence else {}
        parameters |= {"evidence_of": evidence_of} if evidence and evidence_of else {}
        query = urlencode(parameters | ({"model": model} if model else {}))
        body = self._ask(f"/v1/predictions{'?' * bool(query)}{query}", content)
        record: dict[str, Any] = json.loads(body)
        if not isinstance(image, bytes):
            record["path"] = str(image)
        return record

    def evidence(self, record: Mapping[str, Any]) -> bytes:
        """Return the picture linked in a record, a PNG; the link expires after some minutes.

        Args:
            record: The result of ``predict`` with ``evidence=True``.

        Raises:
            ServiceError: The record has no link, or the picture is no longer available.
        """
        if not record.get("evidence"):
            raise ServiceError(
                "the record has no evidence picture; images without a conclusion have none"
            )
        return self._ask(str(record["evidence"]))

    def ready(self) -> bool:
        """Return whether the service is ready; False if it cannot be reached."""
        try:
            self._ask("/v2/health/ready", attempts=1)
        except ServiceError as fault:
            if fault.status in {None, _BUSY, _UNAVAILABLE}:
                return False
            raise
        return True

    def _ask(self, path: str, body: bytes | None = None, *, attempts: int = ATTEMPTS) -> bytes:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/octet-stream"
        request = Request(self._url + path, body, headers)  # noqa: S310 - the scheme was checked
        for attempt in range(1, attempts + 1):
            try:
                with urlopen(request, timeout=self._timeout, context=self._context) as answer:  # noqa: S310
                    found: bytes = answer.read()
                    return found
            except HTTPError as fault:
                with fault:
                    refusal = ServiceError(_reason(fault), status=fault.code)
                    wait = fault.headers.get("Retry-After", "")
                if fault.code != _BUSY or not wait.isdecimal() or attempt == attempts:
                    raise refusal from None
                time.sleep(min(LONGEST_WAIT_SECONDS, float(wait)))
            except OSError as fault:  # includes URLError, TimeoutError and reset connections
                reason = fault.reason if isinstance(fault, URLError) else fault
                raise ServiceError(f"{self._url} does not respond ({reason})") from fault
        raise AssertionError("the last attempt returns or raises")


def _reason(fault: HTTPError) -> str:
    """Return the error message of a response."""
    try:
        return f"{json.loads(fault.read())['detail']} (status {fault.code})"
    except (OSError, ValueError, KeyError, TypeError):
        return f"the service responded with status {fault.code}"

"""Download weights over https."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pneumoscope.data.download.fetch import Expected, fetch
from pneumoscope.errors import FetchError, WeightsError
from pneumoscope.runs import sha256_of

if TYPE_CHECKING:
    from pneumoscope.parallel import Progress

MOST_BYTES = 16 * 2**30
"""Maximum size of a weights file."""

_OWN_MACHINE = ("localhost", "127.0.0.1", "::1")


def download(
    url: str, target: Path, *, sha256: str | None = None, progress: Progress | None = None
) -> str:
    """Download a file to ``target`` and return its SHA-256.

    If the connection is lost permanently, the downloaded part is kept, and the next call continues.

    Args:
        url: An ``https`` address; ``http`` only with ``sha256``, or on this machine.
        target: Destination.
        sha256: Expected SHA-256 of the content.
        progress: Called with (bytes, total bytes).

    Raises:
        WeightsError: The address is not trusted.
        FetchError: The download failed, or the content differs from the expected one.
        OutputError: The file cannot be written.
    """
    parts = urlsplit(url)
    vouched = parts.scheme == "http" and (sha256 or parts.hostname in _OWN_MACHINE)
    if not (vouched or (parts.scheme == "https" and parts.hostname)):
        raise WeightsError(
            f"{url}: use an https address; http is accepted only with a checksum, as in "
            "http://HOST/FILE#sha256=DIGITS."
        )
    fetch(url, target, expected=Expected(sha256=sha256), most_bytes=MOST_BYTES, progress=progress)
    return sha256 or sha256_of(target)


def fetched(
    url: str, target: Path, *, sha256: str | None = None, progress: Progress | None = None
) -> str:
    """Download a file from an address given by the user.

    Raises:
        WeightsError: The file cannot be downloaded, or its content differs from the expected one.
        OutputError: The file cannot be written.
    """
    try:
        return download(url, target, sha256=sha256, progress=progress)
    except FetchError as fault:
        raise WeightsError(f"{url}: cannot be fetched ({fault.reason}).") from fault

"""A file from the web: whole or not at all, and continued where it broke off."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from pneumoscope.errors import OutputError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pneumoscope.parallel import Progress

_BLOCK = 2**18
_TIMEOUT_SECONDS = 30
_OWN_MACHINE = ("localhost", "127.0.0.1", "::1")


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    tries: int = 5,
    pause_seconds: float = 1.0,
    progress: Progress | None = None,
) -> str:
    """Fetch a file, put it at ``target``, and return its SHA-256.

    What has arrived is kept beside the target (``.part``), and both the next try and the next run
    continue it, if the server says that the file is still the same. Two processes may fetch the
    same file at once: they write the same bytes to the same places.

    Args:
        url: An ``https`` address; ``http`` only with ``sha256``, or on this machine.
        target: Where the file goes.
        sha256: What its content must hash to.
        tries: How often a connection may break without a byte having come.
        pause_seconds: Wait after the first break; doubled after each further one.
        progress: Called with bytes done and bytes in all.

    Raises:
        WeightsError: It cannot be fetched, or its content is another.
        OutputError: It cannot be written.
    """
    _check_address(url, sha256)
    part = target.with_name(f"{target.name}.part")
    about = target.with_name(f"{target.name}.part.json")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _receive_all(url, part, about, tries=tries, pause=pause_seconds, progress=progress)
        found = sha256_of(part)
        if sha256 is not None and found != sha256:
            _forget(part, about)
            raise WeightsError(
                f"{url}: its content has the SHA-256 {found}, but {sha256} was expected; nothing "
                "was kept. Check the address, or the number."
            )
        part.replace(target)
        _forget(part, about)
    except OSError as fault:
        if target.exists() and sha256_of(target) == sha256:
            return sha256  # another process was faster
        raise OutputError(
            f"{target}: cannot be written ({fault.strerror or fault}); choose another place or "
            "free it."
        ) from fault
    return found


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _BrokenError(Exception):
    """The connection broke, or the server asks to come again; another try may do."""


class _NothingLeftError(Exception):
    """The server has no bytes after those that are here; ``total`` is how many it has."""

    def __init__(self, total: str) -> None:
        super().__init__(total)
        self.total = int(total) if total.isdigit() else None


def _check_address(url: str, sha256: str | None) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and (sha256 or parts.hostname in _OWN_MACHINE):
        return
    raise WeightsError(
        f"{url}: an https address is needed; http is taken where the content is vouched for, as in "
        "http://HOST/FILE#sha256=DIGITS."
    )


def _receive_all(
    url: str, part: Path, about: Path, *, tries: int, pause: float, progress: Progress | None
) -> None:
    failures = 0
    while True:
        before = _size(part)
        try:
            _receive(url, part, about, progress=progress)
        except _BrokenError as fault:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= tries:
                kept = " What has arrived is kept; the same command continues."
                raise WeightsError(
                    f"{url}: cannot be fetched ({fault}; {tries} tries).{kept * (before > 0)}"
                ) from fault
            time.sleep(pause * 2 ** (failures - 1))
        else:
            return


def _receive(url: str, part: Path, about: Path, *, progress: Progress | None) -> None:
    """Receive what is missing of the part; return when it is whole."""
    start = _size(part)
    version = _version_of(about, url) if start else None
    if version is None:
        start = 0
    try:
        with _answer(url, start=start, version=version) as answer:
            start, total = _place(answer, start)
            about.write_text(
                json.dumps({"url": url, "version": _version(answer)}), encoding="utf-8"
            )
            _write(answer, part, start=start, total=total, progress=progress)
    except _NothingLeftError as fault:
        if fault.total != start:
            _forget(part, about)
            raise _BrokenError("the server has another file now") from fault


def _write(
    answer: http.client.HTTPResponse,
    part: Path,
    *,
    start: int,
    total: int | None,
    progress: Progress | None,
) -> None:
    done = start
    with part.open("r+b" if part.exists() else "w+b") as file:
        if start == 0:
            file.truncate(0)
        file.seek(start)
        while True:
            try:
                block = answer.read(_BLOCK)
            except (OSError, http.client.HTTPException) as fault:
                raise _BrokenError(f"the connection broke after {done:,} bytes") from fault
            if not block:
                break
            _put(file, block)
            done += len(block)
            if progress:
                progress(done, total or done)
    if total is not None and done < total:
        raise _BrokenError(f"the connection ended after {done:,} of {total:,} bytes")


def _put(file: IO[bytes], block: bytes) -> None:
    """Write so that a killed process leaves what it had received."""
    file.write(block)
    file.flush()


@contextlib.contextmanager
def _answer(url: str, *, start: int, version: str | None) -> Iterator[http.client.HTTPResponse]:
    request = urllib.request.Request(url, headers={"User-Agent": "pneumoscope"})  # noqa: S310 - checked
    if start and version:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", version)
    try:
        answer = _opener().open(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as fault:
        if fault.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            raise _NothingLeftError(
                fault.headers.get("Content-Range", "").rpartition("/")[2]
            ) from fault
        if fault.code in {408, 429} or fault.code >= 500:
            raise _BrokenError(f"the server answered {fault.code} {fault.reason}") from fault
        raise WeightsError(
            f"{url}: the server answered {fault.code} {fault.reason}; check the address."
        ) from fault
    except urllib.error.URLError as fault:
        if isinstance(fault.reason, ssl.SSLError):
            raise WeightsError(f"{url}: no safe connection ({fault.reason}).") from fault
        if isinstance(fault.reason, socket.gaierror):  # no network, most likely: do not wait
            raise WeightsError(f"{url}: cannot be fetched ({fault.reason}).") from fault
        raise _BrokenError(str(fault.reason)) from fault
    except (OSError, http.client.HTTPException) as fault:
        raise _BrokenError(str(fault)) from fault
    with answer:
        yield answer


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 - the standard library's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise WeightsError(f"{req.full_url}: leads to {newurl}, which is not encrypted.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoDowngrade)


def _place(answer: http.client.HTTPResponse, asked: int) -> tuple[int, int | None]:
    """Return at which byte the answer begins, and how many the whole file has, if it says."""
    length = answer.headers.get("Content-Length")
    if answer.status != http.client.PARTIAL_CONTENT:
        return 0, int(length) if length else None
    unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    if unit != "bytes" or not span.startswith(f"{asked}-"):
        raise _BrokenError("the server sent another part than was asked for")
    return asked, int(total) if total.isdigit() else None


def _version(answer: http.client.HTTPResponse) -> str | None:
    """Return what tells this version of the file from others; weak ETags do not (RFC 9110)."""
    etag: str | None = answer.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified")


def _version_of(about: Path, url: str) -> str | None:
    try:
        values = json.loads(about.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(values, dict) or values.get("url") != url:
        return None
    version = values.get("version")
    return version if isinstance(version, str) else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _forget(*paths: Path) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()

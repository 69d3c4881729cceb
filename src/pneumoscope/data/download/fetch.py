"""Download a URL to a file, resuming after interruptions."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pneumoscope.data.download.disk import write_all, written
from pneumoscope.errors import FetchError, OptionError, OutputError
from pneumoscope.runs import sha256_of

if TYPE_CHECKING:
    from pneumoscope.parallel import Progress

TIMEOUT_SECONDS = 30.0
TRIES = 5
"""Number of consecutive failures without progress before giving up."""

_CHUNK = 1 << 18
_ASK_AGAIN = {408, 416, 429}  # and errors of the server, from 500 on
_BROKEN = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected size in bytes and SHA-256 of a file, if known."""

    bytes: int | None = None
    sha256: str | None = None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to web addresses, never from https to http."""

    def redirect_request(  # noqa: PLR0917 - urllib fixes the arguments
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the redirected request, or refuse it."""
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in {"http", "https"} or (before, after) == ("https", "http"):
            raise FetchError(req.full_url, f"redirects to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_url(url: str) -> None:
    """Raise an error if a text is not a web address.

    Raises:
        OptionError: It is not a web address.
    """
    try:
        place = urlsplit(url)
        usable = place.scheme in {"http", "https"} and bool(place.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise OptionError("source", must="an address that begins with https:// or http://", was=url)


def fetch(
    url: str,
    file: Path,
    *,
    expected: Expected | None = None,
    most_bytes: int,
    progress: Progress | None = None,
) -> None:
    """Download a URL to a file, which only appears once it is complete.

    If the connection is lost permanently, the downloaded part is kept as ``.NAME.part`` in the same
    folder, and a later call continues from it, with a Range request that is valid only while the
    server's file is unchanged. Servers without ranges send the whole file again. Two processes may
    download the same file at the same time: they write the same bytes to the same positions.

    Args:
        url: Address, http or https.
        file: Destination.
        expected: Expected size and checksum.
        most_bytes: Maximum size.
        progress: Called with (bytes, total bytes) if the server states the size.

    Raises:
        FetchError: The download failed, or the file is not the expected one.
        OutputError: The file cannot be written.
    """
    check_url(url)
    expected = expected or Expected()
    part = file.with_name(f".{file.name}.part")
    note = file.with_name(f".{file.name}.part.json")
    opener = urllib.request.build_opener(_Redirects)
    with written(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    failed = 0
    while True:
        before = _size(part)
        try:
            with contextlib.closing(_opened(opener, url, part, note)) as answer:
                whole = _received(answer, url, part, note, most_bytes=most_bytes, progress=progress)
            if whole:
                break
            fault: Exception = ConnectionError("the connection ended early")
        except urllib.error.HTTPError as refusal:
            refusal.close()
            if refusal.code == 416:  # there are no bytes after those received
                if refusal.headers.get("Content-Range") == f"bytes */{before}":
                    break
                _forget(part, note)
            if refusal.code not in _ASK_AGAIN and refusal.code < 500:
                raise FetchError(url, f"{_reason(refusal)}; check the address") from refusal
            fault = refusal
        except _BROKEN as broken:
            if isinstance(getattr(broken, "reason", None), socket.gaierror | ssl.SSLError):
                raise FetchError(url, _reason(broken)) from broken  # waiting does not help
            fault = broken
        failed = 0 if _size(part) > before else failed + 1
        if failed >= TRIES:
            raise FetchError(url, f"{_reason(fault)} ({TRIES} tries)") from fault
        time.sleep(min(2.0**failed, 20.0) / 2)
    try:
        _check_content(url, part, note, expected)
        with written(file):
            part.replace(file)
            note.unlink(missing_ok=True)
    except (FileNotFoundError, OutputError):
        if part.exists() or not file.exists():
            raise
        # Another process was faster, and has checked the same file.


def _opened(opener: urllib.request.OpenerDirector, url: str, part: Path, note: Path) -> Any:
    headers = {"Accept-Encoding": "identity", "User-Agent": "pneumoscope"}
    have, known = _size(part), _noted(note)
    if have and known.get("url") == url and known.get("validator"):
        headers["Range"] = f"bytes={have}-"
        headers["If-Range"] = known["validator"]
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was checked
    return opener.open(request, timeout=TIMEOUT_SECONDS)


def _received(
    answer: Any, url: str, part: Path, note: Path, *, most_bytes: int, progress: Progress | None
) -> bool:
    """Append or write the response; return whether the file is complete."""
    begin, total = _place(answer, _size(part))
    if begin == 0:
        _forget(part, note)
    if total is not None and total > most_bytes:
        raise FetchError(url, f"{total:,} bytes, more than the limit of {most_bytes:,}")
    with written(part):
        validator = _validator(answer)
        note.write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")
        part.touch()
        out = part.open("r+b", buffering=0)
        out.seek(begin)
    have = begin
    with out:
        for chunk in iter(lambda: answer.read1(_CHUNK), b""):
            with written(part):
                write_all(out, chunk)
            have += len(chunk)
            if have > most_bytes or (total is not None and have > total):
                raise FetchError(url, "more data than announced or allowed")
            if progress and total is not None:
                progress(have, total)
    return total is None or have == total


def _place(answer: Any, have: int) -> tuple[int, int | None]:
    """Return the offset of a response in the file, and the total size if known."""
    if answer.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != have:
            raise http.client.HTTPException("the server sent another range than requested")
        return have, None if match[2] == "*" else int(match[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _validator(answer: Any) -> str | None:
    """Return the header that identifies a version of the file; weak tags do not."""
    tag = answer.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return str(tag)
    return answer.headers.get("Last-Modified") or None


def _check_content(url: str, part: Path, note: Path, expected: Expected) -> None:
    size = _size(part)
    wrong = ""
    if expected.bytes is not None and size != expected.bytes:
        wrong = f"{size:,} bytes received instead of {expected.bytes:,}"
    elif expected.sha256 is not None:
        found = sha256_of(part)
        if found != expected.sha256.lower():
            wrong = f"its SHA-256 is {found} instead of {expected.sha256}"
    if wrong:
        _forget(part, note)  # the next attempt must not continue from it
        raise FetchError(url, f"{wrong}; removed")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _noted(note: Path) -> dict[str, str]:
    try:
        held = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # no note, or a truncated one: start again
    return held if isinstance(held, dict) else {}


def _forget(part: Path, note: Path) -> None:
    with written(part):
        part.unlink(missing_ok=True)
        note.unlink(missing_ok=True)


def _reason(fault: Exception) -> str:
    """Return the cause of an error as text; urllib wraps it."""
    if isinstance(fault, urllib.error.HTTPError):
        return f"the server answers {fault.code} {fault.reason}"
    cause = getattr(fault, "reason", None) or fault
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)

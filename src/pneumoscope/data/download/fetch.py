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
"""So often a connection may fail without a byte gained."""

_CHUNK = 1 << 18
_ASK_AGAIN = {408, 416, 429}  # and what is the server's own fault, from 500 on
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
        OptionError: It is none.
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
    """Download a URL to a file, which appears only when it is complete.

    What arrived is kept beside it as ``.NAME.part`` if the line breaks for good, and a later call
    goes on from there: with a Range request that holds only while the server's file is the same
    one. Servers without ranges send it all again. Two processes may fetch the same file at once:
    they write the same bytes to the same places.

    Args:
        url: Where from, http or https.
        file: Where to.
        expected: What it must be.
        most_bytes: More is refused.
        progress: Called with (bytes, bytes in all) where the server tells the size.

    Raises:
        FetchError: It cannot be had, or is not what is expected.
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
            with contextlib.closing(_asked(opener, url, part, note)) as answer:
                whole = _received(answer, url, part, note, most_bytes=most_bytes, progress=progress)
            if whole:
                break
            fault: Exception = ConnectionError("the connection ended early")
        except urllib.error.HTTPError as refusal:
            refusal.close()
            if refusal.code == 416:  # nothing lies behind what is here
                if refusal.headers.get("Content-Range") == f"bytes */{before}":
                    break
                _forget(part, note)
            if refusal.code not in _ASK_AGAIN and refusal.code < 500:
                raise FetchError(url, f"{_reason(refusal)}; check the address") from refusal
            fault = refusal
        except _BROKEN as broken:
            if isinstance(getattr(broken, "reason", None), socket.gaierror | ssl.SSLError):
                raise FetchError(url, _reason(broken)) from broken  # no wait will help
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


def _asked(opener: urllib.request.OpenerDirector, url: str, part: Path, note: Path) -> Any:
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
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if told is None or int(told[1]) != have:
            raise http.client.HTTPException("the server sent another range than requested")
        return have, None if told[2] == "*" else int(told[2])
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
        _forget(part, note)  # the next try must not go on from it
        raise FetchError(url, f"{wrong}; removed")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _noted(note: Path) -> dict[str, str]:
    try:
        held = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # no note, or one that was cut: begin anew
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

"""The image in the body of a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


class BodyError(Exception):
    """A body that is rejected.

    Attributes:
        status: Status of the response.
        reason: The reason, in words.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class ClientGoneError(Exception):
    """The client disconnected."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded image.

    Attributes:
        content: The bytes, in the pieces in which they arrived, which saves a copy.
        name: File name given by the client; empty if there is none.
    """

    content: Sequence[bytes | bytearray]
    name: str = ""


def upload_of(body: Sequence[bytes], content_type: str) -> Upload:
    """Return the image of a body: the body itself, or the single file of a form.

    Args:
        body: The complete body.
        content_type: The header, which is only used to detect forms; the format of an image is
            detected from its content.

    Raises:
        BodyError: The body contains no image, or more than one.
    """
    if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
        return _file_of_form(b"".join(body), content_type)
    if not body:
        raise BodyError(400, "the body is empty; send the bytes of an image")
    return Upload(body)


def _file_of_form(body: bytes, content_type: str) -> Upload:
    from python_multipart.exceptions import FormParserError  # noqa: PLC0415 - only for forms
    from python_multipart.multipart import MultipartParser, parse_options_header  # noqa: PLC0415

    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise BodyError(400, "the form has no boundary")
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError as fault:
        raise BodyError(400, f"the form cannot be read ({fault})") from fault
    files = [part for part in parts.found if part.is_file]
    if not parts.whole:
        raise BodyError(400, "the form is incomplete: its end boundary is missing")
    if len(files) != 1:
        raise BodyError(400, f"the form must contain one file, got {len(files)}")
    name = parse_options_header(files[0].disposition)[1].get(b"filename", b"")
    if not files[0].content:
        raise BodyError(400, "the file of the form is empty")
    return Upload([files[0].content], name.decode("utf-8", "replace"))


class _Part:
    def __init__(self) -> None:
        self.content = bytearray()
        self.disposition = b""

    @property
    def is_file(self) -> bool:
        return b"filename" in self.disposition.lower()


class _Parts:
    """Collects the parts of a form during parsing."""

    def __init__(self) -> None:
        self.found: list[_Part] = []
        self.whole = False
        self._name = b""
        self._value = b""

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._content_of_header,
            "on_header_end": self._header,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self.found.append(_Part())

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _content_of_header(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self.found[-1].disposition = self._value
        self._name = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.found[-1].content += data[start:end]

    def _end(self) -> None:
        self.whole = True

"""Read, replace and sign the metadata of a model file without opening its graph.

The checksum ("seal") is a SHA-256 over the whole file, with zeros instead of its own digits. It
shows that neither graph nor metadata changed after the file was written, but not who wrote it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import ModelFileError
from pneumoscope.reader.model_file.inspection import Contents, inspect
from pneumoscope.reader.model_file.protobuf import encoded

if TYPE_CHECKING:
    from typing import Protocol

    class Metadata(Protocol):
        """The interface of ``ModelInfo`` used here."""

        def to_json(self) -> str:
            """Return the metadata as stored in the file."""


KEY = "pneumoscope"
"""The key of this package's metadata."""

UNSEALED = "0" * 64
SEAL_KEY = "seal"

_BEGINNING = f'{{"{SEAL_KEY}": "'.encode()
_METADATA_FIELD, _KEY_FIELD, _VALUE_FIELD = 14, 1, 2


def own_text(content: bytes, contents: Contents, path: Path) -> str:
    """Return this package's metadata in a model file.

    Raises:
        ModelFileError: There are no such metadata.
    """
    entry = contents.metadata.get(KEY)
    if entry is None:
        raise ModelFileError(
            f"{path}: an ONNX file, but not a pneumoscope model (no {KEY!r} in its metadata)."
        )
    try:
        return content[entry.value_start : entry.value_end].decode("utf-8")
    except UnicodeDecodeError as fault:
        raise ModelFileError(f"{path}: cannot be used: its metadata are not text.") from fault


def with_info(content: bytes, info: Metadata, *, path: Path = Path("model.onnx")) -> bytes:
    """Return the model file with other metadata and a new checksum; the graph is unchanged.

    Raises:
        ModelFileError: The bytes are not a model file.
    """
    contents = inspect(content, path)
    entry = contents.metadata.get(KEY)
    rest = content if entry is None else content[: entry.start] + content[entry.end :]
    value = info.to_json().encode("utf-8")
    ours = encoded(_KEY_FIELD, KEY.encode()) + encoded(_VALUE_FIELD, value)
    return with_checksum(rest + encoded(_METADATA_FIELD, ours), path=path)


def with_checksum(content: bytes, *, path: Path = Path("model.onnx")) -> bytes:
    """Return the model file with its checksum set.

    Raises:
        ModelFileError: The bytes are not a model file of this package, or have no space for a
            checksum.
    """
    place = _place_in(content, inspect(content, path), path)
    if place is None:
        raise ModelFileError(f"{path}: its metadata have no space for a checksum.")
    return content[:place] + _digest(content, place).encode() + content[place + len(UNSEALED) :]


def state_of(content: bytes, contents: Contents, path: Path) -> str:
    """Return the state of a model file's checksum: ``intact``, ``broken`` or ``none``.

    ``none`` is a file without a checksum: one of an old version, or one whose checksum is not set
    yet. Files with a self-test always have a checksum, so such a file without one is ``broken``.

    Raises:
        ModelFileError: The bytes are not a model file of this package.
    """
    place = _place_in(content, contents, path)
    if place is None:
        try:
            values = json.loads(own_text(content, contents, path))
        except ValueError:
            return "broken"
        return "broken" if isinstance(values, dict) and "self_test" in values else "none"
    borne = content[place : place + len(UNSEALED)]
    if borne == UNSEALED.encode():
        return "none"
    return "intact" if borne == _digest(content, place).encode() else "broken"


def _place_in(content: bytes, contents: Contents, path: Path) -> int | None:
    own_text(content, contents, path)
    entry = contents.metadata[KEY]
    place = entry.value_start + len(_BEGINNING)
    # Only at the very beginning, so that no later text can be mistaken for the checksum.
    there = content[entry.value_start : place] == _BEGINNING
    closed = content[place + len(UNSEALED) : place + len(UNSEALED) + 1] == b'"'
    return place if there and closed and place + len(UNSEALED) < entry.value_end else None


def _digest(content: bytes, place: int) -> str:
    import hashlib  # noqa: PLC0415 - not needed to read an image

    digest = hashlib.sha256(memoryview(content)[:place])
    digest.update(UNSEALED.encode())
    digest.update(memoryview(content)[place + len(UNSEALED) :])
    return digest.hexdigest()

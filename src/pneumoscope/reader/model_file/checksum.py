"""Read, replace and sign the metadata of a model file without opening its graph.

The seal is a SHA-256 over the whole file in which the digits of the seal itself are zeros. It shows
that neither graph nor metadata changed since the file was written; it cannot show who wrote it.
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
        """What ``ModelInfo`` is to this module."""

        def to_json(self) -> str:
            """Return the metadata as they stand in the file."""


KEY = "pneumoscope"
"""The entry of the metadata that is ours."""

UNSEALED = "0" * 64
SEAL_KEY = "seal"

_BEGINNING = f'{{"{SEAL_KEY}": "'.encode()
_METADATA_FIELD, _KEY_FIELD, _VALUE_FIELD = 14, 1, 2


def own_text(content: bytes, contents: Contents, path: Path) -> str:
    """Return our metadata in a model file.

    Raises:
        ModelFileError: There are none.
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
        ModelFileError: The bytes are no model file.
    """
    contents = inspect(content, path)
    entry = contents.metadata.get(KEY)
    rest = content if entry is None else content[: entry.start] + content[entry.end :]
    value = info.to_json().encode("utf-8")
    ours = encoded(_KEY_FIELD, KEY.encode()) + encoded(_VALUE_FIELD, value)
    return sealed(rest + encoded(_METADATA_FIELD, ours), path=path)


def sealed(content: bytes, *, path: Path = Path("model.onnx")) -> bytes:
    """Return the model file with its checksum set.

    Raises:
        ModelFileError: The bytes are no model file of this package, or have no room for a seal.
    """
    place = _place_in(content, inspect(content, path), path)
    if place is None:
        raise ModelFileError(f"{path}: its metadata have no space for a checksum.")
    return content[:place] + _digest(content, place).encode() + content[place + len(UNSEALED) :]


def state_of(content: bytes, contents: Contents, path: Path) -> str:
    """Return the state of a model file's checksum: ``intact``, ``broken`` or ``none``.

    ``none`` is a file without a seal: one written before there were seals, or one that is being
    written and whose seal is not set yet. Files with a self-test were always sealed, so one
    without a seal is broken.

    Raises:
        ModelFileError: The bytes are no model file of this package.
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
    # Only at the very beginning, so that no text further on can pass for the seal.
    there = content[entry.value_start : place] == _BEGINNING
    closed = content[place + len(UNSEALED) : place + len(UNSEALED) + 1] == b'"'
    return place if there and closed and place + len(UNSEALED) < entry.value_end else None


def _digest(content: bytes, place: int) -> str:
    import hashlib  # noqa: PLC0415 - reading an image does without

    digest = hashlib.sha256(memoryview(content)[:place])
    digest.update(UNSEALED.encode())
    digest.update(memoryview(content)[place + len(UNSEALED) :])
    return digest.hexdigest()

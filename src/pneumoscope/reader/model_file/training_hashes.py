"""Which images a model learnt from: shortened hashes of their files, kept in the model file.

A hash is the first 6 bytes of the SHA-256 of a file, so that 5,000 images take 40 kB. That none of
a million other images is taken for one of 100,000 known ones is 99.96 % certain. No name is kept,
and no image can be made of a hash.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pneumoscope.reader.model_file.metadata import ModelInfo

BYTES = 6
MOST = 400_000
"""Of more images than these the smallest hashes are kept, which is a random sample; together they
stay below the size that metadata may have."""

PARTS = ("train", "val")


def hashes_of(train: Iterable[str], val: Iterable[str] = ()) -> dict[str, Any]:
    """Return what ``ModelInfo.learnt`` holds.

    Args:
        train: SHA-256, in hexadecimal digits, of the files that the network learnt from.
        val: The same of the files that its decisions rest on: threshold, uncertain zone, gate.
    """
    found: dict[str, Any] = {"bytes": BYTES}
    for part, hashes in zip(PARTS, (train, val), strict=True):
        short = sorted({bytes.fromhex(one)[:BYTES] for one in hashes})
        kept = b"".join(short[:MOST])
        found[part] = {"images": len(short), "hashes": base64.b64encode(kept).decode("ascii")}
    return found


def learnt_from(info: ModelInfo, sha256s: Iterable[str], *, part: str = "train") -> int:
    """Return how many of some files a model learnt from; 0 where its file does not tell.

    Args:
        info: The metadata of the model.
        sha256s: SHA-256 of the files, in hexadecimal digits.
        part: ``train`` for what the network learnt from, ``val`` for what its decisions rest on.

    Raises:
        ValueError: The hashes of the model file are damaged.
    """
    return sum(learnt_each(info, sha256s, part=part))


def learnt_each(
    info: ModelInfo, sha256s: Iterable[str], *, part: str = "train"
) -> tuple[bool, ...]:
    """Return for each of some files whether a model learnt from it, as ``learnt_from`` counts.

    Raises:
        ValueError: The hashes of the model file are damaged.
    """
    known = known_hashes(info.learnt, part)
    size = len(next(iter(known), b""))
    return tuple(bytes.fromhex(one)[:size] in known for one in sha256s)


def known_hashes(learnt: Mapping[str, Any], part: str = "train") -> frozenset[bytes]:
    """Return the shortened hashes of a part; empty where there are none.

    Raises:
        ValueError: They are damaged.
    """
    own = learnt.get(part)
    if not own:
        return frozenset()
    try:
        size, packed = int(learnt["bytes"]), base64.b64decode(own["hashes"], validate=True)
    except (KeyError, TypeError, ValueError) as fault:
        raise ValueError("its hashes of training images are damaged") from fault
    if size < 4 or len(packed) % size:
        raise ValueError("its hashes of training images are damaged")
    return frozenset(packed[at : at + size] for at in range(0, len(packed), size))

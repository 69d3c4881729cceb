"""Hashes of the training images, stored in the model file.

A hash is the first 6 bytes of the SHA-256 of a file, so that 5,000 images take 40 kB. The
probability that none of a million other images is mistaken for one of 100,000 known ones is 99.96
%. An image cannot be reconstructed from its hash.

Copies in another size or format have other hashes. The names of the files are therefore stored as
well, as hashes of the same length: if most names in a folder are known, it most likely contains the
same data.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pneumoscope.runs import name_digest

if TYPE_CHECKING:
    from pneumoscope.reader.model_file.metadata import ModelInfo

BYTES = 6
MOST = 400_000
"""Maximum number of hashes; for more images, the smallest hashes are stored, which are a random
sample. The limit keeps metadata below their maximum size."""

PARTS = ("train", "val")


def hashes_of(
    train: Iterable[tuple[str, str]], val: Iterable[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Return the value of ``ModelInfo.learnt``.

    Args:
        train: Path and SHA-256, in hexadecimal digits, of the training files.
        val: The same for the files used for decisions: threshold, uncertain zone, gate.
    """
    found: dict[str, Any] = {"bytes": BYTES}
    for part, files in zip(PARTS, (train, val), strict=True):
        listed = list(files)
        count, hashes = _packed(digest for _, digest in listed)
        _, names = _packed(name_digest(path) for path, _ in listed)
        found[part] = {"images": count, "hashes": hashes, "names": names}
    return found


def _packed(digests: Iterable[str]) -> tuple[int, str]:
    """Return the number of distinct digests, and the shortened digests as text."""
    short = sorted({bytes.fromhex(one)[:BYTES] for one in digests})
    return len(short), base64.b64encode(b"".join(short[:MOST])).decode("ascii")


def learnt_from(info: ModelInfo, sha256s: Iterable[str], *, part: str = "train") -> int:
    """Return how many of the given files a model was trained on; 0 if unknown.

    Args:
        info: The metadata of the model.
        sha256s: SHA-256 of the files, in hexadecimal digits.
        part: ``train`` for training files, ``val`` for files used for decisions.

    Raises:
        ValueError: The hashes of the model file are damaged.
    """
    return sum(learnt_each(info, sha256s, part=part))


def learnt_each(
    info: ModelInfo, sha256s: Iterable[str], *, part: str = "train"
) -> tuple[bool, ...]:
    """Return for each file whether a model was trained on it.

    Raises:
        ValueError: The hashes of the model file are damaged.
    """
    known = known_hashes(info.learnt, part)
    size = len(next(iter(known), b""))
    return tuple(bytes.fromhex(one)[:size] in known for one in sha256s)


def known_hashes(
    learnt: Mapping[str, Any], part: str = "train", *, of: str = "hashes"
) -> frozenset[bytes]:
    """Return the shortened hashes of a set; empty if there are none.

    Args:
        learnt: The field of a model file.
        part: ``train`` or ``val``.
        of: ``hashes`` of the files, or of their ``names``.

    Raises:
        ValueError: The hashes are damaged.
    """
    own = learnt.get(part)
    if not own or (of == "names" and of not in own):
        return frozenset()
    try:
        size, packed = int(learnt["bytes"]), base64.b64decode(own[of], validate=True)
    except (KeyError, TypeError, ValueError) as fault:
        raise ValueError("its hashes of training images are damaged") from fault
    if size < 4 or len(packed) % size:
        raise ValueError("its hashes of training images are damaged")
    return frozenset(packed[at : at + size] for at in range(0, len(packed), size))

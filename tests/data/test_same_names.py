"""Images with new contents and the names of training images."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pneumoscope.data.cohort import Origin
from pneumoscope.data.patients import Patient
from pneumoscope.runs import name_digest

NAMES = [f"IM-{number:04}-0001.jpeg" for number in range(10)]
ORIGIN = Origin(
    {hashlib.sha256(b"one").hexdigest()[:12]: "train"},
    digits=12,
    whole=False,
    names=frozenset(name_digest(name)[:12] for name in NAMES),
)


def relation(paths: list[str], contents: list[bytes]) -> tuple[int, int]:
    found = ORIGIN.relation(
        [hashlib.sha256(content).hexdigest() for content in contents],
        [Patient.of("", path) for path in paths],
        root=Path(),
        paths=paths,
    )
    return found.seen, found.same_names


def test_most_names_are_known_and_no_content() -> None:
    others = [f"{number}".encode() for number in range(10)]
    assert relation([f"test/{name}" for name in NAMES], others) == (0, 10)
    assert relation([*NAMES[:6], *"abcd"], others) == (0, 6)


def test_few_names_or_known_contents_say_nothing_of_names() -> None:
    others = [f"{number}".encode() for number in range(10)]
    assert relation([*NAMES[:5], *"abcde"], others) == (0, 0)
    assert relation(NAMES[:3], [b"one", b"one", b"other"]) == (2, 0)

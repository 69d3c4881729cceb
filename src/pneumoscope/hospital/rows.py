"""The rows of the queue database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    study TEXT NOT NULL,
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    sender TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'received',
    attempts INTEGER NOT NULL DEFAULT 0,
    received REAL NOT NULL,
    read REAL,
    record TEXT
);
CREATE INDEX IF NOT EXISTS images_by_state ON images (state, id);
CREATE INDEX IF NOT EXISTS images_by_study ON images (study);
CREATE INDEX IF NOT EXISTS images_by_path ON images (path);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY,
    image INTEGER NOT NULL REFERENCES images (id),
    kind TEXT NOT NULL,
    uid TEXT NOT NULL,
    class TEXT NOT NULL,
    path TEXT NOT NULL,
    destination TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    sent REAL,
    commits INTEGER NOT NULL,
    UNIQUE (uid, destination)
);
CREATE INDEX IF NOT EXISTS deliveries_by_image ON deliveries (image);
CREATE INDEX IF NOT EXISTS deliveries_by_state ON deliveries (destination, state, due);
"""


@dataclass(frozen=True, slots=True)
class Image:
    """A received image.

    Attributes:
        id: ID of the row.
        uid: SOP Instance UID.
        path: File of the image.
        attempts: Number of attempts to read it.
    """

    id: int
    uid: str
    path: Path
    attempts: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """An object for a destination.

    Attributes:
        id: ID of the row.
        kind: ``report``, ``picture`` or ``presentation``.
        uid: SOP Instance UID.
        sop_class: SOP Class UID.
        path: File of the image.
        destination: The name of the destination.
        state: ``waiting``, ``sending``, ``sent``, ``committed`` or ``dead``.
        attempts: Number of attempts to send it.
        error: Why it was not accepted at the last attempt.
    """

    id: int
    kind: str
    uid: str
    sop_class: str
    path: Path
    destination: str
    state: str
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Output:
    """A created object on disk."""

    kind: str
    uid: str
    sop_class: str
    path: Path

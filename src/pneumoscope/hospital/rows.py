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
    """An image that was received.

    Attributes:
        id: Of the row.
        uid: Its SOP Instance UID.
        path: Its file.
        attempts: How often it was begun to be read.
    """

    id: int
    uid: str
    path: Path
    attempts: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """An object for a destination.

    Attributes:
        id: Of the row.
        kind: ``report``, ``picture`` or ``presentation``.
        uid: Its SOP Instance UID.
        sop_class: Its SOP Class UID.
        path: Its file.
        destination: The name of the destination.
        state: ``waiting``, ``sending``, ``sent``, ``committed`` or ``dead``.
        attempts: How often it was sent.
        error: Why it was not accepted the last time.
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
    """An object that was made and is on disk."""

    kind: str
    uid: str
    sop_class: str
    path: Path

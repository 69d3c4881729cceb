"""Objects that take long to make, made by one of the processes of a test run for all."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from filelock import FileLock

Made = TypeVar("Made")


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the temporary folder of all processes of this run."""
    root = factory.getbasetemp()
    return root.parent if "PYTEST_XDIST_WORKER" in os.environ else root


def made_once(name: str, factory: pytest.TempPathFactory, make: Callable[[Path], Made]) -> Made:
    """Return an object that one process creates in a folder; the others wait and read it."""
    root = shared_folder(factory)
    kept = root / f"{name}.pickle"
    with FileLock(root / f"{name}.lock"):
        if not kept.exists():
            kept.write_bytes(pickle.dumps(make(root / name)))
    made: Made = pickle.loads(kept.read_bytes())  # noqa: S301 - written a moment ago
    return made

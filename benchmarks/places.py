"""Separate environments for contenders, below ``.bench``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import call, say

HOME = Path(__file__).resolve().parents[1] / ".bench"
"""Folder of the environments."""


def python_with(name: str, packages: Sequence[str]) -> Path:
    """Return a Python with some packages, in an environment that is built if necessary.

    Raises:
        RuntimeError: The environment cannot be built.
    """
    place = HOME / name
    python = place / "bin" / "python"
    ready = place / ".ready"  # lists the packages that it was built with
    wanted = "\n".join(packages)
    if ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return python
    say(f"building an environment with {', '.join(packages)} (once)")
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise RuntimeError("uv is not there; install it.")
    shutil.rmtree(place, ignore_errors=True)
    call([uv, "venv", "--quiet", "--python", sys.executable, place])
    call([uv, "pip", "install", "--quiet", "--python", python, *packages])
    ready.write_text(wanted, encoding="utf-8")
    return python

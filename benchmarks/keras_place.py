"""The environment that Keras runs in."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from harness import call, say

PACKAGES = ("tensorflow-cpu", "scipy", "pillow")
PLACE = Path(__file__).resolve().parents[1] / ".bench" / "keras"


def keras_python() -> Path:
    """Return a Python with tensorflow, in an environment that is built if it is not there.

    Raises:
        RuntimeError: It cannot be built.
    """
    python = PLACE / "bin" / "python"
    ready = PLACE / ".ready"
    if ready.exists():
        return python
    say(f"building an environment with {', '.join(PACKAGES)} (once, minutes)")
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise RuntimeError("uv is not there; install it, or name a Python with --keras PYTHON.")
    shutil.rmtree(PLACE, ignore_errors=True)
    call([uv, "venv", "--quiet", "--python", sys.executable, PLACE])
    call([uv, "pip", "install", "--quiet", "--python", python, *PACKAGES])
    ready.touch()
    return python

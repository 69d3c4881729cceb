"""The environment for Keras."""

from __future__ import annotations

from pathlib import Path

from places import HOME, python_with

PLACE = HOME / "keras"


def keras_python() -> Path:
    """Return a Python with tensorflow, in an environment that is built if necessary.

    Raises:
        RuntimeError: The environment cannot be built.
    """
    return python_with("keras", ("tensorflow-cpu", "scipy", "pillow"))

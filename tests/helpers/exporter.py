"""torch's ONNX exporter, without work that it repeats for each export."""

from __future__ import annotations

import functools
from typing import Any


def read_operators_once() -> None:
    """Make the exporter keep its table of operators, whose parsing takes a second.

    The table is a constant of the installed torch and onnxscript.
    """
    from torch.onnx._internal.exporter import _registration  # noqa: PLC0415 - loads torch

    registry: Any = getattr(_registration, "ONNXRegistry", None)
    if hasattr(registry, "from_torchlib"):
        registry.from_torchlib = staticmethod(functools.cache(registry.from_torchlib))

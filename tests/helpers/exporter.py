"""torch's ONNX exporter, without what it does anew for each export."""

from __future__ import annotations

import functools
from typing import Any


def read_operators_once() -> None:
    """Let the exporter keep its table of operators: it parses 500 of them in the second it takes.

    The table is a constant of the installed torch and onnxscript; we add no operator of our own.
    """
    from torch.onnx._internal.exporter import _registration  # noqa: PLC0415 - loads torch

    registry: Any = getattr(_registration, "ONNXRegistry", None)
    if hasattr(registry, "from_torchlib"):
        registry.from_torchlib = staticmethod(functools.cache(registry.from_torchlib))

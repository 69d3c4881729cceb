"""torch's ONNX exporter, without what it does anew for each export."""

from __future__ import annotations

import functools
from typing import Any


def read_operators_once() -> None:
    """Let the exporter keep its list of operators: it parses 500 of them in the second it takes.

    The list is a constant of the installed onnxscript.
    """
    from torch.onnx._internal.exporter import _registration  # noqa: PLC0415 - loads torch

    source: Any = getattr(_registration, "onnxscript_apis", None)
    if hasattr(source, "get_torchlib_ops"):
        source.get_torchlib_ops = functools.cache(source.get_torchlib_ops)

"""Reinterpret floating-point tensors as integers of the same width.

Values that are not negative are in the same order as their bits, and CPUs compare integers faster
than bfloat16, which must be converted first.
"""

from __future__ import annotations

import torch
from torch import Tensor

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def as_bits(values: Tensor) -> Tensor:
    """Return the same memory as signed integers: negative if the value's sign bit is set."""
    return values.view(_INTEGERS[values.element_size()])

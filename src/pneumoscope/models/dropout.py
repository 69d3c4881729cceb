"""Fast dropout on CPUs.

On the CPU, ``torch.nn.Dropout`` draws each value of each mask separately, which takes a third of a
step of a small network. Here a pool of mask values is drawn from time to time, and each mask is a
section of the pool from a random start. Other devices use ``torch.nn.functional.dropout``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pneumoscope.models.bits import as_bits

_POOL_VALUES = 2**25
_SMALL_POOL_VALUES = 2**20
_MASKS_IN_POOL = 64
_ALIGNMENT = 64
_OWN_STREAM = 0x5EED  # so that the pool differs from the numbers of torch's own generator


class KeepMasks:
    """A source of masks: all bits set with probability 1 - ``rate``, otherwise none.

    A new pool is drawn whenever the seed of torch's generator changes, which happens in every epoch
    of training; the starts are drawn from that generator. Within a mask, the values are
    independent. Two masks of one pool share values, but at different offsets. A pool has 2^25
    values, so about 500,000 offsets, or 64 times as many values as a small mask.

    Args:
        rate: Share of values that are dropped, at least 0 and below 1.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._pool = torch.empty(0)
        self._seed: int | None = None

    @property
    def scale(self) -> float:
        """The factor of kept values that preserves their expectation."""
        return 1 / (1 - self.rate)

    def like(self, values: Tensor) -> Tensor:
        """Return a mask for ``as_bits(values)`` with the same shape, memory layout and dtype."""
        size = values.numel()
        enough = max(_SMALL_POOL_VALUES, _MASKS_IN_POOL * size)
        span = max(min(_POOL_VALUES, enough), 2 * size)
        seed = torch.initial_seed()
        dtype = as_bits(values).dtype
        pool = self._pool
        if self._seed != seed or pool.numel() < span or pool.dtype != dtype:
            pool = self._pool = self._draw(span, dtype, seed)
            self._seed = seed
        starts = (pool.numel() - values.numel()) // _ALIGNMENT
        start = int(torch.randint(starts, ())) * _ALIGNMENT
        layout = torch.empty_like(values, device="meta")  # dense, regardless of the values' strides
        return pool[start : start + values.numel()].as_strided(layout.shape, layout.stride())

    def _draw(self, count: int, dtype: torch.dtype, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed ^ _OWN_STREAM)
        words = torch.empty(count // 4, dtype=torch.int64)
        words.random_(-(2**63), None, generator=generator)  # all 64 bits, including the sign
        # Two bytes per value, so that the rate is exact to 1/65,536.
        keep = words.view(torch.int16) >= round(self.rate * 2**16) - 2**15
        return keep.to(dtype).neg_()


class ReluDropout(nn.Module):
    """ReLU, then inverted dropout (Srivastava et al., JMLR 15, 2014), in place.

    In evaluation mode, only ReLU is applied. In training on the CPU, the input is modified in
    place, so it must not be used elsewhere.
    """

    def __init__(self, masks: KeepMasks) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, values: Tensor) -> Tensor:
        """Apply ReLU and dropout in place."""
        if not self.training or self.masks.rate == 0:
            return F.relu(values)
        if values.device.type != "cpu":
            return F.dropout(F.relu(values), self.masks.rate)
        dropped: Tensor = _MaskedRelu.apply(values, self.masks.like(values), self.masks.scale)
        return dropped

    def extra_repr(self) -> str:
        """Return the rate, for ``print``."""
        return f"rate={self.masks.rate}"


class _MaskedRelu(torch.autograd.Function):
    """ReLU, mask and scale in place; gradients flow where outputs are positive."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, keep: Tensor, scale: float) -> Tensor:
        ctx.mark_dirty(values)
        values.clamp_min_(0).mul_(scale)
        as_bits(values).bitwise_and_(keep)
        ctx.save_for_backward(values)
        ctx.scale = scale
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (left,) = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(gradients[0], left, 0)
        return passed.mul_(ctx.scale), None, None

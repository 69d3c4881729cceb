"""Dropout that costs little on a processor.

``torch.nn.Dropout`` draws each value of each mask by itself on the CPU, which takes a third of a
step of a small network. Here a pool of keep-or-drop values is drawn once in a while, and each mask
is a stretch of the pool from a random start. Other devices use ``torch.nn.functional.dropout``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_POOL_VALUES = 2**25
_MASKS_PER_POOL = 256
_ALIGNMENT = 64


class KeepMasks:
    """A source of masks: values that are 0 with probability ``rate``, else 1 / (1 - rate).

    Within a mask the values are independent. Two masks of one pool may overlap at another offset,
    which is drawn among some 500,000; the pool itself is drawn anew every 256 masks, and whenever
    torch's generator was seeded since, so that a seed gives the same masks again.

    Args:
        rate: Share of values that are dropped, at least 0 and below 1.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._pool: Tensor | None = None
        self._left = 0
        self._seed = 0

    def like(self, values: Tensor) -> Tensor:
        """Return a mask of the shape, memory layout and dtype of ``values``."""
        pool = self._pool
        stale = self._left == 0 or self._seed != torch.initial_seed()
        span = max(_POOL_VALUES, 2 * values.numel())
        if pool is None or stale or pool.numel() < span or pool.dtype != values.dtype:
            pool = self._draw(span, values.dtype)
        self._left -= 1
        starts = (pool.numel() - values.numel()) // _ALIGNMENT
        start = int(torch.randint(starts, ())) * _ALIGNMENT
        layout = torch.empty_like(values, device="meta")  # dense, whatever the values' strides are
        return pool[start : start + values.numel()].as_strided(layout.shape, layout.stride())

    def _draw(self, count: int, dtype: torch.dtype) -> Tensor:
        # Two bytes a value: the share that is dropped is then exact to 1/65,536.
        words = torch.empty(count // 4, dtype=torch.int64).random_()
        keep = words.view(torch.int16) >= round(self.rate * 2**16) - 2**15
        self._pool = keep.to(dtype).mul_(1 / (1 - self.rate))
        self._left = _MASKS_PER_POOL
        self._seed = torch.initial_seed()
        return self._pool


class Dropout(nn.Module):
    """Inverted dropout (Srivastava et al., JMLR 15, 2014); the identity in evaluation."""

    def __init__(self, masks: KeepMasks) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, values: Tensor) -> Tensor:
        """Return the values with a share of them zeroed and the rest scaled up."""
        if not self.training or self.masks.rate == 0:
            return values
        if values.device.type != "cpu":
            return F.dropout(values, self.masks.rate)
        return values * self.masks.like(values)

    def extra_repr(self) -> str:
        """Return the rate, for ``print``."""
        return f"rate={self.masks.rate}"

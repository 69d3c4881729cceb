"""Convolution, 2x2 max pooling, ReLU and dropout in one training step on CPUs.

The maps of a convolution are four times as large as the pooled ones, and pooling them with torch's
functions takes longer than a small convolution: it writes an 8-byte index for each result, and
scatters the gradients one by one. Here a few images at a time are convolved and pooled while their
maps are still in the CPU cache, first pairs of rows and then pairs of columns, by vectorised
integer operations. The difference of each pair is stored: its sign determines which of the two
receives the gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pneumoscope.models.bits import as_bits
from pneumoscope.models.dropout import KeepMasks

# Maximum size of the maps of a part, so that they are still in the cache for the next operation.
_PART_BYTES = 7 * 2**20
_PADDING = 1
_THRESHOLD_BACKWARD = torch.ops.aten.threshold_backward


def convolve_pool_drop(maps: Tensor, convolution: nn.Conv2d, masks: KeepMasks) -> Tensor:
    """Apply ``convolution``, 2x2 max pooling, ReLU and inverted dropout.

    The factor of dropout is multiplied into the weights, since pooling and ReLU commute with it. Of
    equal values in a cell, only one receives the gradient. NaN may become 0, depending on its sign.

    Args:
        maps: [b, in, h, w] on the CPU, h and w even.
        convolution: 3x3, with padding 1 and a bias.
        masks: Dropout masks.

    Returns:
        [b, out, h/2, w/2] in channels-last memory, with the dtype of autocast, if enabled, or else
            of ``maps``.
    """
    if torch.is_autocast_enabled("cpu"):
        maps = maps.to(torch.get_autocast_dtype("cpu"))
    assert convolution.bias is not None  # noqa: S101 - the blocks' convolutions have one
    weight, bias = convolution.weight * masks.scale, convolution.bias * masks.scale
    pooled: Tensor = _ConvolveAndPool.apply(maps, weight, bias, masks)
    return pooled


class _ConvolveAndPool(torch.autograd.Function):
    """``relu(max_pool2d(conv2d(maps)))`` with a dropout mask."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, masks: KeepMasks) -> Tensor:
        weight = weight.to(maps.dtype, memory_format=torch.channels_last)
        bias = bias.to(maps.dtype)
        batch, height, width = len(maps), maps.shape[2] // 2, maps.shape[3] // 2
        channels = len(weight)
        pooled = torch.empty(
            (batch, channels, height, width), dtype=maps.dtype, memory_format=torch.channels_last
        )
        results = _places(pooled)
        keep = masks.like(pooled).permute(0, 2, 3, 1) if masks.rate else None
        # Difference of a pair: upper minus lower row, left minus right column.
        upper = results.new_empty((batch, height, 2 * width * channels))
        left = results.new_empty((batch, height * width, channels))
        parts = _parts(pooled)
        part_rows = torch.empty_like(upper[parts[0]])
        for part in parts:
            convolved = F.conv2d(maps[part], weight, bias, padding=_PADDING)
            # ReLU comes first: the bits of values that are not negative are in the order of the
            # values, and their differences do not overflow.
            positive = _places(convolved).clamp_min_(0)
            rows = part_rows[: len(convolved)]
            _pool(positive.view(-1, height, 2, 2 * width * channels), rows, upper[part])
            columns = rows.view(-1, height * width, 2, channels)
            _pool(columns, results[part].view(-1, height * width, channels), left[part])
            if keep is not None:
                results[part].bitwise_and_(keep[part])
        ctx.save_for_backward(maps, weight, pooled, upper, left)
        return pooled

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        maps, weight, pooled, upper, left = ctx.saved_tensors
        batch, channels, height, width = pooled.shape
        outer, results = _places(gradients[0]), _places(pooled)
        inner = results.new_empty((batch, 2 * height, 2 * width, channels))
        parts = _parts(pooled)
        part_passed, part_rows = (torch.empty_like(each[parts[0]]) for each in (results, upper))
        for part in parts:
            passed = part_passed[: len(results[part])]
            _THRESHOLD_BACKWARD(outer[part], results[part], 0, grad_input=passed)
            rows = part_rows[: len(passed)]
            columns = rows.view(-1, height * width, 2, channels)
            _unpool(passed.view(-1, height * width, channels), left[part], columns)
            places = inner[part].view(-1, height, 2, 2 * width * channels)
            _unpool(rows, upper[part], places)
        of_maps, of_weight, of_bias = torch.ops.aten.convolution_backward(
            inner.view(maps.dtype).permute(0, 3, 1, 2),
            maps,
            weight,
            [channels],
            stride=[1, 1],
            padding=[_PADDING, _PADDING],
            dilation=[1, 1],
            transposed=False,
            output_padding=[0, 0],
            groups=1,
            output_mask=list(ctx.needs_input_grad[:3]),
        )
        return of_maps, of_weight, of_bias, None


def _places(maps: Tensor) -> Tensor:
    """Return the bits of maps [b, c, h, w] as [b, h, w, c], contiguous."""
    return as_bits(maps.permute(0, 2, 3, 1).contiguous())


def _parts(pooled: Tensor) -> list[slice]:
    """Yield slices of a few images, small enough for their maps to fit into the cache."""
    batch = len(pooled)
    a_part = max(1, _PART_BYTES * batch // (4 * pooled.nbytes))
    return [slice(start, start + a_part) for start in range(0, batch, a_part)]


def _pool(pairs: Tensor, larger: Tensor, lead: Tensor) -> None:
    """Write the larger of each pair [b, n, 2, m], and the difference of the first."""
    first, second = pairs.unbind(2)
    torch.maximum(first, second, out=larger)
    torch.sub(first, second, out=lead)


def _unpool(gradient: Tensor, lead: Tensor, pairs: Tensor) -> None:
    """Write each gradient to the larger element of its pair, the first if equal."""
    first, second = pairs.unbind(2)
    _THRESHOLD_BACKWARD(gradient, lead, -1, grad_input=first)
    torch.sub(gradient, first, out=second)

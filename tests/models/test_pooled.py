"""Combined convolution, pooling, ReLU and dropout give the results of torch's functions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pneumoscope.models import pooled
from pneumoscope.models.bits import as_bits
from pneumoscope.models.dropout import KeepMasks
from pneumoscope.models.pooled import convolve_pool_drop
from pneumoscope.models.seed_cnn import Block


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a batch of nine small images be several parts, the last one smaller."""
    monkeypatch.setattr(pooled, "_PART_BYTES", 2**14)
    torch.manual_seed(0)


def both_ways(
    convolution: nn.Conv2d, maps: Tensor, rate: float
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """Return (maps, gradients of input, weight, bias) at once, and by torch one after the other."""
    masks = KeepMasks(rate)
    gradient = torch.Tensor()
    found = []
    for at_once in (True, False):
        leaf = maps.clone().requires_grad_()
        convolution.zero_grad()
        torch.manual_seed(5)
        if at_once:
            result = convolve_pool_drop(leaf, convolution, masks)
            gradient = torch.randn_like(result)
        else:
            result = F.relu(F.max_pool2d(convolution(leaf), 2))
            if rate:
                keep = masks.like(result.to(memory_format=torch.channels_last))
                result = torch.where(keep != 0, result / (1 - rate), 0)
        result.backward(gradient)  # type: ignore[no-untyped-call]
        assert convolution.bias is not None
        gradients = [leaf.grad, convolution.weight.grad, convolution.bias.grad]
        found.append([result.detach(), *gradients])
    return found[0], found[1]


@pytest.mark.parametrize("rate", [0.0, 0.4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(9, 5, 12, 10), (1, 1, 2, 2), (3, 1, 64, 64)])
def test_values_and_gradients(
    rate: float, dtype: torch.dtype, shape: tuple[int, int, int, int]
) -> None:
    convolution = nn.Conv2d(shape[1], 7, 3, padding=1).to(dtype)
    error = 1e-10 if dtype == torch.float64 else 1e-3
    for maps in (torch.randn(shape, dtype=dtype), torch.rand(shape, dtype=dtype)):
        for one, other in zip(*both_ways(convolution, maps, rate), strict=True):
            torch.testing.assert_close(one, other, rtol=error, atol=error)


def test_bfloat16_without_dropout_is_exact() -> None:
    # Values of eight bits are often equal; small whole numbers keep every sum exact.
    convolution = nn.Conv2d(2, 3, 3, padding=1).to(torch.bfloat16)
    with torch.no_grad():
        convolution.weight.copy_(torch.randint(-1, 2, convolution.weight.shape))
    maps = torch.randint(-2, 3, (9, 2, 8, 8)).to(torch.bfloat16)
    at_once, one_by_one = both_ways(convolution, maps, 0)
    assert torch.equal(at_once[0], one_by_one[0])  # type: ignore[arg-type]
    # Which of several equal values gets the gradient may differ; that one does, may not.
    torch.testing.assert_close(at_once[3], one_by_one[3])


def test_of_equal_values_one_gets_the_gradient() -> None:
    convolution = nn.Conv2d(1, 4, 3, padding=1)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.bias.fill_(0.5)  # type: ignore[union-attr]
    result = convolve_pool_drop(torch.rand(2, 1, 6, 6), convolution, KeepMasks(0))
    result.sum().backward()  # type: ignore[no-untyped-call]
    assert convolution.bias is not None
    assert convolution.bias.grad is not None
    assert convolution.bias.grad.tolist() == [2 * 3 * 3] * 4


def test_large_values_of_both_signs() -> None:
    # Differences of their bits would be too large for an integer of the same width.
    convolution = nn.Conv2d(1, 1, 3, padding=1).to(torch.bfloat16)
    with torch.no_grad():
        convolution.weight.zero_()[0, 0, 1, 1] = 1
        convolution.bias.zero_()  # type: ignore[union-attr]
    maps = torch.tensor([[1e30, -1e38], [-1e-30, -1e30]], dtype=torch.bfloat16)
    for turned in (maps, maps.flip(0), maps.flip(1), maps.T, maps.flip(0, 1), -maps):
        leaf = turned.clone()[None, None].requires_grad_()
        result = convolve_pool_drop(leaf, convolution, KeepMasks(0))
        assert result.detach().item() == turned.max().item()
        result.sum().backward()  # type: ignore[no-untyped-call]
        assert torch.equal(leaf.grad[0, 0], (turned == turned.max()).to(turned.dtype))  # type: ignore[index]


def test_autocast_computes_in_bfloat16_and_keeps_gradients_in_float32() -> None:
    convolution = nn.Conv2d(1, 8, 3, padding=1)
    maps = torch.rand(5, 1, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        result = convolve_pool_drop(maps, convolution, KeepMasks(0))
        expected = F.relu(F.max_pool2d(convolution(maps), 2))
    assert result.dtype == torch.bfloat16
    assert torch.equal(result, expected)
    result.sum().backward()  # type: ignore[no-untyped-call]
    assert convolution.weight.grad is not None
    assert convolution.weight.grad.dtype == torch.float32


def test_what_is_frozen_gets_no_gradient() -> None:
    convolution = nn.Conv2d(2, 3, 3, padding=1).requires_grad_(False)
    maps = torch.randn(2, 2, 4, 4, requires_grad=True)
    convolve_pool_drop(maps, convolution, KeepMasks(0.4)).sum().backward()  # type: ignore[no-untyped-call]
    assert maps.grad is not None
    assert maps.grad.abs().sum() > 0
    assert convolution.weight.grad is None


@pytest.mark.parametrize("side", [12, 13])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_block_in_training_is_the_block_in_evaluation_but_for_dropout(
    side: int, batch_norm: bool
) -> None:
    block = Block(2, 6, masks=KeepMasks(0), batch_norm=batch_norm)
    if batch_norm:
        block.norm.momentum = None  # so that its statistics are those of the first batch
    maps = torch.randn(4, 2, side, side)
    learning = block.train()(maps)
    reading = block.eval()(maps)
    tolerance = 0.1 if batch_norm else 1e-6  # the variance is divided by n in one, n - 1 in one
    torch.testing.assert_close(learning, reading, rtol=tolerance, atol=1e-6)


def test_bits_are_in_the_order_of_positive_values() -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        values = torch.rand(1000).to(dtype).sort().values
        assert (as_bits(values).diff() >= 0).all()
        assert (as_bits(-values[values > 0]) < 0).all()

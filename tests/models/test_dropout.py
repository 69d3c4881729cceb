"""The masks have the properties of dropout."""

from __future__ import annotations

import pytest
import torch

from pneumoscope.models import dropout
from pneumoscope.models.dropout import KeepMasks, ReluDropout


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.75])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_share_and_scale(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    values = torch.ones(32, 16, 50, 50, dtype=dtype)
    dropped = ReluDropout(KeepMasks(rate)).train()(values)
    kept = torch.tensor(1 / (1 - rate)).to(dtype)
    assert set(dropped.unique().tolist()) == {0.0, float(kept)}
    share = (dropped == 0).float().mean().item()
    sigma = (rate * (1 - rate) / values.numel()) ** 0.5
    assert abs(share - rate) < 5 * sigma


def test_each_seed_draws_a_pool_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropout, "_POOL_VALUES", 128)  # a mask of 64 can start at its start alone
    masks = KeepMasks(0.4)
    found = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        found.append(masks.like(torch.ones(64)))
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])


def test_a_small_mask_has_a_small_pool_that_serves_larger_ones_too() -> None:
    torch.manual_seed(0)
    masks = KeepMasks(0.4)
    for size, values in ((400, 2**20), (2**15, 2**21), (400, 2**21), (2**22, 2**25)):
        assert masks.like(torch.ones(size)).shape == (size,)
        assert masks._pool.numel() == values


def test_units_and_steps_are_uncorrelated() -> None:
    torch.manual_seed(0)
    layer = ReluDropout(KeepMasks(0.4)).train()
    masks = torch.stack([layer(torch.ones(400)) for _ in range(600)]) == 0
    centred = masks.float() - masks.float().mean(0)
    between_units = (centred.T @ centred / len(centred)).fill_diagonal_(0)
    assert between_units.abs().max() < 6 * 0.24 / 600**0.5
    between_steps = (centred[1:] * centred[:-1]).mean()
    assert between_steps.abs() < 6 * 0.24 / (600 * 400) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_relu_and_a_mask(dtype: torch.dtype) -> None:
    start = torch.randn(64, 50, dtype=dtype)
    gradient = torch.randn(64, 50, dtype=dtype)
    masks = KeepMasks(0.4)
    found = []
    for in_one_pass in (True, False):
        torch.manual_seed(3)
        leaf = start.clone().requires_grad_()
        values = leaf * 1
        if in_one_pass:
            result = ReluDropout(masks).train()(values)
        else:
            result = torch.where(masks.like(values) != 0, torch.relu(values) * masks.scale, 0)
        result.backward(gradient)
        found.append((result.detach(), leaf.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])  # type: ignore[arg-type]


def test_memory_layouts() -> None:
    torch.manual_seed(0)
    images = torch.ones(4, 8, 6, 6)
    for values in (images, images.to(memory_format=torch.channels_last), images[:, ::2, 1:4]):
        dropped = ReluDropout(KeepMasks(0.4)).train()(values.clone())
        assert dropped.shape == values.shape
        assert 0.2 < (dropped == 0).float().mean() < 0.6


def test_in_evaluation_and_at_rate_zero_it_is_relu() -> None:
    values = torch.randn(10)
    assert torch.equal(ReluDropout(KeepMasks(0.4)).eval()(values), torch.relu(values))
    assert torch.equal(ReluDropout(KeepMasks(0.0)).train()(values), torch.relu(values))


def test_a_seed_gives_the_same_masks_again() -> None:
    dropout = ReluDropout(KeepMasks(0.4)).train()
    found = []
    for _ in range(2):
        torch.manual_seed(11)
        found.append([dropout(torch.ones(100)) for _ in range(3)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert not torch.equal(found[0][0], found[0][1])


def test_another_seed_draws_another_pool() -> None:
    masks = KeepMasks(0.4)
    found = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        found.append(masks.like(torch.ones(10_000)).clone())
    assert torch.equal(found[0], found[2])
    agreement = (found[0] == found[1]).float().mean()
    assert abs(agreement - (0.4**2 + 0.6**2)) < 0.03

"""Augmentation does what its numbers say, to each image by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pneumoscope.models.registry import to_unit
from pneumoscope.training import augment as module
from pneumoscope.training.augment import augment
from pneumoscope.training.augmentation import Augmentation
from pneumoscope.training.recipe import recipe_of


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(0)
    return to_unit(torch.randint(0, 256, (8, 1, 33, 33), dtype=torch.uint8))


def fix_draws(monkeypatch: pytest.MonkeyPatch, *, row: int, value: float) -> None:
    """Let one of the six drawn amounts be ``value`` (of -1 to 1) and the others nothing."""

    def rand(rows: int, count: int) -> Tensor:
        drawn = torch.full((rows, count), 0.5)
        drawn[5] = 1.0  # not flipped
        drawn[row] = (value + 1) / 2
        return drawn

    monkeypatch.setattr("pneumoscope.training.augment.torch.rand", rand)


def test_no_augmentation_is_the_identity(images: Tensor) -> None:
    assert augment(images, Augmentation()) is images


def test_a_quarter_turn(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    fix_draws(monkeypatch, row=0, value=1.0)
    turned = augment(images, Augmentation(rotation_degrees=90))
    expected = torch.rot90(images, 1, (2, 3))
    either = [(turned - e).abs().max() for e in (expected, torch.rot90(images, -1, (2, 3)))]
    assert min(either) < 1e-4


def test_a_rotation_keeps_shapes_where_the_image_is_not_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(80.0), indexing="ij")
    disc = (((rows - 19.5) ** 2 + (columns - 39.5) ** 2).sqrt() < 12).float()[None, None]
    fix_draws(monkeypatch, row=0, value=1.0)
    turned = augment(disc, Augmentation(rotation_degrees=40))
    assert (turned - disc).abs().mean() < 0.01


def test_a_flip(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    fix_draws(monkeypatch, row=5, value=-1.0)
    flipped = augment(images, Augmentation(flip=True))
    torch.testing.assert_close(flipped, images.flip(3), atol=1e-4, rtol=0)


def test_a_shift_moves_whole_pixels_and_repeats_the_edge(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_draws(monkeypatch, row=3, value=1.0)
    moved = augment(images, Augmentation(shift=3 / 33))
    torch.testing.assert_close(moved[..., :-3], images[..., 3:], atol=1e-4, rtol=0)
    torch.testing.assert_close(
        moved[..., -3:], images[..., -1:].expand(-1, -1, -1, 3), atol=1e-4, rtol=0
    )


def test_a_zoom_scales_one_axis_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    bar = torch.zeros(1, 1, 40, 40)
    bar[..., 10:30, 10:30] = 1
    fix_draws(monkeypatch, row=1, value=-1.0)
    zoomed = augment(bar, Augmentation(zoom=0.5))[0, 0] > 0.5
    assert zoomed.any(0).sum() == 40
    assert zoomed.any(1).sum() == 20


def test_amounts_stay_within_their_ranges_and_differ_by_image() -> None:
    torch.manual_seed(0)
    marker = torch.zeros(500, 1, 101, 101)
    marker[..., 50, 50] = 1
    centres = augment(marker, Augmentation(shift=0.1)).flatten(1).argmax(1)
    columns, rows = centres % 101 - 50, centres // 101 - 50
    for moved in (columns, rows):
        assert moved.abs().max() <= 11
        assert moved.abs().max() >= 9
        assert len(set(moved.tolist())) > 15


def test_values_stay_in_range_and_the_seed_repeats_them(images: Tensor) -> None:
    augmentation = recipe_of("seed").learning.augmentation
    torch.manual_seed(5)
    first = augment(images, augmentation)
    torch.manual_seed(5)
    torch.testing.assert_close(augment(images, augmentation), first, rtol=0, atol=0)
    assert first.min() >= 0
    assert first.max() <= 1


def test_lower_precision_of_the_network_does_not_blur_the_images(images: Tensor) -> None:
    augmentation = recipe_of("seed").learning.augmentation
    torch.manual_seed(5)
    expected = augment(images, augmentation)
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16):
        found = augment(images, augmentation)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_grid_is_torchs_own(images: Tensor) -> None:
    torch.manual_seed(1)
    affine = torch.randn(3, 2, 3)
    expected = torch.nn.functional.affine_grid(affine, [3, 1, 20, 31], align_corners=False)
    torch.testing.assert_close(module._grid(affine, 20, 31), expected)

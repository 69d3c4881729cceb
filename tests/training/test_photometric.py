"""Intensities, crops and erasing: what changes, by how much, and what never does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pneumoscope.errors import OptionError
from pneumoscope.training.augment import augment, erase, photometric, swap_borders
from pneumoscope.training.augmentation import AUGMENTATIONS, Augmentation, augmentation_of
from pneumoscope.training.recipe import Recipe, change_recipe, recipe_of


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(1)
    return torch.rand(6, 1, 40, 56)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_every_preset_keeps_shape_and_range_and_repeats(images: Tensor, name: str) -> None:
    chosen = AUGMENTATIONS[name]
    torch.manual_seed(3)
    once = augment(images, chosen)
    torch.manual_seed(3)
    twice = augment(images, chosen)
    assert once.shape == images.shape
    assert once.dtype == torch.float32
    assert float(once.min()) >= 0
    assert float(once.max()) <= 1
    assert torch.equal(once, twice)
    assert torch.equal(once, images) == (name == "none")


def test_brightness_adds_the_same_to_all_pixels_of_an_image() -> None:
    grey = torch.full((50, 1, 8, 8), 0.5)
    changed = photometric(grey, Augmentation(brightness=0.2))
    added = changed - grey
    assert float((added - added[:, :, :1, :1]).abs().max()) < 1e-6
    assert 0.15 < float(added.abs().max()) <= 0.2
    assert len(set(added[:, 0, 0, 0].tolist())) > 40  # each image its own


def test_contrast_keeps_the_mean() -> None:
    torch.manual_seed(0)
    middle = 0.4 + 0.2 * torch.rand(20, 1, 16, 16)
    changed = photometric(middle, Augmentation(contrast=0.5))
    torch.testing.assert_close(changed.mean((1, 2, 3)), middle.mean((1, 2, 3)), atol=1e-5, rtol=0)
    factor = changed.std((1, 2, 3)) / middle.std((1, 2, 3))
    assert 0.5 <= float(factor.min()) < 0.7
    assert 1.3 < float(factor.max()) <= 1.5


def test_gamma_keeps_black_and_white_and_the_order() -> None:
    ramp = torch.linspace(0, 1, 64).view(1, 1, 8, 8).repeat(30, 1, 1, 1)
    changed = photometric(ramp, Augmentation(gamma=0.5)).flatten(1)
    torch.testing.assert_close(changed[:, 0], torch.zeros(30))
    torch.testing.assert_close(changed[:, -1], torch.ones(30))
    assert bool((changed.diff(dim=1) > 0).all())
    middle = changed[:, 32].log() / ramp.flatten(1)[:, 32].log()
    assert float(middle.min()) >= 1 / 1.5 - 1e-4
    assert float(middle.max()) <= 1.5 + 1e-4


def test_blur_keeps_a_flat_image_and_softens_an_edge() -> None:
    torch.manual_seed(0)
    flat = torch.full((4, 1, 20, 20), 0.3)
    blur = Augmentation(blur_px=2.0)
    torch.testing.assert_close(photometric(flat, blur), flat)
    edge = torch.zeros(8, 1, 20, 20)
    edge[..., 10:] = 1
    steepest = photometric(edge, blur).diff(dim=3).amax((1, 2, 3))
    assert float(steepest.min()) < 0.4
    assert float(steepest.max()) <= 1


def test_noise_has_its_strength_and_differs_from_image_to_image() -> None:
    torch.manual_seed(0)
    grey = torch.full((40, 1, 32, 32), 0.5)
    added = photometric(grey, Augmentation(noise=0.1)) - grey
    strength = added.std((1, 2, 3))
    assert 0.07 < float(strength.max()) < 0.11
    assert float(strength.min()) < 0.03
    assert float(added.mean().abs()) < 0.005
    assert not torch.equal(added[0], added[1])


def test_a_crop_fills_the_frame_with_a_part_of_the_image() -> None:
    torch.manual_seed(0)
    rows = torch.linspace(0, 1, 64).view(1, 1, 64, 1).expand(40, 1, 64, 64).contiguous()
    cropped = augment(rows, Augmentation(crop=0.25))
    span = cropped[:, 0, -1, 0] - cropped[:, 0, 0, 0]
    assert 0.45 < float(span.min()) < 0.65  # a quarter of the area is half of the height
    assert float(span.max()) > 0.9
    assert float(cropped[:, 0, 0, 0].max()) > 0.2  # not always from the top


def test_a_crop_keeps_the_area_that_it_promises() -> None:
    torch.manual_seed(0)
    ramp = torch.linspace(0, 1, 64)
    images = torch.stack((ramp.view(64, 1).expand(64, 64), ramp.expand(64, 64)))[:, None]
    tall, wide = (
        augment(images[axis : axis + 1].repeat(60, 1, 1, 1), Augmentation(crop=0.3))
        for axis in (0, 1)
    )
    heights = tall[:, 0, -1, 0] - tall[:, 0, 0, 0]
    widths = wide[:, 0, 0, -1] - wide[:, 0, 0, 0]
    assert float(heights.min()) ** 2 > 0.25
    assert float(widths.min()) ** 2 > 0.25


def test_a_shear_moves_rows_against_each_other() -> None:
    torch.manual_seed(0)
    line = torch.zeros(20, 1, 41, 41)
    line[..., 20] = 1
    sheared = augment(line, Augmentation(shear_degrees=20))
    top, bottom = sheared[:, 0, 2].argmax(1), sheared[:, 0, -3].argmax(1)
    assert float((top - bottom).abs().max()) > 5
    middle = sheared[:, 0, 20].argmax(1)
    assert bool(((middle - 20).abs() <= 1).all())


def test_erasing_paints_one_grey_over_some_images(images: Tensor) -> None:
    torch.manual_seed(0)
    many = images[:1].repeat(200, 1, 1, 1)
    painted = erase(many, Augmentation(erase=0.3))
    hit = (painted != many).flatten(1).any(1)
    assert 40 < int(hit.sum()) < 80
    for one, original in zip(painted[hit], many[hit], strict=True):
        changed = one != original
        assert len(set(one[changed].tolist())) == 1
        assert float(changed.float().mean()) <= 0.25
    assert not torch.equal(painted, many)
    assert torch.equal(many[0], images[0])  # the input itself is left alone


def test_borders_are_painted_and_the_middle_is_not() -> None:
    torch.manual_seed(0)
    many = torch.rand(100, 1, 60, 60)
    painted = erase(many, Augmentation(erase_border=1.0))
    changed = painted != many
    assert bool(changed.flatten(1).any(1).all())
    assert not bool(changed[:, :, 10:50, 10:50].any())


def test_borders_are_those_of_another_image_and_the_middle_is_not() -> None:
    torch.manual_seed(0)
    many = torch.arange(200.0).view(200, 1, 1, 1).expand(200, 1, 50, 60) / 200
    swapped = swap_borders(many, 0.5)
    changed = (swapped != many)[:, 0]
    hit = changed.flatten(1).any(1)
    assert 70 < int(hit.sum()) < 130
    assert not bool(changed[:, 12:-12, 14:-14].any())
    frame = torch.ones(50, 60, dtype=torch.bool)
    frame[2:-2, 3:-3] = False  # the shallowest band
    for one, other in zip(swapped[hit, 0], changed[hit], strict=True):
        assert bool(other[frame].all())
        assert len(set(one[other].tolist())) == 1  # all of one other image
    assert swap_borders(many, 0.0) is many


def test_the_radiograph_preset_does_not_mirror() -> None:
    assert not AUGMENTATIONS["radiograph"].flip
    assert AUGMENTATIONS["seed"].flip


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("radiogaph", "Did you mean 'radiograph'"),
        ({"contrst": 1}, "Did you mean 'contrast'"),
        ({"crop": 0.0}, "crop"),
        ({"erase": 2}, "erase"),
        ({"swap_border": 2}, "swap_border"),
        (7, "a preset's name"),
    ],
)
def test_wrong_augmentations_are_named(given: object, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        augmentation_of(given)  # type: ignore[arg-type]


def test_a_recipe_takes_a_presets_name() -> None:
    recipe = recipe_of("seed", augmentation="radiograph")
    assert recipe.learning.augmentation == AUGMENTATIONS["radiograph"]
    again = Recipe.from_dict({**recipe.to_dict(), "augmentation": "radiograph"})
    assert again == recipe
    assert change_recipe(recipe, augmentation="none") != recipe

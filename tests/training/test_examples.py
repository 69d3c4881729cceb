"""From the images of a batch to examples, among them some with hidden lung fields."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import split_catalog
from pneumoscope.errors import OptionError
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.registry import Classifier
from pneumoscope.models.seed_cnn import SeedCNN
from pneumoscope.runs import RunFolder
from pneumoscope.training.augment import lung_fields
from pneumoscope.training.augmentation import Augmentation
from pneumoscope.training.examples import Examples, examples
from pneumoscope.training.fit import fit
from pneumoscope.training.network import network_of
from pneumoscope.training.parts import LearningRecipe
from pneumoscope.training.recipe import recipe_of
from pneumoscope.training.task import ClassificationTask


@pytest.fixture(scope="module")
def data(phantoms: Path) -> PreparedData:
    catalog = read_catalog(phantoms)
    cache, catalog = build_cache(catalog, InputSpec(64, 64))
    return PreparedData(catalog, cache, split_catalog(catalog, fraction=0.3))


def test_the_images_of_the_batch_come_first_and_copies_are_moved_like_them() -> None:
    torch.manual_seed(0)
    pixels = torch.rand(8, 1, 48, 48)
    targets = torch.eye(3)[torch.arange(8) % 3]
    plain = LearningRecipe(augmentation=Augmentation())
    same, known, outside = examples(pixels, targets, plain, neutral=1 / 3)
    assert outside is None
    assert torch.equal(same, pixels)
    assert torch.equal(known, targets)
    hidden = LearningRecipe(augmentation=Augmentation(), hidden=0.25)
    images, known, _ = examples(pixels, targets, hidden, neutral=1 / 3)
    assert images.shape == (10, 1, 48, 48)
    assert torch.equal(images[:8], pixels)
    torch.testing.assert_close(known[8:], torch.full((2, 3), 1 / 3))
    moved = LearningRecipe(augmentation=Augmentation(flip=True, shift=0.3), hidden=0.25)
    images, known, _ = examples(pixels, targets, moved, neutral=1 / 3)
    assert torch.equal(known[:8], targets)
    assert not torch.equal(images[8:], examples(pixels, targets, hidden, neutral=1 / 3)[0][8:])


def test_mixing_takes_copies_with_hidden_lungs_as_well() -> None:
    torch.manual_seed(0)
    pixels = torch.rand(8, 1, 48, 48)
    targets = torch.eye(2)[torch.arange(8) % 2]
    learning = LearningRecipe(augmentation=Augmentation(), hidden=0.5, mixup=0.4)
    images, known, _ = examples(pixels, targets, learning, neutral=0.5)
    assert images.shape[0] == known.shape[0] == 12
    torch.testing.assert_close(known.sum(1), torch.ones(12))


def test_lung_fields_are_moved_like_the_images() -> None:
    torch.manual_seed(0)
    pixels = lung_fields(6, 96, 96, vary=False).float()
    turned = Augmentation(rotation_degrees=40, shift=0.2)
    learning = LearningRecipe(augmentation=turned, focus=0.1)
    images, _, outside = examples(pixels, torch.eye(2)[[0, 1] * 3], learning, neutral=0.5)
    assert outside is not None
    there = functional.interpolate(1 - outside, (96, 96), mode="bilinear")[..., 24:72, 24:72]
    assert float((there - images[..., 24:72, 24:72]).abs().mean()) < 0.05
    assert float((images - pixels).abs().mean()) > 0.1


def test_evidence_outside_the_lungs_costs_its_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of("seed", image_size=64, filters=(4, 8), focus=0.5)
    task = ClassificationTask(network_of(recipe), recipe)
    outside = 1 - lung_fields(3, 64, 64, vary=False).float()
    given = Examples(torch.rand(3, 1, 64, 64), torch.eye(2)[[0, 1, 0]], outside)
    for shape in ((3, 8, 8), (3, 4, 8, 8)):  # of one class, and of four
        evidence = torch.full(shape, -2.0)
        answer = torch.zeros(3, 2), evidence
        monkeypatch.setattr(Classifier, "uncorrected_with_evidence", lambda *_, a=answer: a)
        _, cost = task._answers(given)
        assert float(cost) == pytest.approx(0.5 * 2 * float(outside.mean()), rel=1e-5)
        inside = functional.adaptive_avg_pool2d(outside, (8, 8))[:, 0] == 0
        evidence[inside if len(shape) == 3 else inside[:, None].expand(shape)] = 9
        assert float(task._answers(given)[1]) == pytest.approx(float(cost))


def test_focus_changes_what_is_learnt_and_needs_evidence_maps(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = []
    for focus in (0.0, 1.0):
        recipe = recipe_of("seed", image_size=64, filters=(4, 8), max_epochs=1, focus=focus)
        fitted = fit(recipe, data, folder=RunFolder(tmp_path / str(focus)))
        losses.append(fitted.epochs[0].val_loss)
    assert losses[0] != losses[1]
    monkeypatch.setattr(SeedCNN, "evidence", lambda *_: None)
    with pytest.raises(OptionError, match="without evidence maps"):
        fit(recipe, data, folder=RunFolder(tmp_path / "none"))

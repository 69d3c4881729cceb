"""What Lightning is told of an epoch: its seed and its means."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from pneumoscope.models.registry import build_model, to_unit
from pneumoscope.training.recipe import recipe_of
from pneumoscope.training.task import ClassificationTask


@pytest.fixture
def task() -> ClassificationTask:
    recipe = recipe_of("seed", image_size=16, filters=(2,))
    torch.manual_seed(0)
    return ClassificationTask(
        build_model(recipe.model, recipe.input, **recipe.model_options), recipe
    )


def images(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randint(0, 256, (count, 1, 16, 16), dtype=torch.uint8), torch.arange(count) % 2


def test_each_epoch_has_its_seed_and_each_of_its_steps_goes_on(task: ClassificationTask) -> None:
    batch = images(2)
    drawn = []
    for step in (0, 1, 2, 0):
        task.on_train_batch_start(batch, step)
        drawn.append(torch.rand(1).item())
    assert drawn[3] == drawn[0]
    assert len(set(drawn)) == 3


def test_the_means_of_an_epoch_count_each_image_once(task: ClassificationTask) -> None:
    task.eval()
    pixels, labels = images(7)
    with torch.no_grad():
        for part in (slice(0, 5), slice(5, 7)):  # the last batch of an epoch is often smaller
            task.validation_step((pixels[part], labels[part]), 0)
        logits = task.classifier(to_unit(pixels))
    means = task.judged.taken()
    torch.testing.assert_close(means["loss"], F.cross_entropy(logits, labels))
    torch.testing.assert_close(means["accuracy"], (logits.argmax(1) == labels).float().mean())


def test_each_epoch_has_means_of_its_own(task: ClassificationTask) -> None:
    task.eval()
    first, second = images(4), images(3)
    with torch.no_grad():
        task.validation_step(first, 0)
        task.judged.taken()
        task.validation_step(second, 0)
        logits = task.classifier(to_unit(second[0]))
    loss = task.judged.taken()["loss"]
    torch.testing.assert_close(loss, F.cross_entropy(logits, second[1]))


def test_a_loss_that_is_no_number_is_seen(task: ClassificationTask) -> None:
    task.learnt.add(torch.tensor(torch.nan), torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))
    assert task.learnt.taken()["loss"].isnan()

"""What Lightning is told of an epoch: its seed and its means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F
from torchmetrics import MeanMetric

from pneumoscope.models.registry import build_model, to_unit
from pneumoscope.training.optimizer import build_optimizer, build_plateau, build_schedule
from pneumoscope.training.recipe import Recipe, recipe_of
from pneumoscope.training.task import ClassificationTask


@pytest.fixture
def task() -> ClassificationTask:
    recipe = recipe_of("seed", image_size=16, filters=(2,))
    torch.manual_seed(0)
    return ClassificationTask(
        build_model(recipe.learning.model, recipe.data.input, **recipe.learning.model_options),
        recipe,
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
    means = task.val_means.taken()
    torch.testing.assert_close(means["loss"], F.cross_entropy(logits, labels))
    torch.testing.assert_close(means["accuracy"], (logits.argmax(1) == labels).float().mean())


def test_each_epoch_has_means_of_its_own(task: ClassificationTask) -> None:
    task.eval()
    first, second = images(4), images(3)
    with torch.no_grad():
        task.validation_step(first, 0)
        task.val_means.taken()
        task.validation_step(second, 0)
        logits = task.classifier(to_unit(second[0]))
    loss = task.val_means.taken()["loss"]
    torch.testing.assert_close(loss, F.cross_entropy(logits, second[1]))


@pytest.mark.parametrize("scale", [1.0, 30.0, 400.0])
def test_the_area_is_that_of_the_logits_however_large(
    task: ClassificationTask, scale: float
) -> None:
    """A sigmoid in float32 gives 1 for all differences over 17, and confident images tie."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 400)
    margin = (generator.normal(size=400) + labels) * scale + 2 * scale
    logits = torch.tensor(np.stack((-margin / 2, margin / 2), 1), dtype=torch.float32)

    class Says(torch.nn.Module):
        def forward(self, _: torch.Tensor) -> torch.Tensor:
            return logits

    task.classifier = Says()  # type: ignore[assignment]
    task.validation_step(
        (torch.zeros(400, 1, 2, 2, dtype=torch.uint8), torch.from_numpy(labels)), 0
    )
    expected = roc_auc_score(labels, (logits[:, 1] - logits[:, 0]).double().numpy())
    assert float(task.auc.compute()) == pytest.approx(expected, abs=1e-6)


def test_the_means_never_give_weights(task: ClassificationTask) -> None:
    """Where NaN is let through, ``MeanMetric`` drops the weights that it is given."""
    ignored = MeanMetric(nan_strategy="disable")
    ignored.update(torch.tensor([0.0, 1.0]), torch.tensor([3.0, 1.0]))
    assert float(ignored.compute()) == 0.5  # and not 0.25: what makes this test necessary

    def only_values(self: MeanMetric, *given: object, **named: object) -> None:
        assert len(given) == 1
        assert not named

    with pytest.MonkeyPatch.context() as patch:
        for metric in (task.learnt.loss, task.learnt.accuracy):
            patch.setattr(metric, "update", only_values.__get__(metric))
        task.learnt.add(torch.tensor(0.5), torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))


def rates_of(recipe: Recipe, losses: list[float]) -> list[list[float]]:
    """Return the learning rates of all groups after each loss."""
    network = build_model(
        recipe.learning.model, recipe.data.input, **recipe.learning.model_options
    ).network
    optimizer = build_optimizer(recipe, network)
    plateau = build_plateau(recipe, optimizer)
    assert plateau is not None
    found = []
    for loss in losses:
        plateau.step(loss)
        found.append([group["lr"] for group in optimizer.param_groups])
    return found


def test_a_plateau_lowers_the_rate_after_its_patience() -> None:
    recipe = recipe_of(
        "seed", image_size=16, filters=(2,), schedule="plateau", learning_rate=0.1,
        plateau_patience=2, plateau_factor=0.1, plateau_minimum=2e-3,
    )  # fmt: skip
    losses = [1.0, 1.0, 0.99999, 1.0, 1.0, 0.99999, 1.0, 1.0, 1.0]
    rates = [max(rates) for rates in rates_of(recipe, losses)]
    assert rates == pytest.approx([0.1] * 4 + [0.01] * 2 + [2e-3] * 3)


def test_the_minimum_is_in_proportion_for_earlier_layers() -> None:
    recipe = recipe_of(
        "seed", image_size=16, filters=(2,), schedule="plateau", learning_rate=0.1,
        layer_decay=0.5, plateau_patience=1, plateau_factor=0.1, plateau_minimum=0.05,
    )  # fmt: skip
    first, *_, last = rates_of(recipe, [1.0] * 4)
    assert len(set(first)) > 1
    assert last == pytest.approx([rate / 2 for rate in first])


def test_warmup_comes_before_a_plateau_and_leaves_its_rates() -> None:
    recipe = recipe_of(
        "seed", image_size=16, filters=(2,), schedule="plateau", learning_rate=0.1,
        warmup_epochs=1, max_epochs=4, plateau_patience=1, plateau_factor=0.5,
    )  # fmt: skip
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    plateau = build_plateau(recipe, optimizer)
    rising = build_schedule(recipe, optimizer, steps=16)
    assert plateau is not None
    assert rising is not None
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        rising.step()
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])
    plateau.step(1.0)
    plateau.step(1.0)
    rising.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


def test_a_loss_that_is_no_number_is_seen(task: ClassificationTask) -> None:
    task.learnt.add(torch.tensor(torch.nan), torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))
    assert task.learnt.taken()["loss"].isnan()

"""Schedules, depths, freezing, averages, mixing, balance and the linear probe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import split_catalog
from pneumoscope.errors import OptionError
from pneumoscope.export import trace
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.choice import choose_backbone
from pneumoscope.models.registry import build_model
from pneumoscope.runs import RunFolder
from pneumoscope.training import probe
from pneumoscope.training.callbacks import weight_average
from pneumoscope.training.datamodule import EpochBatches
from pneumoscope.training.devices import computes_in_bfloat16
from pneumoscope.training.estimate import in_words, seconds_per_image
from pneumoscope.training.fit import fit
from pneumoscope.training.mixing import add_hidden, mix
from pneumoscope.training.optimizer import build_optimizer, build_schedule
from pneumoscope.training.probe import fit_probe
from pneumoscope.training.recipe import Recipe, recipe_of

SMALL = "timm:mobilenetv2_035"


@pytest.fixture(scope="module")
def data(phantoms: Path) -> PreparedData:
    catalog = read_catalog(phantoms)
    cache, catalog = build_cache(catalog, InputSpec(32, 32))
    return PreparedData(catalog, cache, split_catalog(catalog, fraction=0.3))


def tiny(**changes: Any) -> Recipe:
    changes = {"filters": (4, 8), **changes}
    return recipe_of("seed", **{"image_size": 32, "max_epochs": 2, "batch_size": 16, **changes})


def transfer(**changes: Any) -> Recipe:
    return recipe_of("transfer", **{"image_size": 32, "model": SMALL, "batch_size": 16, **changes})


def test_the_cosine_rises_then_falls_to_nothing() -> None:
    recipe = transfer(max_epochs=10, warmup_epochs=1.0, learning_rate=0.5, layer_decay=1.0)
    network = build_model("seed-cnn", InputSpec(32, 32)).network
    optimizer = build_optimizer(recipe, network)
    schedule = build_schedule(recipe, optimizer, steps=100)
    assert schedule is not None
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.05)
    assert rates[9] == pytest.approx(0.5)
    assert rates[55] == pytest.approx(0.25, abs=0.01)
    assert rates[-1] < 0.001
    assert np.argmax(rates) in (9, 10)


def test_a_constant_rate_needs_no_schedule() -> None:
    recipe = tiny()
    network = build_model("seed-cnn", InputSpec(32, 32)).network
    assert build_schedule(recipe, build_optimizer(recipe, network), steps=10) is None


def test_rates_fall_towards_the_input_and_norms_are_not_decayed() -> None:
    recipe = transfer(layer_decay=0.5, learning_rate=1.0, weight_decay=0.1)
    network = build_model(SMALL, InputSpec(32, 32)).network
    depths = network.parameter_groups()
    optimizer = build_optimizer(recipe, network)
    rate = {id(w): group["lr"] for group in optimizer.param_groups for w in group["params"]}
    decay = {
        id(w): group["weight_decay"] for group in optimizer.param_groups for w in group["params"]
    }
    assert len(rate) == len(list(network.parameters()))
    for steps, weights in enumerate(reversed(depths)):
        assert {rate[id(w)] for w in weights} == {0.5**steps}
    for each in network.parameters():
        assert decay[id(each)] == (0.1 if each.ndim > 1 else 0.0)


def test_the_head_learns_first(data: PreparedData, tmp_path: Path) -> None:
    before = build_model(SMALL, InputSpec(32, 32), weights="auto").network.state_dict()
    for epochs, same in ((1, True), (2, False)):
        recipe = transfer(
            weights="auto", head_epochs=1, max_epochs=epochs, ema=0.0, warmup_epochs=0.0
        )
        fitted = fit(recipe, data, folder=RunFolder(tmp_path / str(epochs)))
        after = fitted.classifier.network.state_dict()
        body = [name for name in before if "classifier" not in name]
        assert all(torch.equal(before[name], after[name]) for name in body) is same
        assert not torch.equal(before["net.classifier.weight"], after["net.classifier.weight"])


def test_the_average_lags_behind_and_is_what_is_kept(data: PreparedData, tmp_path: Path) -> None:
    plain = fit(tiny(dropout=0.0), data, folder=RunFolder(tmp_path / "plain"))
    averaged = fit(
        tiny(dropout=0.0, ema=0.9, keep="last"), data, folder=RunFolder(tmp_path / "ema")
    )
    # The average changes nothing in the steps themselves.
    assert [row.loss for row in averaged.epochs] == [row.loss for row in plain.epochs]
    assert [row.val_loss for row in averaged.epochs] != [row.val_loss for row in plain.epochs]
    assert averaged.best == averaged.epochs[-1]


def test_an_averaged_run_resumes_to_the_same_weights(data: PreparedData, tmp_path: Path) -> None:
    recipe = transfer(max_epochs=3, weights="none", head_epochs=1, warmup_epochs=0.5)
    whole = fit(recipe, data, folder=RunFolder(tmp_path / "whole"))
    folder = RunFolder(tmp_path / "parts")

    class StopError(Exception):
        pass

    def stop(row: Any) -> None:
        if row.epoch == 2:
            raise StopError

    with pytest.raises(StopError):
        fit(recipe, data, folder=folder, on_epoch=stop)
    resumed = fit(recipe, data, folder=folder, resume=True)
    for one, two in zip(
        whole.classifier.state_dict().values(),
        resumed.classifier.state_dict().values(),
        strict=True,
    ):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_the_average_forgets_what_it_began_with() -> None:
    average = weight_average(0.999)._kwargs["avg_fn"]
    value = torch.zeros(1)
    for count in range(100):
        value = average(value, torch.ones(1), torch.tensor(count))
    assert float(value) > 0.99  # with a fixed decay of .999 it would be 0.095


def test_mixing_keeps_the_sum_of_the_labels() -> None:
    torch.manual_seed(0)
    pixels, labels = torch.rand(10, 1, 16, 16), torch.tensor([0, 1] * 5)
    known = torch.eye(2)[labels]
    assert mix(pixels, known, mixup=0.0, cutmix=0.0) == (pixels, known)
    for mixup, cutmix in ((0.4, 0.0), (0.0, 1.0)):
        mixed, targets = mix(pixels, known, mixup=mixup, cutmix=cutmix)
        assert mixed.shape == pixels.shape
        torch.testing.assert_close(targets.sum(1), torch.ones(10))
        torch.testing.assert_close(targets.mean(0), torch.tensor([0.5, 0.5]))
        assert not torch.equal(mixed, pixels)


def test_cutmix_counts_the_pixels_that_it_pastes() -> None:
    torch.manual_seed(2)
    pixels = torch.cat((torch.zeros(4, 1, 20, 20), torch.ones(4, 1, 20, 20)))
    labels = torch.tensor([0] * 4 + [1] * 4)
    for _ in range(20):
        mixed, targets = mix(pixels, torch.eye(2)[labels], mixup=0.0, cutmix=1.0)
        torch.testing.assert_close(mixed.mean((1, 2, 3)), targets[:, 1], atol=1e-5, rtol=0)


def test_copies_with_hidden_lungs_have_no_class() -> None:
    torch.manual_seed(1)
    pixels = torch.rand(20, 1, 64, 64)
    targets = torch.eye(2)[torch.tensor([0, 1] * 10)]
    images, known = add_hidden(pixels, targets, share=0.6, target=0.5)
    assert torch.equal(images[:20], pixels)
    assert torch.equal(known[:20], targets)
    assert known[20:].tolist() == [[0.5, 0.5]] * 12
    hidden = images[20:] != pixels[:12]
    assert bool(hidden[:, 0, 28:36, 16:18].all())  # the middle of a lung field
    assert not bool(hidden[:, 0, :2, :2].any())  # a corner
    for image, lost in zip(images[20:], hidden, strict=True):
        assert 0.2 < float(lost.float().mean()) < 0.9
        assert len(set(image[lost].tolist())) == 1  # one grey
    findings = torch.tensor([[1.0, torch.nan, 0.0]] * 4)
    _, known = add_hidden(pixels[:4], findings, share=0.1, target=0.5)
    torch.testing.assert_close(known[4:], torch.tensor([[0.5, torch.nan, 0.5]]), equal_nan=True)
    assert add_hidden(pixels, targets, share=0, target=0.5) == (pixels, targets)


def test_balanced_sampling_draws_both_classes_equally() -> None:
    labels = np.array([0] * 20 + [1] * 180)
    weights = np.where(labels == 0, 9.0, 1.0)
    batches = EpochBatches(200, batch_size=10, seed=0, weights=weights)
    drawn = labels[[row for batch in batches for row in batch]]
    assert len(drawn) == 200
    assert 0.35 < drawn.mean() < 0.65


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_balance_is_corrected_in_the_logits(
    data: PreparedData, tmp_path: Path, balance: str
) -> None:
    fitted = fit(tiny(balance=balance, max_epochs=1), data, folder=RunFolder(tmp_path))
    positive = data.catalog.select(data.split.rows("train")).labels.mean()
    expected = torch.tensor([2 * (1 - positive), 2 * positive]).log().float()
    torch.testing.assert_close(fitted.classifier.logit_offset, expected)


@pytest.fixture(scope="module")
def plain_loss(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Return the validation loss after an epoch without options."""
    folder = RunFolder(tmp_path_factory.mktemp("base"))
    return fit(tiny(max_epochs=1), data, folder=folder).epochs[0].val_loss


@pytest.mark.parametrize(
    "changes",
    [
        {"label_smoothing": 0.1},
        {"mixup": 0.2},
        {"cutmix": 1.0},
        {"hidden": 0.5},
        {"accumulate": 2},
        {"clip": 0.1},
        {"augmentation": "radiograph"},
        {"schedule": "cosine", "warmup_epochs": 0.5},
        {"layer_decay": 0.5},
    ],
)
def test_every_option_changes_what_is_learnt(
    data: PreparedData, plain_loss: float, tmp_path: Path, changes: dict[str, Any]
) -> None:
    other = fit(tiny(max_epochs=1, **changes), data, folder=RunFolder(tmp_path))
    assert np.isfinite(other.epochs[0].val_loss)
    assert other.epochs[0].val_loss != plain_loss


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    """Return the graph of the small network, whose tracing is what takes long in a probe."""
    spec = InputSpec(32, 32)
    return trace(build_model(SMALL, spec, weights="auto").eval(), spec)


def test_the_probe_learns_and_leaves_the_body(
    data: PreparedData, tmp_path: Path, graph: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of("probe", model=SMALL, image_size=32)
    before = build_model(SMALL, recipe.data.input, weights="auto").network.state_dict()
    fitted = fit_probe(recipe, data, folder=RunFolder(tmp_path))
    after = fitted.classifier.network.state_dict()
    body = [name for name in before if "classifier" not in name]
    assert all(torch.equal(before[name], after[name]) for name in body)
    assert fitted.best.accuracy > 0.7
    part = data.catalog.select(data.split.rows("val"))
    pixels = torch.from_numpy(data.pixels(data.split.rows("val")))[:, None] / 255
    with torch.inference_mode():
        logits = fitted.classifier(pixels)
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(part.labels))
    assert float(loss) == pytest.approx(fitted.best.val_loss, abs=1e-4)
    monkeypatch.setattr(probe, "trace", lambda *_: graph)  # traced another time, beforehand
    again = fit_probe(recipe, data, folder=RunFolder(tmp_path / "again"))
    assert again.best.val_loss == fitted.best.val_loss


def test_a_balanced_probe_keeps_the_prior(
    data: PreparedData, tmp_path: Path, graph: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "trace", lambda *_: graph)
    plain, balanced = (
        fit_probe(
            recipe_of("probe", model=SMALL, image_size=32, balance=balance),
            data,
            folder=RunFolder(tmp_path / balance),
        )
        for balance in ("none", "weights")
    )
    assert balanced.best.loss == pytest.approx(plain.best.loss, abs=0.1)


def test_depthwise_networks_stay_in_float32_on_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pneumoscope.training.devices._cpu_flags", lambda: {"avx512_bf16"})
    dense = build_model("seed-cnn", InputSpec(32, 32)).network
    depthwise = build_model(SMALL, InputSpec(32, 32)).network
    assert computes_in_bfloat16("auto", "cpu", dense)
    assert not computes_in_bfloat16("auto", "cpu", depthwise)
    assert computes_in_bfloat16("bfloat16", "cpu", depthwise)


def test_auto_is_the_small_backbone_on_a_processor() -> None:
    choice = choose_backbone("cpu")
    assert choice.model == SMALL
    assert "package" in choice.why


def test_the_estimate_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert 0 < seconds_per_image(tiny(), device="cpu") < 1
    assert torch.equal(torch.rand(1), expected)
    assert in_words(3) == "less than a minute"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"balance": "weight"}, "Did you mean 'weights'"),
        ({"keep": "first"}, "best, last"),
        ({"ema": 1.0}, "ema"),
        ({"layer_decay": 0.0}, "layer_decay"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"accumulate": 0}, "accumulate"),
    ],
)
def test_wrong_values_are_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        recipe_of("transfer", **changes)

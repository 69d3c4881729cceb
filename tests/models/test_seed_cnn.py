"""The report's network, and the interface of every registered model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from pneumoscope.errors import OptionError
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.dropout import KeepMasks
from pneumoscope.models.registry import MODELS, build_model, layer_table
from pneumoscope.models.seed_cnn import Block, SeedCNN

# Figure 7 of the report: layer, output shape, parameters.
REPORT = [
    ("Conv2d", (224, 224, 32), 320),
    ("MaxPool2d", (112, 112, 32), 0),
    ("Dropout", (112, 112, 32), 0),
    ("Conv2d", (112, 112, 64), 18_496),
    ("MaxPool2d", (56, 56, 64), 0),
    ("Dropout", (56, 56, 64), 0),
    ("Conv2d", (56, 56, 64), 36_928),
    ("MaxPool2d", (28, 28, 64), 0),
    ("Dropout", (28, 28, 64), 0),
    ("Flatten", (50_176,), 0),
    ("Linear", (64,), 3_211_328),
    ("Dropout", (64,), 0),
    ("Linear", (2,), 130),
]


def test_the_layer_table_is_that_of_the_report() -> None:
    layers = layer_table(build_model("seed-cnn", InputSpec()), InputSpec())
    assert [(layer.type, layer.output_shape, layer.params) for layer in layers] == REPORT
    assert sum(layer.params for layer in layers) == 3_267_202


def test_pooling_before_relu_changes_nothing() -> None:
    torch.manual_seed(0)
    block = Block(1, 8, masks=KeepMasks(0.4), batch_norm=False).eval()
    maps = torch.randn(3, 1, 17, 20)
    expected = F.max_pool2d(F.relu(block.convolution(maps)), 2)
    torch.testing.assert_close(block(maps), expected, rtol=0, atol=0)


def test_it_starts_as_the_reports_framework_does() -> None:
    torch.manual_seed(0)
    model = SeedCNN()
    assert all(layer.bias.abs().max() == 0 for layer in (model.hidden, model.output))
    limit = (6 / (50_176 + 64)) ** 0.5  # Glorot and Bengio 2010, equation 16
    assert 0.99 * limit < model.hidden.weight.abs().max() <= limit


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"filters": []}, "filters"),
        ({"filters": [4] * 6}, "few enough blocks"),
        ({"dropout": 1.0}, "dropout"),
        ({"hidden": 0}, "hidden"),
        ({"pooling": "maximum"}, "pooling must be one of"),
        ({"droput": 0.1}, "Did you mean 'dropout'"),
    ],
)
def test_wrong_options(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        build_model("seed-cnn", InputSpec(32, 32), **options)


def test_an_unknown_model() -> None:
    with pytest.raises(OptionError, match="Did you mean 'seed-cnn'"):
        build_model("sed-cnn", InputSpec())


VARIANTS = [
    ("seed-cnn", {}),
    ("seed-cnn", {"batch_norm": True}),
    ("seed-cnn", {"filters": [4, 6], "dropout": 0.0}),
    ("seed-cnn", {"filters": [8], "hidden": 5}),
    ("seed-cnn", {"filters": [4, 6], "pooling": "average"}),
    ("seed-cnn", {"filters": [4, 6, 8], "pooling": "stride"}),
]


def test_every_model_is_under_contract() -> None:
    assert {name for name, _ in VARIANTS} == set(MODELS)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("shape", [(32, 32), (40, 24)])
def test_contract(name: str, options: dict[str, Any], shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    spec = InputSpec(*shape)
    model = build_model(name, spec, **options).to(memory_format=torch.channels_last)
    pixels = torch.rand(6, 1, *shape)
    logits = model(pixels)
    assert logits.shape == (6, 2)
    loss = F.cross_entropy(logits, torch.tensor([0, 1] * 3))
    loss.backward()  # type: ignore[no-untyped-call]
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name
    model.eval()
    torch.testing.assert_close(model(pixels), model(pixels), rtol=0, atol=0)
    one_by_one = torch.cat([model(image[None]) for image in pixels])
    torch.testing.assert_close(one_by_one, model(pixels), rtol=1e-4, atol=1e-5)

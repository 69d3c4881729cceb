"""The interface of every network: our own, and each listed family of timm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.models import efficientnet, mobilenetv3
from timm.models._efficientnet_builder import decode_arch_def
from torch import nn
from torch.nn import functional as F

from pneumoscope.errors import OptionError
from pneumoscope.export import export
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.network import Network
from pneumoscope.models.registry import Classifier, build_model
from pneumoscope.reader.model_file.metadata import ModelInfo, OperatingPoint

SPEC = InputSpec(64, 64)
NAMES = [
    "seed-cnn",
    "timm:mobilenetv2_035",
    "timm:mobilenetv3_small_050",
    "timm:resnet10t",
    "timm:convnextv2_atto",
    "timm:efficientnet_lite0",
    "timm:regnetx_002",
    "timm:vit_tiny_patch16_224",
    "xrv:densenet121-res224-all",
]


SHALLOW: dict[str, dict[str, Any]] = {
    "convnextv2_atto": {"depths": (1, 1, 1, 1)},
    "densenet121": {"block_config": (2, 2, 2, 2)},
    "regnetx_002": {"depth": 4, "wa": 40, "wm": 2},
    "vit_tiny_patch16_224": {"depth": 2},
}
"""Options of timm for the same layers in fewer blocks."""


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build networks of fewer blocks, whose export takes a fraction of the time."""
    create: Any = timm.create_model
    decode: Any = decode_arch_def

    def create_shallow(name: str, **options: Any) -> Any:
        return create(name, **SHALLOW.get(name.partition(".")[0], {}), **options)

    def decode_shallow(kinds: Any, *_: Any, **options: Any) -> Any:
        return decode([kinds[0][:1], kinds[1][:1], kinds[2][:1], kinds[-1]], depth_multiplier=0.01)

    monkeypatch.setattr(timm, "create_model", create_shallow)
    for families in (efficientnet, mobilenetv3):  # they have no option for it
        monkeypatch.setattr(families, "decode_arch_def", decode_shallow)


def built(name: str) -> tuple[Classifier, Network]:
    torch.manual_seed(0)
    options: dict[str, Any] = {"batch_norm": True} if name == "seed-cnn" else {}
    model = build_model(name, SPEC, **options)
    assert isinstance(model.network, Network)
    return model, model.network


def step(model: Classifier) -> None:
    """Take a large step of training."""
    free = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.SGD(free, lr=0.5)
    torch.manual_seed(1)
    logits = model.train()(torch.rand(4, 1, *SPEC.shape))
    F.cross_entropy(logits, torch.tensor([0, 1, 0, 1])).backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_gradients(name: str) -> None:
    model, _ = built(name)
    logits = model(torch.rand(4, 1, *SPEC.shape))
    assert logits.shape == (4, 2)
    F.cross_entropy(logits, torch.tensor([0, 1, 0, 1])).backward()  # type: ignore[no-untyped-call]
    for parameter_name, weights in model.named_parameters():
        assert weights.grad is not None, parameter_name
        assert weights.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize("name", NAMES)
def test_features_pooled_and_head_are_the_parts_of_forward(name: str) -> None:
    model, network = built(name)
    network.eval()
    pixels = torch.randn(3, 1, *SPEC.shape)
    with torch.inference_mode():
        maps = network.features(pixels)
        pooled = network.pooled(maps)
        weights, bias = network.parameter_groups()[-1]
        expected = network(pixels)
        torch.testing.assert_close(network.head(maps), expected, rtol=0, atol=0)
        torch.testing.assert_close(F.linear(pooled, weights, bias), expected)
        assert len(pooled) == 3
        if not name.startswith("timm:vit"):
            assert maps.ndim == 4
        torch.testing.assert_close(model.eval()(pixels), network((pixels - model.mean) / model.std))


@pytest.mark.parametrize("name", NAMES)
def test_stems_are_where_the_weights_first_meet_the_pixels(name: str) -> None:
    _, network = built(name)
    met: list[nn.Module] = []
    for layer in network.modules():
        if list(layer.parameters(recurse=False)):
            layer.register_forward_pre_hook(lambda layer, _: met.append(layer))
    network.eval()(torch.rand(1, 1, *SPEC.shape))
    assert network.stems
    assert met[0] in [network.get_submodule(stem) for stem in network.stems]


@pytest.mark.parametrize("name", NAMES)
def test_groups_hold_every_parameter_once_in_the_order_of_depth(name: str) -> None:
    model, network = built(name)
    groups = network.parameter_groups()
    ids = [id(weights) for group in groups for weights in group]
    assert sorted(ids) == sorted(id(weights) for weights in model.parameters())
    assert 4 <= len(groups) <= 20
    assert all(groups)
    first = next(iter(network.parameters()))
    assert any(first is weights for weights in groups[0])
    assert {len(weights) for weights in groups[-1]} == {2}


@pytest.mark.parametrize("name", NAMES)
def test_frozen_groups_stay_as_they_are(name: str) -> None:
    model, network = built(name)
    groups = network.parameter_groups()
    many = len(groups) // 2
    network.freeze(many)
    frozen = {id(weights) for group in groups[:many] for weights in group}
    before = {key: values.clone() for key, values in network.state_dict().items()}
    step(model)
    moved = {key for key, values in network.state_dict().items() if not values.equal(before[key])}
    for key, module in network.named_modules():
        for own, weights in module.named_parameters(prefix=key, recurse=False):
            assert (own in moved) <= (id(weights) not in frozen), own
        own_weights = list(module.parameters(recurse=False))
        if own_weights and all(id(weights) in frozen for weights in own_weights):
            for own, _ in module.named_buffers(prefix=key, recurse=False):
                assert own not in moved
            if isinstance(module, nn.BatchNorm2d):
                assert not module.training
    after_frozen = [key for key in moved if key.endswith("running_mean")]
    has_free_norm = any(
        isinstance(module, nn.BatchNorm2d) and module.training for module in network.modules()
    )
    assert bool(after_frozen) == has_free_norm
    assert {id(w) for w in network.parameters() if w.requires_grad}.isdisjoint(frozen)


@pytest.mark.parametrize("name", ["seed-cnn", "timm:resnet10t"])
def test_everything_can_be_freed_again(name: str) -> None:
    model, network = built(name)
    network.freeze(len(network.parameter_groups()))
    assert not any(weights.requires_grad for weights in model.parameters())
    network.freeze(0)
    before = {key: values.clone() for key, values in network.state_dict().items()}
    step(model)
    norms = [key for key in before if key.endswith("running_mean")]
    assert norms
    assert all(not network.state_dict()[key].equal(before[key]) for key in norms)
    network.eval()
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("shallow")
def test_the_exported_graph_agrees(name: str, tmp_path: Path) -> None:
    model, _ = built(name)
    check = np.random.default_rng(0).integers(0, 256, (3, *SPEC.shape), dtype=np.uint8)
    info = ModelInfo(name, SPEC, ("NORMAL", "PNEUMONIA"), OperatingPoint(), {})
    assert export(model.eval(), tmp_path / "model.onnx", info=info, check=check) < 1e-4


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("timm:resnet18x", {}, "Did you mean 'resnet18'"),
        ("timm:resnet18.a9_in1k", {}, "Did you mean 'a"),
        ("timm:qqqq", {}, "pneumoscope models"),
        ("xrv:densenet121", {}, "Did you mean 'densenet121-res224"),
        ("tim:resnet18", {}, "model must be a known model"),
        ("timm:resnet10t", {"drop_rat": 0.1}, "Did you mean 'drop_rate'"),
        ("timm:resnet10t", {"drop_rate": 1.5}, "drop_rate must be at least 0"),
        ("timm:mobilenetv2_035", {"drop_path_rate": -0.1}, "drop_path_rate must be at least 0"),
    ],
)
def test_wrong_names_and_options(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        build_model(name, SPEC, **options)


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("timm:vit_tiny_patch16_224", InputSpec(60, 60)),  # not whole patches
        ("xrv:densenet121-res224-all", InputSpec(8, 8)),  # pooled to nothing
    ],
)
def test_an_input_that_the_network_cannot_take(name: str, spec: InputSpec) -> None:
    with pytest.raises(
        OptionError, match=r"image_size must be a size supported by .*, such as 224"
    ):
        build_model(name, spec)


def test_other_inputs_than_trained_on() -> None:
    for name in ("timm:resnet10t", "timm:vit_tiny_patch16_224"):
        model = build_model(name, InputSpec(96, 64)).eval()
        assert model(torch.zeros(1, 1, 96, 64)).shape == (1, 2)

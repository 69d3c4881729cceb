"""Evidence maps: exact, equal to captum's, and dependent on the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from pneumoscope.errors import OptionError
from pneumoscope.export import ReaderGraph, export
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.ensemble import Averaged, side_by_side
from pneumoscope.models.registry import Classifier, build_model
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.metadata import ModelInfo, OperatingPoint

SPEC = InputSpec(64, 64)
POOLED = ("timm:mobilenetv2_035", "timm:resnet10t", "timm:regnetx_002", "timm:densenet121")
OTHERS = ("timm:mobilenetv3_small_050", "timm:convnextv2_atto")


def model(name: str, *, seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    classifier = build_model(name, SPEC).eval()
    nn.init.normal_(classifier.network.last_layer.weight, std=0.3)  # type: ignore[arg-type]
    return classifier


def pixels(count: int = 3) -> Tensor:
    torch.manual_seed(7)
    return torch.rand(count, 1, 64, 64)


@pytest.mark.parametrize("name", POOLED)
def test_the_mean_of_the_map_is_the_logit_but_for_the_bias(name: str) -> None:
    classifier = model(name)
    bias = classifier.network.last_layer.bias
    assert isinstance(bias, Tensor)
    with torch.inference_mode():
        logits, _, where = classifier.explained(pixels())
    assert where is not None
    logit = logits[:, 1] - logits[:, 0]
    torch.testing.assert_close(where.mean((1, 2)) + bias[1] - bias[0], logit, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", OTHERS)
def test_networks_that_end_otherwise_show_none(name: str) -> None:
    with torch.inference_mode():
        assert model(name).explained(pixels(1))[2] is None


class _Difference(nn.Module):
    """The logit of the positive class, for captum to look into."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(images)
        return logits[:, 1] - logits[:, 0]


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("seed-cnn", "blocks.2"),
        ("timm:mobilenetv2_035", "net.bn2"),
        ("timm:resnet10t", "net.layer4"),
    ],
)
def test_it_is_what_captum_finds(name: str, last: str) -> None:
    classifier = model(name)
    with torch.inference_mode():
        _, _, where = classifier.explained(pixels())
    assert where is not None
    layer = classifier.network.get_submodule(last)
    grad_cam = LayerGradCam(_Difference(classifier), layer)
    found = grad_cam.attribute(pixels(), relu_attributions=False)[:, 0].detach()
    # Theirs is the gradient's mean over the places, ours its sum: in units of the logit.
    torch.testing.assert_close(where, found * where[0].numel(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["seed-cnn", "timm:mobilenetv2_035"])
def test_other_weights_give_another_map(name: str) -> None:
    """The sanity check of Adebayo et al., NeurIPS 2018."""
    with torch.inference_mode():
        maps = [model(name, seed=seed).explained(pixels(1))[2] for seed in (0, 1)]
    one, two = (found.flatten().numpy() for found in maps if found is not None)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.9


def test_the_exported_map_is_that_of_the_network(tmp_path: Path) -> None:
    classifier = model("timm:resnet10t")
    prepared = np.random.default_rng(0).integers(0, 256, (4, 64, 64), dtype=np.uint8)
    info = ModelInfo("x", SPEC, ("NORMAL", "PNEUMONIA"), OperatingPoint(), {})
    export(classifier, tmp_path / "model.onnx", info=info, check=prepared)
    found = open_bundle(tmp_path / "model.onnx").run(prepared, ["evidence", "features"])
    with torch.inference_mode():
        graph = ReaderGraph(classifier).eval()(torch.from_numpy(prepared[:, None]))
    np.testing.assert_allclose(found[0], graph["evidence"].numpy(), atol=1e-3, rtol=1e-3)
    np.testing.assert_allclose(found[1], graph["features"].numpy(), atol=1e-4, rtol=1e-3)


def test_members_and_views_are_averaged() -> None:
    one, two = model("timm:mobilenetv2_035"), model("timm:mobilenetv2_035", seed=1)
    images = pixels()
    with torch.inference_mode():
        both = Averaged([one, two])
        torch.testing.assert_close(both(images), (one(images) + two(images)) / 2)
        logits, features, where = both.explained(images)
        torch.testing.assert_close(logits, both(images), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(features, one.pooled(images))
        single = [member.explained(images)[2] for member in (one, two)]
        assert where is not None
        torch.testing.assert_close(where, torch.stack([m for m in single if m is not None]).mean(0))
        mirrored = Averaged([one], ("plain", "flip"))
        torch.testing.assert_close(mirrored(images), mirrored(images.flip(-1)))
        zoomed = Averaged([one], ("plain", "zoom"))
        assert not torch.equal(zoomed(images), one(images))


@pytest.mark.parametrize(
    "name", ["timm:mobilenetv2_035", "timm:resnet10t", "timm:efficientnet_lite0"]
)
def test_members_side_by_side_say_what_they_say_on_average(name: str) -> None:
    members = [model(name, seed=seed) for seed in (0, 1, 2)]
    for member in members:  # statistics as after training
        for layer in member.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean = 0.1 * torch.randn_like(layer.bias)
                layer.running_var = 0.5 + torch.rand_like(layer.bias)
    one = side_by_side(members)
    assert one is not None
    with torch.inference_mode():
        logits, _, where = Averaged(members).explained(pixels())
        found, features, shown = one.explained(pixels())
    torch.testing.assert_close(found, logits, atol=1e-4, rtol=1e-4)
    assert where is not None
    assert shown is not None
    torch.testing.assert_close(shown, where, atol=1e-4, rtol=1e-3)
    assert features.shape[1] == 3 * members[0].pooled(pixels()).shape[1]


def test_maps_of_several_sizes_are_averaged_at_the_finest(tmp_path: Path) -> None:
    """Networks differ in how coarse their maps are; the mean is still the logit less the bias."""
    one, two = model("timm:resnet10t"), model("timm:resnet10t", seed=1)
    fine, beside = map(two.network.get_submodule, ("net.layer4.0.conv1", "net.layer4.0.downsample"))
    assert isinstance(fine, nn.Conv2d)
    assert isinstance(beside, nn.Sequential)
    fine.stride = (1, 1)
    beside[0] = nn.Identity()  # in place of a pooling
    assert side_by_side([one, two]) is None  # equal weights are not equal layers
    both = Averaged([one, two]).eval()
    with torch.inference_mode():
        logits, _, where = both.explained(pixels())
        sizes = [each.explained(pixels())[2] for each in (one, two)]
    assert [each.shape[1:] for each in sizes if each is not None] == [(2, 2), (4, 4)]
    assert where is not None
    assert where.shape == (3, 4, 4)
    biases = [each.network.last_layer.bias for each in (one, two)]
    bias = (
        sum(float((each[1] - each[0]).detach()) for each in biases if isinstance(each, Tensor)) / 2
    )
    torch.testing.assert_close(
        where.mean((1, 2)) + bias, logits[:, 1] - logits[:, 0], atol=1e-4, rtol=1e-4
    )
    info = ModelInfo("two", SPEC, ("NORMAL", "PNEUMONIA"), OperatingPoint(), {})
    some = (pixels()[:, 0] * 255).to(torch.uint8).numpy()
    assert export(both, tmp_path / "both.onnx", info=info, check=some) < 1e-4
    bundle = open_bundle(tmp_path / "both.onnx")
    assert bundle.run(some, ["evidence"])[0].shape == (3, 4, 4)


def test_networks_that_cannot_stand_side_by_side_are_left() -> None:
    assert side_by_side([model("timm:convnextv2_atto"), model("timm:convnextv2_atto")]) is None
    assert side_by_side([model("timm:mobilenetv2_035"), model("timm:resnet10t")]) is None
    assert side_by_side([model("seed-cnn"), model("seed-cnn")]) is None


@pytest.mark.parametrize("views", [(), ("flip",), ("plain", "flop")])
def test_wrong_views_are_named(views: tuple[str, ...]) -> None:
    with pytest.raises(OptionError, match="views must be"):
        Averaged([model("seed-cnn")], views)

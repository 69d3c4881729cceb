"""One grey channel gives the output of the RGB network for three equal channels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers.made_up import made_up
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.backbone import Backbone
from pneumoscope.models.grey import AsColours, AsItIs, WithOnes
from pneumoscope.models.registry import build_model

FAMILIES = [
    # Padded and without bias: channels with means of their own need a channel of ones.
    ("resnet10t", WithOnes),
    ("mobilenetv3_small_050", WithOnes),
    ("regnetx_002", WithOnes),
    # Two convolutions see the image.
    ("mobileone_s0", WithOnes),
    # Not padded, with a bias.
    ("convnextv2_atto", AsItIs),
    ("deit_tiny_patch16_224", AsItIs),
    # All means are 0.5; one of them pads as TensorFlow does.
    ("vit_tiny_patch16_224", AsItIs),
    ("tf_efficientnet_lite0", AsItIs),
    # The weights are standardised over the channels.
    ("nf_regnet_b0", AsColours),
]


@pytest.mark.parametrize(("architecture", "lift"), FAMILIES)
def test_grey_is_rgb_exactly(architecture: str, lift: type, tmp_path: Path) -> None:
    size = {"img_size": 64} if "patch16" in architecture else {}
    rgb, path = made_up(tmp_path, architecture, **size)
    model = build_model(f"timm:{architecture}", InputSpec(64, 64), weights=str(path)).eval()
    network = model.network
    assert isinstance(network, Backbone)
    assert type(network.lift) is lift
    grey = torch.rand(2, 1, 64, 64)
    mean, std = (torch.tensor(rgb.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        expected = rgb.forward_features((grey.expand(-1, 3, -1, -1) - mean) / std)
        found = network.features((grey - model.mean) / model.std)
    scale = expected.abs().max()
    assert scale > 0.01
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=2e-5)


def test_the_borders_need_the_channel_of_ones(tmp_path: Path) -> None:
    """The test above would fail if the means went into a bias."""
    _, path = made_up(tmp_path, "resnet10t")
    model = build_model("timm:resnet10t", InputSpec(64, 64), weights=str(path)).eval()
    network = model.network
    assert isinstance(network, Backbone)
    first = network.net.get_submodule(network.net.pretrained_cfg["first_conv"])
    pixels = torch.zeros(1, 1, 64, 64)
    with torch.inference_mode():
        padded = first(network.lift(pixels))[0]
        inner = padded[:, 5, 5]
    assert (padded[:, 0, 0] - inner).abs().max() > 1e-3
    torch.testing.assert_close(padded[:, 9, 9], inner)


def test_normalisation_is_in_the_model(tmp_path: Path) -> None:
    _, path = made_up(tmp_path, "resnet10t")
    model = build_model("timm:resnet10t", InputSpec(64, 64), weights=str(path))
    assert model.mean.item() == pytest.approx((0.485 + 0.456 + 0.406) / 3)
    assert model.std.item() == pytest.approx((0.229 + 0.224 + 0.225) / 3)
    assert dict(model.named_buffers())["mean"] is model.mean
    chest = build_model("xrv:densenet121-res224-all", InputSpec(64, 64))
    ends = (torch.tensor([0.0, 1.0]) - chest.mean) / chest.std
    assert ends.tolist() == [-1024, 1024]

"""Run RGB networks on grey images with the same output as for three equal channels.

Each channel c of the normalised RGB image is ``scale[c] * grey + shift[c]``, where ``grey`` is
normalised by one mean and one standard deviation. A convolution is linear, so the scales are
multiplied into its weights: ``sum(scale[c] * weights[c])`` are the weights for one channel. The
shifts are zero if the three channels share a mean. Otherwise they add a constant. Without padding,
it is added to the bias. If the normalised image is padded with zeros, the constant depends on how
many taps are outside, and a second channel of ones, padded in the same way, represents it exactly.
If the first layer is not linear in its weights (weight standardisation), grey is expanded to three
channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pneumoscope.models.known import WeightsFacts

_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class GreyPlan:
    """How grey pixels replace the channels that the weights were trained on.

    Attributes:
        mean: Mean subtracted from grey pixels in [0, 1].
        std: Standard deviation they are divided by.
        scale: Factor from normalised grey to each channel.
        shift: Constant added to each channel.
    """

    mean: float
    std: float
    scale: tuple[float, ...]
    shift: tuple[float, ...]

    @classmethod
    def of(cls, facts: WeightsFacts) -> GreyPlan:
        """Return the plan with the average mean and standard deviation of the channels."""
        mean = sum(facts.mean) / len(facts.mean)
        std = sum(facts.std) / len(facts.std)
        shift = [(mean - m) / s for m, s in zip(facts.mean, facts.std, strict=True)]
        return cls(
            mean,
            std,
            tuple(std / each for each in facts.std),
            tuple(value if abs(value) > _SAME else 0.0 for value in shift),
        )

    @property
    def rgb(self) -> bool:
        """Whether the weights were trained on three channels."""
        return len(self.scale) == 3

    @property
    def shifted(self) -> bool:
        """Whether the means of the channels differ."""
        return any(self.shift)


class AsItIs(nn.Identity):
    """Grey pixels as the one channel of the network."""

    channels = 1


class WithOnes(nn.Module):
    """Grey pixels, and a channel of ones."""

    channels = 2

    def forward(self, pixels: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 2 h w"]:
        """Return the two channels."""
        return F.pad(pixels, (0, 0, 0, 0, 0, 1), value=1.0)


class AsColours(nn.Module):
    """Grey pixels expanded to three channels."""

    channels = 3
    scale: Tensor
    shift: Tensor

    def __init__(self, plan: GreyPlan) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(plan.scale).view(1, 3, 1, 1))
        self.register_buffer("shift", torch.tensor(plan.shift).view(1, 3, 1, 1))

    def forward(self, pixels: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Return the three channels."""
        return pixels * self.scale + self.shift


Lift = AsItIs | WithOnes | AsColours


def lift_for(first: Sequence[nn.Module], plan: GreyPlan) -> Lift:
    """Return the module that turns grey pixels into the input the network needs.

    Args:
        first: The layers that take the image.
        plan: The relation of the channels to grey.
    """
    if not first or not all(_is_linear(layer) for layer in first):
        return AsColours(plan)
    if plan.shifted and not all(_takes_constant(layer) for layer in first):
        return WithOnes()
    return AsItIs()


def grey_weights(
    weights: Float[Tensor, "out channels height width"], plan: GreyPlan, lift: Lift
) -> Float[Tensor, "out lifted height width"]:
    """Return the weights of a first layer for the lifted input, from weights for RGB.

    Several groups of RGB channels (of neighbouring pixels, in networks that begin with a
    space-to-depth layer) are treated in the same way.
    """
    out, channels, height, width = weights.shape
    match lift:
        case AsColours():
            return weights
        case AsItIs():
            parts = [plan.scale]
        case WithOnes():
            parts = [plan.scale, plan.shift]
        case other:
            assert_never(other)
    mix = torch.tensor(parts, dtype=torch.float64)
    grouped = weights.double().view(out, channels // 3, 3, height, width)
    mixed = torch.einsum("ogchw,pc->ogphw", grouped, mix)
    return mixed.reshape(out, -1, height, width).to(weights.dtype)


def shifted_bias(
    bias: Float[Tensor, " out"], weights: Float[Tensor, "out channels h w"], plan: GreyPlan
) -> Float[Tensor, " out"]:
    """Return the bias of an unpadded layer that includes the channels' shifts."""
    shift = torch.tensor(plan.shift, dtype=torch.float64).repeat(weights.shape[1] // 3)
    constant = torch.einsum("ochw,c->o", weights.double(), shift)
    return (bias.double() + constant).to(bias.dtype)


def _is_linear(layer: nn.Module) -> bool:
    """Return whether a layer is a convolution, except for its padding."""
    return isinstance(layer, nn.Conv2d) and type(layer).__name__ in {"Conv2d", "Conv2dSame"}


def _takes_constant(layer: nn.Module) -> bool:
    """Return whether a bias can absorb a constant: it exists, and there is no padding."""
    return type(layer) is nn.Conv2d and layer.bias is not None and not any(layer.padding)

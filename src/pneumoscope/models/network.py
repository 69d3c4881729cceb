"""The interface of all networks, used for probing, freezing and parameter groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Network(nn.Module, ABC):
    """Logits [batch, classes] from normalised grey pixels [batch, 1, height, width].

    ``head(features(pixels))`` equals ``forward(pixels)``, and ``pooled(features(pixels))`` is the
    input of the last layer: a linear probe only trains that layer.

    Attributes:
        multilabel: Whether the logits are those of independent findings, so that the evidence of
            one is not relative to the others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.multilabel = False
        self._mean_is_seen: bool | None = None

    @abstractmethod
    def features(self, pixels: Float[Tensor, "batch 1 height width"]) -> Tensor:
        """Return the feature maps before pooling.

        Convolutional networks return maps [batch, channels, h, w]; others have their own form, such
        as tokens [batch, n, channels].
        """

    @abstractmethod
    def pooled(self, maps: Tensor) -> Float[Tensor, "batch features"]:
        """Return the input of the last layer, from the output of ``features``."""

    @abstractmethod
    def head(self, maps: Tensor) -> Float[Tensor, "batch classes"]:
        """Return the logit of each class, from the output of ``features``."""

    @property
    @abstractmethod
    def last_layer(self) -> nn.Module:
        """The layer that maps the output of ``pooled`` to logits."""

    @property
    @abstractmethod
    def stems(self) -> tuple[str, ...]:
        """The names of the layers that take the pixels, from ``named_modules``."""

    @abstractmethod
    def parameter_groups(self) -> list[list[nn.Parameter]]:
        """Return every parameter once, grouped by depth from the input to the last layer.

        The last group is that of the last layer.
        """

    def evidence(self, maps: Tensor) -> Tensor | None:
        """Return the evidence maps, from the output of ``features``.

        Signed class activation maps (Zhou et al., CVPR 2016): if the input of the last layer is the
        mean of the maps, the logit of a class is the mean of its map plus a bias without location.
        For two classes, there is one map, [batch, h, w], for the second class against the first;
        for more, one per class, [batch, classes, h, w], against the mean of the others. For
        findings, there is one per finding, [batch, findings, h, w]. None for networks with another
        head.
        """
        layer = self.last_layer
        if not isinstance(layer, nn.Linear) or maps.ndim != 4:
            return None
        if layer.in_features != maps.shape[1] or not self._takes_the_mean(maps):
            return None
        return weighted_maps(maps, self.speaking(layer.weight))

    def speaking(self, weights: Float[Tensor, "classes features"]) -> Tensor:
        """Return the contributions to each class against the others, or to each finding."""
        return weights if self.multilabel else against_others(weights)

    def _takes_the_mean(self, maps: Tensor) -> bool:
        """Return whether the input of the last layer is the mean of the maps.

        This is tested once, on random maps, since an exporter cannot trace a comparison of values.
        """
        if self._mean_is_seen is None:
            with torch.no_grad():
                some = torch.linspace(-1, 1, maps[:1].numel(), dtype=maps.dtype, device=maps.device)
                some = some.reshape_as(maps[:1])
                was = self.training
                seen = self.eval().pooled(some)
                self.train(was)
                same = seen.shape == some.shape[:2] and seen.allclose(some.mean((2, 3)), atol=1e-5)
            self._mean_is_seen = bool(same)
        return self._mean_is_seen

    def forward(
        self, pixels: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return the logit of each class."""
        return self.head(self.features(pixels))

    def freeze(self, groups: int) -> None:
        """Freeze the first groups of ``parameter_groups``, and unfreeze the others.

        Args:
            groups: Number of groups; 0 unfreezes everything.
        """
        for number, group in enumerate(self.parameter_groups()):
            for weights in group:
                weights.requires_grad_(number >= groups)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen layers keep their running statistics in both modes.

        A layer is frozen if none of its own parameters requires gradients.
        """
        super().train(mode)
        for layer in self.modules():
            own = list(layer.parameters(recurse=False))
            if own and _has_statistics(layer) and not any(w.requires_grad for w in own):
                layer.eval()
        return self


def against_others(weights: Float[Tensor, "classes features"]) -> Float[Tensor, "maps features"]:
    """Return the contributions to each class minus the mean of the others.

    For two classes, there is one row, the second minus the first; otherwise one per class.
    """
    count = len(weights)
    if count == 2:
        return weights[1:] - weights[:1]
    return (weights * count - weights.sum(0)) / (count - 1)


def weighted_maps(maps: Float[Tensor, "b c h w"], weights: Tensor) -> Tensor:
    """Return sums of maps over the channels: [b, h, w] for one row of weights, else [b, k, h, w].

    Args:
        maps: Maps of the channels.
        weights: Weights of the channels, [k, c], or for each image [b, k, c].
    """
    if weights.shape[-2] == 1:
        return (maps * weights[..., 0, :, None, None]).sum(1)
    return torch.einsum("bchw,kc->bkhw" if weights.ndim == 2 else "bchw,bkc->bkhw", maps, weights)


def _has_statistics(layer: nn.Module) -> bool:
    """Return whether a layer is batch normalisation or similar."""
    names = {name for name, _ in layer.named_buffers(recurse=False)}
    return not names.isdisjoint({"running_mean", "running_var"})

"""The interface of all networks, used for probing, freezing and parameter groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Network(nn.Module, ABC):
    """Logits [batch, 2] from normalised grey pixels [batch, 1, height, width].

    ``head(features(pixels))`` is ``forward(pixels)``, and ``pooled(features(pixels))`` is what the
    last layer takes: a linear probe trains that layer alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._mean_is_seen: bool | None = None

    @abstractmethod
    def features(self, pixels: Float[Tensor, "batch 1 height width"]) -> Tensor:
        """Return the feature maps before pooling.

        Maps [batch, channels, h, w] of convolutional networks; others keep their own form, such as
        tokens [batch, n, channels].
        """

    @abstractmethod
    def pooled(self, maps: Tensor) -> Float[Tensor, "batch features"]:
        """Return the input of the last layer, from the output of ``features``."""

    @abstractmethod
    def head(self, maps: Tensor) -> Float[Tensor, "batch 2"]:
        """Return the logits, from the output of ``features``."""

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
        """Return the evidence map, [batch, h, w], from the output of ``features``.

        Class activation maps (Zhou et al., CVPR 2016), signed: where the last layer takes the mean
        of the maps, the logit of the positive class is the mean of this one, and a bias that knows
        no place. None for networks that end in another way.
        """
        layer = self.last_layer
        if not isinstance(layer, nn.Linear) or maps.ndim != 4:
            return None
        if layer.in_features != maps.shape[1] or not self._takes_the_mean(maps):
            return None
        weights = layer.weight[1] - layer.weight[0]
        return (maps * weights[:, None, None]).sum(1)

    def _takes_the_mean(self, maps: Tensor) -> bool:
        """Return whether the input of the last layer is the mean of the maps.

        It is tried once, on made-up maps; an exporter cannot follow a comparison of numbers.
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

    def forward(self, pixels: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 2"]:
        """Return the logits of (negative, positive)."""
        return self.head(self.features(pixels))

    def freeze(self, groups: int) -> None:
        """Freeze the first groups of ``parameter_groups``, and unfreeze the others.

        Args:
            groups: How many; 0 frees everything.
        """
        for number, group in enumerate(self.parameter_groups()):
            for weights in group:
                weights.requires_grad_(number >= groups)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen layers keep their running statistics in both modes.

        A layer is frozen if none of its own parameters takes gradients.
        """
        super().train(mode)
        for layer in self.modules():
            own = list(layer.parameters(recurse=False))
            if own and _has_statistics(layer) and not any(w.requires_grad for w in own):
                layer.eval()
        return self


def _has_statistics(layer: nn.Module) -> bool:
    """Return whether a layer is batch normalisation or similar."""
    names = {name for name, _ in layer.named_buffers(recurse=False)}
    return not names.isdisjoint({"running_mean", "running_var"})

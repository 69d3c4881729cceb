"""The contract that every network keeps, so that training can probe, freeze and group it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from jaxtyping import Float
from torch import Tensor, nn


class Network(nn.Module, ABC):
    """Logits [batch, 2] from normalised grey pixels [batch, 1, height, width].

    ``head(features(pixels))`` is ``forward(pixels)``, and ``pooled(features(pixels))`` is what the
    last layer takes: a linear probe trains that layer alone.
    """

    @abstractmethod
    def features(self, pixels: Float[Tensor, "batch 1 height width"]) -> Tensor:
        """Return what the network knows of each place, before pooling.

        Maps [batch, channels, h, w] of convolutional networks; others keep their own form, such as
        tokens [batch, n, channels].
        """

    @abstractmethod
    def pooled(self, maps: Tensor) -> Float[Tensor, "batch features"]:
        """Return what the last layer takes, from what ``features`` returned."""

    @abstractmethod
    def head(self, maps: Tensor) -> Float[Tensor, "batch 2"]:
        """Return the logits of (negative, positive), from what ``features`` returned."""

    @property
    @abstractmethod
    def last_layer(self) -> nn.Module:
        """The layer that ``replace_head`` replaces."""

    @abstractmethod
    def replace_head(self) -> None:
        """Draw the last layer afresh, for two classes, and free it."""

    @abstractmethod
    def parameter_groups(self) -> list[list[nn.Parameter]]:
        """Return every parameter once, grouped by depth from the input to the last layer.

        The last group is the layer that ``replace_head`` draws.
        """

    def forward(self, pixels: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 2"]:
        """Return the logits of (negative, positive)."""
        return self.head(self.features(pixels))

    def freeze(self, groups: int) -> None:
        """Hold the first groups of ``parameter_groups`` as they are, and free the others.

        Args:
            groups: How many; 0 frees everything.
        """
        for number, group in enumerate(self.parameter_groups()):
            for weights in group:
                weights.requires_grad_(number >= groups)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen layers with running statistics use and keep them in either mode.

        A layer is frozen if none of its own parameters takes gradients.
        """
        super().train(mode)
        for layer in self.modules():
            own = list(layer.parameters(recurse=False))
            if own and _has_statistics(layer) and not any(w.requires_grad for w in own):
                layer.eval()
        return self


def _has_statistics(layer: nn.Module) -> bool:
    """Return whether it is batch normalisation or a relative of it."""
    names = {name for name, _ in layer.named_buffers(recurse=False)}
    return not names.isdisjoint({"running_mean", "running_var"})

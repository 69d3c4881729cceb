"""The contract that every network keeps, so that training can probe, freeze and group it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm


class Network(nn.Module, ABC):
    """Logits [batch, 2] from normalised grey pixels [batch, 1, height, width].

    ``head(features(pixels))`` is ``forward(pixels)``, and ``pooled`` gives what the last layer of
    the head sees: a linear probe trains that layer alone on it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._still: list[BatchNorm] = []

    @abstractmethod
    def features(self, pixels: Float[Tensor, "batch 1 height width"]) -> Tensor:
        """Return the last maps [batch, channels, h, w] before pooling."""

    @abstractmethod
    def pooled(self, maps: Tensor) -> Float[Tensor, "batch features"]:
        """Return what the last layer takes, from what ``features`` returned."""

    @abstractmethod
    def head(self, maps: Tensor) -> Float[Tensor, "batch 2"]:
        """Return the logits of (negative, positive) from what ``features`` returned."""

    @property
    @abstractmethod
    def last_layer(self) -> nn.Module:
        """The layer that ``replace_head`` replaces."""

    @abstractmethod
    def replace_head(self) -> None:
        """Put a fresh last layer for two classes in the place of the present one."""

    @abstractmethod
    def parameter_groups(self) -> list[list[nn.Parameter]]:
        """Return every parameter once, grouped by depth from the input to the last layer.

        The last group is the layer that ``replace_head`` replaces.
        """

    def forward(self, pixels: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 2"]:
        """Return the logits of (negative, positive)."""
        return self.head(self.features(pixels))

    def freeze(self, groups: int) -> None:
        """Hold the first groups of ``parameter_groups`` as they are, and free the others.

        Frozen parameters get no gradients, and batch-norm layers among them use and keep their
        statistics, whatever ``train`` is told.

        Args:
            groups: How many; 0 frees everything.
        """
        frozen = {id(weights) for group in self.parameter_groups()[:groups] for weights in group}
        for weights in self.parameters():
            weights.requires_grad_(id(weights) not in frozen)
        self._still = [
            layer
            for layer in self.modules()
            if isinstance(layer, BatchNorm)
            and any(id(weights) in frozen for weights in layer.parameters())
        ]
        self.train(self.training)

    def train(self, mode: bool = True) -> Network:
        """Set the mode of all layers but frozen batch-norm, which stays in evaluation."""
        super().train(mode)
        for layer in self._still:
            layer.eval()
        return self

"""A model's name → its network, the input it takes, and the table of its layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pneumoscope.errors import OptionError, nearest
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.dropout import ReluDropout
from pneumoscope.models.seed_cnn import FlattenMaps, SeedCNN


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """What the registry knows of a model.

    Attributes:
        build: Gives the network for an InputSpec and the model's own options.
        options: The names of these options.
        mean: What is subtracted from pixels in [0, 1].
        std: What they are then divided by.
    """

    build: Callable[..., nn.Module]
    options: tuple[str, ...]
    mean: float = 0.0
    std: float = 1.0


MODELS: Mapping[str, ModelEntry] = {
    "seed-cnn": ModelEntry(SeedCNN, ("filters", "dropout", "batch_norm", "hidden")),
}


class Classifier(nn.Module):
    """A network and the normalisation that it was made for: one unit from pixels to logits."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, *, mean: float, std: float) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, pixels: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 2"]:
        """Return the logits of (negative, positive) from grey pixels in [0, 1]."""
        logits: Tensor = self.network((pixels - self.mean) / self.std)
        return logits


def build_model(name: str, spec: InputSpec, **options: Any) -> Classifier:
    """Return a freshly initialised model.

    Args:
        name: A name of the registry.
        spec: The input that it will take.
        options: The model's own options, for ``seed-cnn`` those of ``SeedCNN``.

    Raises:
        OptionError: An unknown name or option, or a value that cannot be.
    """
    if name not in MODELS:
        raise OptionError("--model", must="a known model", was=name, hint=nearest(name, MODELS))
    entry = MODELS[name]
    for key in options:
        if key not in entry.options:
            raise OptionError(
                f"option of {name}",
                must="one that it has",
                was=key,
                hint=nearest(key, entry.options),
            )
    network = entry.build(input_px=spec.shape, **options)
    return Classifier(network, mean=entry.mean, std=entry.std)


@dataclass(frozen=True, slots=True)
class Layer:
    """A row of the layer table; the shape is that of its output, height, width, channels."""

    name: str
    type: str
    output_shape: tuple[int, ...]
    params: int


_SHOWN_AS = {ReluDropout: "Dropout", FlattenMaps: "Flatten"}


def layer_table(model: Classifier, spec: InputSpec) -> list[Layer]:
    """Return the layers of a model in the order in which a forward pass reaches them."""
    layers: list[Layer] = []

    def note(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, _: Any, output: Tensor) -> None:
            _, *shape = output.shape
            if len(shape) == 3:
                shape = [*shape[1:], shape[0]]
            layers.append(
                Layer(
                    name,
                    _SHOWN_AS.get(type(module), type(module).__name__),
                    tuple(shape),
                    sum(weights.numel() for weights in module.parameters()),
                )
            )

        return hook

    leaves = [
        (name, module)
        for name, module in model.network.named_modules()
        if not list(module.children()) and not isinstance(module, nn.Identity)
    ]
    handles = [module.register_forward_hook(note(name)) for name, module in leaves]
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, 1, *spec.shape))
    finally:
        for handle in handles:
            handle.remove()
    return layers

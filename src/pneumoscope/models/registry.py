"""Build models by name, and list their layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from pneumoscope.errors import OptionError, nearest
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.dropout import ReluDropout
from pneumoscope.models.names import check_known, is_pretrained_name, resolve
from pneumoscope.models.network import Network
from pneumoscope.models.pretrained import WeightsRecord, find_weights, load_weights, read_weights
from pneumoscope.models.seed_cnn import FlattenMaps, SeedCNN


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model in the registry.

    Attributes:
        build: Returns the network for an InputSpec and the options of the model.
        options: Names of these options.
        heads: Names of the layers that output the logits.
        mean: Mean subtracted from pixels in [0, 1].
        std: Standard deviation they are divided by.
    """

    build: Callable[..., Network]
    options: tuple[str, ...]
    heads: tuple[str, ...]
    mean: float = 0.0
    std: float = 1.0


MODELS: Mapping[str, ModelEntry] = {
    "seed-cnn": ModelEntry(
        SeedCNN, ("filters", "dropout", "batch_norm", "pooling", "hidden"), ("output",)
    ),
}

BACKBONE_OPTIONS = ("drop_rate", "drop_path_rate")
"""The names of the options of ``timm:`` and ``xrv:`` models."""


class Classifier(nn.Module):
    """A network with its normalisation, from pixels to logits.

    Attributes:
        network: The network, which takes normalised pixels.
        weights: Record of the pretrained weights; None for random ones.
        classes: Number of classes.
        multilabel: Whether the logits are those of independent findings; otherwise they are those
            of classes that exclude each other.
        logit_offset: Added to the network's logits; corrects the prior if the shares of the classes
            in training differed from those of the data.
    """

    mean: Tensor
    std: Tensor
    logit_offset: Tensor

    def __init__(
        self,
        network: Network,
        *,
        mean: float,
        std: float,
        weights: WeightsRecord | None = None,
        classes: int = 2,
        multilabel: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.multilabel = network.multilabel = multilabel
        self.weights = weights
        self.classes = classes
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        self.register_buffer("logit_offset", torch.zeros(classes))

    def forward(
        self, pixels: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return the logit of each class from grey pixels in [0, 1]."""
        return self.uncorrected(pixels) + self.logit_offset

    def uncorrected(
        self, pixels: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return the logits of the network without prior correction, for training."""
        logits: Tensor = self.network(self._normalised(pixels))
        return logits

    def uncorrected_with_evidence(
        self, pixels: Float[Tensor, "batch 1 height width"]
    ) -> tuple[Float[Tensor, "batch classes"], Tensor | None]:
        """Return the logits as ``uncorrected`` does, and the evidence maps."""
        maps = self.network.features(self._normalised(pixels))
        logits: Tensor = self.network.head(maps)
        return logits, self.network.evidence(maps)

    def pooled(self, pixels: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch c"]:
        """Return the input of the network's last layer, from grey pixels in [0, 1]."""
        return self.network.pooled(self.network.features(self._normalised(pixels)))

    def explained(
        self, pixels: Float[Tensor, "batch 1 height width"]
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch c"], Tensor | None]:
        """Return logits, input of the last layer and evidence maps in one pass."""
        maps = self.network.features(self._normalised(pixels))
        logits = self.network.head(maps) + self.logit_offset
        evidence = self.network.evidence(maps)
        if self.multilabel and evidence is not None and evidence.ndim == 3:  # of one finding
            evidence = evidence[:, None]
        return logits, self.network.pooled(maps), evidence

    def _normalised(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.std


def to_unit(pixels: UInt8[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Return grey pixels as float32 in [0, 1], the input of a classifier."""
    return pixels.float().div_(255)


def build_model(
    name: str,
    spec: InputSpec,
    *,
    weights: str = "none",
    classes: int = 2,
    multilabel: bool = False,
    **options: Any,
) -> Classifier:
    """Return a model with random weights, or with pretrained ones and a random last layer.

    A model that will receive the state of another must be built with the same ``weights``, since
    they determine the normalisation and details of the network.

    Args:
        name: A name of the registry, or ``timm:NAME`` or ``xrv:NAME``.
        spec: The input of the model.
        weights: As for ``find_weights``.
        classes: Number of logits.
        multilabel: Whether they are those of independent findings.
        options: Options of the model, for ``seed-cnn`` those of ``SeedCNN``.

    Raises:
        OptionError: An unknown name or option, or an invalid value.
        WeightsError: The weights are not available or do not fit.
    """
    if is_pretrained_name(name):
        _check_options(name, options, BACKBONE_OPTIONS)
        return _backbone(
            name, spec, options, weights=weights, classes=classes, multilabel=multilabel
        )
    check_known(name)
    entry = MODELS[name]
    _check_options(name, options, entry.options)
    network = entry.build(input_px=spec.shape, classes=classes, **options)
    file = find_weights(name, weights)
    record = load_weights(network, file, read_weights(file), heads=entry.heads) if file else None
    return Classifier(
        network,
        mean=entry.mean,
        std=entry.std,
        weights=record,
        classes=classes,
        multilabel=multilabel,
    )


def _backbone(
    name: str,
    spec: InputSpec,
    options: Mapping[str, Any],
    *,
    weights: str,
    classes: int,
    multilabel: bool,
) -> Classifier:
    model = resolve(name)
    from pneumoscope.models.backbone import Backbone, check_input  # noqa: PLC0415 - timm: a second

    network = Backbone(
        model,
        input_px=spec.shape,
        weights=find_weights(name, weights),
        classes=classes,
        **options,
    )
    check_input(network, spec.shape, name=name, trained_px=model.facts.input_px)
    plan = network.plan
    return Classifier(
        network,
        mean=plan.mean,
        std=plan.std,
        weights=network.record,
        classes=classes,
        multilabel=multilabel,
    )


def _check_options(name: str, options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in options:
        if key not in known:
            raise OptionError(
                f"option of {name}",
                must="an option of this network",
                was=key,
                hint=nearest(key, known),
            )


@dataclass(frozen=True, slots=True)
class Layer:
    """A row of the layer table; the output shape is height, width, channels."""

    name: str
    type: str
    output_shape: tuple[int, ...]
    params: int


_SHOWN_AS = {ReluDropout: "Dropout", FlattenMaps: "Flatten"}


def layer_table(model: Classifier, spec: InputSpec) -> list[Layer]:
    """Return the layers of a model in the order of the forward pass."""
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

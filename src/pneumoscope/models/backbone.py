"""Networks of timm with one grey channel and a new last layer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import timm
import torch
from jaxtyping import Float
from timm.models import group_parameters
from torch import Tensor, nn

from pneumoscope.errors import OptionError
from pneumoscope.models.grey import AsItIs, GreyPlan, Lift, grey_weights, lift_for, shifted_bias
from pneumoscope.models.names import Pretrained
from pneumoscope.models.network import Network
from pneumoscope.models.pretrained import WeightsFile, WeightsRecord, load_weights, read_weights
from pneumoscope.models.tensors import Tensors

_MOST_GROUPS = 20


class Backbone(Network):
    """A network of timm for normalised grey pixels.

    Args:
        model: The resolved model name.
        input_px: (height, width) of the input in pixels.
        weights: A file to load; None for random weights.
        drop_rate: Dropout rate of the pooled features.
        drop_path_rate: Stochastic depth rate: share of residual branches skipped in training.
        classes: Number of classes.

    Attributes:
        plan: Normalisation of pixels in [0, 1], and adaptation of the weights.
        record: Record of the loaded weights.

    Raises:
        OptionError: An invalid value for the network.
        WeightsError: The weights do not fit.
    """

    def __init__(
        self,
        model: Pretrained,
        *,
        input_px: tuple[int, int] = (224, 224),
        weights: WeightsFile | None = None,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        classes: int = 2,
    ) -> None:
        super().__init__()
        facts = weights.facts if weights and weights.facts else model.facts
        self.plan = GreyPlan.of(facts)
        self.record: WeightsRecord | None = None
        options: dict[str, Any] = {"drop_rate": _share("drop_rate", drop_rate), **facts.build}
        if drop_path_rate:  # not supported by all networks
            options["drop_path_rate"] = _share("drop_path_rate", drop_path_rate)
        self.lift: Lift = AsItIs()
        self.net = _create(model, input_px, in_chans=1, classes=classes, options=options)
        if weights is None:
            self._quieten_head()
            return
        tensors = read_weights(weights)
        if not self._trained_on_grey(tensors):
            first = [self.net.get_submodule(name) for name in self._first]
            self.lift = lift_for(first, self.plan)
            if self.lift.channels > 1:
                self.net = _create(
                    model, input_px, in_chans=self.lift.channels, classes=classes, options=options
                )
        self._quieten_head()
        translate = self._in_order if facts.by_order else self._translate
        self.record = load_weights(
            self.net,
            weights,
            tensors,
            heads=self._heads,
            prepare=self._for_grey,
            adapt=translate,
        )

    def features(self, pixels: Float[Tensor, "batch 1 height width"]) -> Tensor:
        """Return the output of timm's ``forward_features``."""
        maps: Tensor = self.net.forward_features(self.lift(pixels))
        return maps

    def pooled(self, maps: Tensor) -> Float[Tensor, "batch features"]:
        """Return timm's features before the classifier."""
        values: Tensor = self.net.forward_head(maps, pre_logits=True)
        return values.flatten(1)

    def head(self, maps: Tensor) -> Float[Tensor, "batch classes"]:
        """Return the logit of each class."""
        logits: Tensor = self.net.forward_head(maps)
        return logits

    @property
    def last_layer(self) -> nn.Module:
        """Timm's classifier."""
        layer: nn.Module = self.net.get_classifier()
        return layer

    def parameter_groups(self) -> list[list[nn.Parameter]]:
        """Return timm's groups: one per block, or per stage if there are many blocks."""
        named = dict(self.net.named_parameters())
        last = [name for name in named if name.startswith(self._heads_dotted)]
        depths: dict[int, list[str]] = {}
        for coarse in (False, True):
            depths = group_parameters(self.net, self.net.group_matcher(coarse=coarse))
            if len(depths) < _MOST_GROUPS:
                break
        body = [[name for name in depths[at] if name not in last] for at in sorted(depths)]
        return [[named[name] for name in group] for group in (*body, last) if group]

    @property
    def stems(self) -> tuple[str, ...]:
        """Timm's first convolutions."""
        return tuple(f"net.{name}" for name in self._first)

    @property
    def _first(self) -> tuple[str, ...]:
        """The names of the layers that take the image."""
        return _several(self.net.pretrained_cfg.get("first_conv"))

    def _quieten_head(self) -> None:
        """Initialise the head with small weights; timm's weights give logits of ten and more."""
        for name, weights in self.net.named_parameters():
            if name.startswith(self._heads_dotted):
                if weights.ndim > 1:
                    nn.init.normal_(weights, std=0.01)
                else:
                    nn.init.zeros_(weights)

    @property
    def _heads(self) -> tuple[str, ...]:
        """The names of the layers that output the logits."""
        return _several(self.net.pretrained_cfg.get("classifier"))

    @property
    def _heads_dotted(self) -> tuple[str, ...]:
        return tuple(f"{name}." for name in self._heads)

    def _trained_on_grey(self, tensors: Tensors) -> bool:
        """Return whether the weights were trained on one channel."""
        if not self.plan.rgb:
            return True
        names = [f"{name}.weight" for name in self._first]
        shapes = [tensors[name].shape for name in names if name in tensors]
        return bool(shapes) and all(shape[1:2] == (1,) for shape in shapes)

    def _for_grey(self, tensors: Tensors) -> Tensors:
        """Return the tensors with those of the first layers adapted to the grey input."""
        made = dict(tensors)
        for name in self._first:
            weights, bias = (tensors.get(f"{name}.{kind}") for kind in ("weight", "bias"))
            if weights is None or weights.ndim != 4 or weights.shape[1] % 3 or not self.plan.rgb:
                continue  # already for one channel, or a mismatch that the loader reports
            made[f"{name}.weight"] = grey_weights(weights, self.plan, self.lift)
            if isinstance(self.lift, AsItIs) and bias is not None and self.plan.shifted:
                made[f"{name}.bias"] = shifted_bias(bias, weights, self.plan)
        return made

    def _translate(self, tensors: Tensors) -> Tensors:
        """Return the tensors under timm's names, like timm's own loader."""
        module = sys.modules[type(self.net).__module__]
        translate = getattr(module, "checkpoint_filter_fn", None)
        if translate is None:
            translate = getattr(module, "_filter_fn", None)
        translated: Tensors = translate(dict(tensors), self.net) if translate else tensors
        return translated

    def _in_order(self, tensors: Tensors) -> Tensors:
        """Return the tensors under this network's names, given in the same order.

        Raises:
            ValueError: Their number, kinds or shapes differ; the message names the first mismatch.
        """
        wanted = self.net.state_dict()
        if len(wanted) != len(tensors):
            raise ValueError(f"{len(tensors)} tensors for {len(wanted)}")
        free = (*(f"{name}." for name in self._first), *self._heads_dotted)
        for (name, own), (other, given) in zip(wanted.items(), tensors.items(), strict=True):
            alike = name.rpartition(".")[2] == other.rpartition(".")[2]
            if not alike or (own.shape != given.shape and not name.startswith(free)):
                raise ValueError(f"{other} {list(given.shape)} for {name} {list(own.shape)}")
        return dict(zip(wanted, tensors.values(), strict=True))


def _create(
    model: Pretrained,
    input_px: tuple[int, int],
    *,
    in_chans: int,
    classes: int,
    options: dict[str, Any],
) -> Any:
    cfg = timm.get_pretrained_cfg(model.architecture)
    if cfg is not None and cfg.fixed_input_size:
        options = {**options, "img_size": input_px}
    try:
        net = timm.create_model(
            model.architecture, in_chans=in_chans, num_classes=classes, **options
        )
    except TypeError as fault:
        raise OptionError(
            f"option of {model.given}",
            must="an option of this network",
            was=sorted(name for name in options if name in str(fault)) or str(fault),
        ) from fault
    except (AssertionError, ValueError, RuntimeError) as fault:
        raise OptionError(
            "image_size",
            must=f"a size supported by {model.given}, such as {model.facts.input_px}",
            was=f"{input_px[0]}x{input_px[1]}",
            hint=f"({fault})" if str(fault) else "",
        ) from fault
    return net


def check_input(network: Network, input_px: tuple[int, int], *, name: str, trained_px: int) -> None:
    """Raise an error if the input is too small for the network or otherwise unsuitable.

    Raises:
        OptionError: The network does not support the input.
    """
    was = network.training
    try:
        _check_patches(network, input_px)
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 1, *input_px))
    except (RuntimeError, AssertionError, ValueError) as fault:
        raise OptionError(
            "image_size",
            must=f"a size supported by {name}, such as {trained_px}",
            was=f"{input_px[0]}x{input_px[1]}",
            hint=f"({str(fault).splitlines()[0]})" if str(fault) else "",
        ) from fault
    finally:
        network.train(was)


def _check_patches(network: Network, input_px: tuple[int, int]) -> None:
    """Raise an error if the input is not a multiple of the patch size."""
    for module in network.modules():
        patch = getattr(module, "patch_size", None)
        if isinstance(patch, tuple) and any(
            side % part for side, part in zip(input_px, patch, strict=False)
        ):
            raise ValueError(f"its patches are {patch[0]}x{patch[1]}")


def _share(name: str, value: float) -> float:
    if not 0 <= value < 1:
        raise OptionError(name, must="at least 0 and below 1", was=value)
    return value


def _several(names: str | Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)

"""Networks of the library timm as ours: one grey channel, two classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
import torch
from jaxtyping import Float
from timm.models import group_parameters
from torch import Tensor, nn
from torch.nn import functional as F

from pneumoscope.errors import OptionError, nearest
from pneumoscope.models.network import Network
from pneumoscope.models.pretrained import (
    WeightsError,
    WeightsFile,
    WeightsRecord,
    load_tensors,
    read_tensors,
)

_MOST_GROUPS = 20


class Backbone(Network):
    """A network of timm for normalised grey pixels.

    Args:
        architecture: timm's name, with or without the tag of its weights.
        input_px: (height, width) of the input in pixels.
        weights: A file to load; None draws fresh weights.
        drop_rate: Share of the pooled features that are dropped in training.
        drop_path_rate: Share of the residual branches that are skipped in training.

    Attributes:
        mean: What is to be subtracted from grey pixels in [0, 1].
        std: What they are then to be divided by.
        record: What was loaded.

    Raises:
        OptionError: A network that timm does not have, or a value that it cannot take.
        WeightsError: The weights do not fit.
    """

    def __init__(
        self,
        architecture: str,
        *,
        input_px: tuple[int, int] = (224, 224),
        weights: WeightsFile | None = None,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if not timm.is_model(architecture):
            raise OptionError(
                "--model",
                must="timm:NAME with a name that timm knows",
                was=architecture,
                hint=nearest(architecture, timm.list_models()),
            )
        cfg = timm.get_pretrained_cfg(architecture)
        known = weights.known if weights else None
        mean = known.mean if known else cfg.mean
        std = known.std if known else cfg.std
        self.mean = sum(mean) / len(mean)
        self.std = sum(std) / len(std)
        self.record: WeightsRecord | None = None
        options: dict[str, Any] = dict(known.build) if known else {}
        if drop_path_rate:
            options["drop_path_rate"] = drop_path_rate
        if cfg.fixed_input_size:
            options["img_size"] = input_px
        scale, shift = _grey(mean, std, self.mean, self.std)
        # Channel means that differ leave a constant a channel. At zero-padded borders no bias
        # could carry it, but the weights of a channel of ones do.
        self.ones = weights is not None and any(shift)
        self.net = timm.create_model(
            architecture,
            in_chans=2 if self.ones else 1,
            num_classes=2,
            drop_rate=drop_rate,
            **options,
        )
        self._quieten_head()
        if weights:
            self._load(weights, scale, shift)

    def features(self, pixels: Float[Tensor, "batch 1 height width"]) -> Tensor:
        """Return timm's ``forward_features``."""
        if self.ones:
            pixels = F.pad(pixels, (0, 0, 0, 0, 0, 1), value=1.0)
        maps: Tensor = self.net.forward_features(pixels)
        return maps

    def pooled(self, maps: Tensor) -> Float[Tensor, "batch features"]:
        """Return timm's features before the classifier."""
        values: Tensor = self.net.forward_head(maps, pre_logits=True)
        return values

    def head(self, maps: Tensor) -> Float[Tensor, "batch 2"]:
        """Return the logits of (negative, positive)."""
        logits: Tensor = self.net.forward_head(maps)
        return logits

    @property
    def last_layer(self) -> nn.Module:
        """Timm's classifier."""
        layer: nn.Module = self.net.get_classifier()
        return layer

    def replace_head(self) -> None:
        """Draw a fresh classifier."""
        self.net.reset_classifier(2)
        self._quieten_head()

    def parameter_groups(self) -> list[list[nn.Parameter]]:
        """Return timm's groups: a block each, or a stage each where the blocks are many."""
        named = dict(self.net.named_parameters())
        last = [key for key in named if key.startswith(f"{self._head}.")]
        for coarse in (False, True):
            groups = group_parameters(self.net, self.net.group_matcher(coarse=coarse))
            if len(groups) < _MOST_GROUPS:
                break
        body = [[key for key in groups[depth] if key not in last] for depth in sorted(groups)]
        return [[named[key] for key in group] for group in (*body, last) if group]

    @property
    def _head(self) -> str:
        classifier = self.net.get_classifier()
        return next(name for name, module in self.net.named_modules() if module is classifier)

    def _quieten_head(self) -> None:
        """Draw small weights: timm's rule for two classes gives logits of ten and more."""
        for name, weights in self.last_layer.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(weights)
            else:
                nn.init.normal_(weights, std=0.01)

    def _load(self, weights: WeightsFile, scale: Sequence[float], shift: Sequence[float]) -> None:
        tensors = read_tensors(weights.path)
        first = f"{self.net.pretrained_cfg['first_conv']}.weight"
        if first not in tensors:
            raise WeightsError(f"{weights.source}: does not fit the network; missing: {first}.")
        tensors[first] = grey_weights(tensors[first], scale, shift if self.ones else None)
        count = load_tensors(self.net, tensors, head=self._head, name=weights.source)
        known = weights.known
        self.record = WeightsRecord(
            weights.source,
            weights.sha256,
            count,
            licence=known.licence if known else "",
            credit=known.credit if known else "",
        )


def _grey(
    mean: Sequence[float], std: Sequence[float], grey_mean: float, grey_std: float
) -> tuple[list[float], list[float]]:
    """Return a, b such that each channel c of the normalised RGB image is a[c] * grey + b[c]."""
    scale = [grey_std / each for each in std]
    shift = [(grey_mean - m) / s for m, s in zip(mean, std, strict=True)]
    return scale, [value if abs(value) > 1e-9 else 0.0 for value in shift]


def grey_weights(
    rgb: Float[Tensor, "out 3 h w"], scale: Sequence[float], shift: Sequence[float] | None
) -> Float[Tensor, "out channels h w"]:
    """Return weights that give for (grey, ones) what ``rgb`` gives for scale * grey + shift."""
    parts = [scale] if shift is None else [scale, shift]
    mixed = [
        (rgb.double() * torch.tensor(part, dtype=torch.float64).view(1, 3, 1, 1)).sum(1)
        for part in parts
    ]
    return torch.stack(mixed, 1).to(rgb.dtype)

"""Choose a backbone for ``--model auto``."""

from __future__ import annotations

from dataclasses import dataclass

from pneumoscope.errors import WeightsError
from pneumoscope.models.pretrained import find_weights

# In the order of preference; the last one is included in the package.
_WANTED = {
    "cuda": ("timm:convnextv2_nano.fcmae_ft_in22k_in1k", "timm:mobilenetv2_100"),
    "mps": ("timm:convnextv2_nano.fcmae_ft_in22k_in1k", "timm:mobilenetv2_100"),
}
_SMALL = "timm:mobilenetv2_035"
_WHY_SMALL = "its weights are included in the package, and it trains in minutes on two CPU cores"
_WHY_LARGE = "this machine has an accelerator, and its weights are available"


@dataclass(frozen=True, slots=True)
class Choice:
    """A backbone and the reason for choosing it."""

    model: str
    why: str


def choose_backbone(device: str) -> Choice:
    """Return the backbone for ``auto`` on a kind of device: ``cpu``, ``cuda``, ``mps``.

    Weights that are not on this machine are downloaded; without a network connection, the next
    backbone is used.
    """
    missing = []
    for model in _WANTED.get(device, ()):
        try:
            find_weights(model)
        except WeightsError as fault:
            missing.append(f"{model} is not available ({fault})")
            continue
        return Choice(model, _WHY_LARGE)
    return Choice(_SMALL, "; ".join([_WHY_SMALL, *missing]))

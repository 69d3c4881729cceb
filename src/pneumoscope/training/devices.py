"""Device, precision and process placement of a training."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from pneumoscope.errors import OptionError, in_range, one_of
from pneumoscope.training.parts import Precision

_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
"""Environment variables with the rank of a process, in the order of Lightning."""

_NODE_RANKS = ("NODE_RANK", "GROUP_RANK")
"""Environment variables with the rank of a machine, if a process is started on each manually."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Device settings, passed to Lightning unchanged.

    Raises:
        OptionError: A value is invalid on every machine.
    """

    accelerator: str = "auto"
    devices: str = "auto"
    nodes: int = 1
    strategy: str = "auto"

    def __post_init__(self) -> None:
        one_of("accelerator", self.accelerator, ("auto", "cpu", "gpu", "cuda", "mps"))
        in_range("nodes", self.nodes, low=1, high=100_000)
        if not re.fullmatch(r"auto|-1|0*[1-9]\d*|\d+(,\d+)+", self.devices):
            raise OptionError("devices", must="auto, a number, or indices (0,1)", was=self.devices)


def check_here(placement: Placement) -> None:
    """Raise an error for a placement that this machine does not support.

    Raises:
        OptionError: The machine lacks the accelerator, or has far fewer CPU cores than processes.
    """
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    wanted = placement.accelerator
    if not (any(has.values()) if wanted == "gpu" else has.get(wanted, True)):
        here = ", ".join(("auto", "cpu", *(name for name, there in has.items() if there)))
        raise OptionError(
            "accelerator",
            must=f"{here} on this machine (PyTorch finds no other device)",
            was=wanted,
        )
    if best_device(wanted) == "cpu" and placement.devices.isdigit():
        most = max(2, os.cpu_count() or 1)  # two can be tried on any machine
        if int(placement.devices) > most:
            raise OptionError(
                "devices",
                must=f"at most {most} on this CPU, because each is a separate process",
                was=placement.devices,
            )


def is_leader() -> bool:
    """Return whether this process writes results: the first of those started by a launcher."""
    if "RANK" not in os.environ and _rank_in(_NODE_RANKS):
        return False
    return _rank_in(_RANKS) == 0


def _rank_in(names: tuple[str, ...]) -> int:
    return int(next((os.environ[name] for name in names if name in os.environ), 0))


def best_device(accelerator: str) -> str:
    """Return the kind of device that an accelerator name refers to on this machine."""
    if accelerator not in {"auto", "gpu"}:
        return accelerator
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def computes_in_bfloat16(precision: Precision, device: str, network: nn.Module) -> bool:
    """Return whether to compute in bfloat16: if requested, or if natively fast.

    On CPUs, dense convolutions become faster and grouped ones slower: a step of MobileNetV2 takes
    up to twice as long.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    grouped = any(layer.groups > 1 for layer in network.modules() if isinstance(layer, nn.Conv2d))
    return device == "cpu" and not grouped and bool(_cpu_flags() & {"avx512_bf16", "amx_bf16"})


def _cpu_flags() -> set[str]:
    """Return the CPU flags reported by Linux; none on other systems."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return set()
    flags = [line for line in text.splitlines() if line.startswith("flags")]
    return set(flags[0].split()) if flags else set()

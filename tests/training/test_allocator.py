"""Large blocks that are freed and asked for again cost no new pages."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from pneumoscope.training import estimate, fit, probe
from pneumoscope.training.recipe import recipe_of

_FAULTS = """
import resource
import torch
from pneumoscope.training.allocator import keep_large_blocks

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(keep_large_blocks(), *(faults() for _ in range(10)))
"""


def test_a_block_that_comes_back_has_its_pages() -> None:
    if sys.platform != "linux":
        pytest.skip("the setting is glibc's")
    done = subprocess.run(
        [sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True
    )
    kept, first, *later = done.stdout.split()
    if kept == "False":
        pytest.skip("this system's allocator is not glibc's")
    # 64 MiB: 16,384 pages of 4 KiB, or 32 of 2 MiB; other threads may touch a few meanwhile.
    assert int(first) >= 32
    # The first blocks that come back are often too small by their alignment to be given again.
    assert min(map(int, later)) < 16


@pytest.mark.parametrize(
    ("module", "function", "arguments"),
    [
        (fit, "fit", {"data": None, "folder": None}),
        (probe, "fit_probe", {"data": None, "folder": None}),
        (estimate, "seconds_per_image", {"device": "cpu"}),
    ],
)
def test_training_asks_for_it_before_anything_else(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, function: str, arguments: dict[str, Any]
) -> None:
    class AskedError(Exception):
        pass

    def ask() -> bool:
        raise AskedError

    monkeypatch.setattr(module, "keep_large_blocks", ask)
    with pytest.raises(AskedError):
        getattr(module, function)(recipe_of("seed"), **arguments)

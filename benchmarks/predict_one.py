"""One image through ``pneumoscope predict``, the whole process."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from harness import PNEUMOSCOPE, Outcome, Plan, Row, call, interleaved, medians
from pictures import replicate
from readers import reader_of

_LOOP = Path(__file__).with_name("torch_loop.py")


def measure(plan: Plan) -> Outcome:
    """Start each process several times, in turns."""
    many = replicate(plan.native, plan.work / "images", count=9)
    image = sorted(many, key=lambda path: path.stat().st_size)[len(many) // 2]
    listed = plan.work / "path.txt"
    listed.write_text(f"{image}\n", encoding="utf-8")
    reader = reader_of(plan)
    contenders: dict[str, list[str | Path]] = {
        "ours": [PNEUMOSCOPE, "predict", image, "--model", reader.path],
        "numpy and onnxruntime": [sys.executable, "-c", "import numpy, onnxruntime"],
        "torch": [sys.executable, _LOOP, listed, reader.architecture],
        "pneumoscope": [sys.executable, "-c", "import pneumoscope"],
        "numpy": [sys.executable, "-c", "import numpy"],
    }
    for command in contenders.values():  # so that every file has been read and compiled
        call(command)
    taken = interleaved(
        {name: partial(call, command) for name, command in contenders.items()},
        rounds=plan.count(9, generated=9, quick=1),
    )
    took = medians(taken)
    shown = {name: f"{value * 1000:.0f} ms" for name, value in took.items()}
    return Outcome(
        [
            Row(
                f"predict one native-size image, the whole process ({reader.told})",
                shown["ours"],
                f"{shown['numpy and onnxruntime']} (importing numpy and onnxruntime, nothing else)",
                took["ours"] / took["numpy and onnxruntime"],
                at_most=1.6,
            ),
            Row(
                "the same against torch",
                shown["ours"],
                f"{shown['torch']} (a process with torch)",
                took["ours"] / took["torch"],
                at_most=1 / 6,
            ),
            Row(
                "`import pneumoscope`",
                shown["pneumoscope"],
                f"{shown['numpy']} (`import numpy`)",
                took["pneumoscope"] / took["numpy"],
                at_most=1.3,
            ),
        ],
        {"bytes": image.stat().st_size, "reader": reader.told, "seconds": taken},
    )

"""A thousand native-size images through ``pneumoscope predict``, from start to end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

from fresh_model import write_fresh_model
from harness import PNEUMOSCOPE, Outcome, Plan, Row, call, interleaved
from pictures import replicate

_LOOP = Path(__file__).with_name("torch_loop.py")


def measure(plan: Plan) -> Outcome:
    """Read the same files with the command and with the usual loop, in turns."""
    count = plan.count(1000, generated=500, quick=12)
    paths = replicate(plan.native, plan.work / "images", count=count)
    listed = plan.work / "paths.txt"
    listed.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    model = write_fresh_model(plan.work / "model.onnx")
    loops: list[float] = []

    def ours() -> None:
        table = call([PNEUMOSCOPE, "predict", *paths, "--model", model, "--format", "csv"])
        if len(table.splitlines()) != count + 1 or "ERROR" in table:
            raise RuntimeError("pneumoscope predict did not read every image")

    def loop() -> None:
        facts = json.loads(call([sys.executable, _LOOP, listed]))
        if facts["images"] != count:
            raise RuntimeError("the loop did not read every image")
        loops.append(facts["loop"])

    taken = interleaved(
        {"ours": ours, "torch, whole process": loop},
        rounds=plan.count(3, generated=3, quick=1),
    )
    mine = count / median(taken["ours"])
    whole = count / median(taken["torch, whole process"])
    alone = count / median(loops)
    return Outcome(
        [
            Row(
                "predict many, native-size images, the whole process",
                f"{mine:.0f} images/s",
                f"{alone:.0f} images/s (torch one by one, its loop alone)",
                mine / alone,
                at_least=3,
            ),
            Row(
                "the same against its whole process",
                f"{mine:.0f} images/s",
                f"{whole:.0f} images/s (with the import of torch)",
                mine / whole,
            ),
        ],
        {"images": count, "seconds": taken, "torch_loop_seconds": loops},
    )

"""An epoch of two processes against one process that uses the same cores."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

from harness import PNEUMOSCOPE, Outcome, Plan, Row, call, say
from pictures import replicate
from pneumoscope.training.log import read_log

_IMAGES = 1_500


def measure(plan: Plan) -> Outcome:
    """Train with both, in turns, with the same images a step; epochs after the first count."""
    images = plan.work / "images"
    replicate(plan.small, images, count=plan.count(_IMAGES, generated=1_000, quick=48))
    epochs = 2 if plan.quick else 4
    taken: dict[str, list[float]] = {"one process": [], "two processes": []}
    rounds = plan.count(plan.rounds, generated=plan.rounds, quick=1)
    for number in range(1, rounds + 1):
        taken["one process"] += _epochs(plan, images, epochs, "--devices", "1")
        taken["two processes"] += _epochs(plan, images, epochs, "--devices", "2")
        shown = ", ".join(f"{name} {values[-1]:.1f} s" for name, values in taken.items())
        say(f"round {number} of {rounds}: {shown}")
    one, two = (statistics.median(values) for values in taken.values())
    return Outcome(
        [
            Row(
                "training epoch of two processes on this machine (gloo), after the first",
                f"{two:.1f} s",
                f"{one:.1f} s (one process)",
                two / one,
                at_most=1.2,
            )
        ],
        {"seconds": taken},
    )


def _epochs(plan: Plan, images: Path, epochs: int, *devices: str) -> list[float]:
    """Return the seconds of the epochs after the first, with 32 images a step."""
    run = plan.work / "run"
    batch = 32 // int(devices[1])
    command: list[str | Path] = [PNEUMOSCOPE, "train", images, "--out", run, *devices]
    options = ["--accelerator", "cpu", "--batch-size", str(batch), "--near-copies", "ignore"]
    limits = ["--epochs", str(epochs), "--patience", "1000", "--validation", "grouped"]
    call([*command, *options, *limits])
    seconds = [row.seconds for row in read_log(run / "log.csv")[1:]]
    shutil.rmtree(run)
    return seconds

"""The peak memory of ``pneumoscope train`` on few and on many images."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness import PNEUMOSCOPE, Outcome, Plan, Row, peak, say
from pictures import replicate


def measure(plan: Plan) -> Outcome:
    """Train an epoch on each, with a small network, so that the memory of images is visible."""
    few = plan.count(5216, generated=1000, quick=48)
    many = plan.count(20_000, generated=4000, quick=96)
    peaks = {count: _peak_megabytes(plan, count) for count in (few, many)}
    row = Row(
        f"peak memory of `train --filters 4,4`, {many:,} against {few:,} images",
        f"{peaks[many]:.0f} MB",
        f"{peaks[few]:.0f} MB",
        peaks[many] / peaks[few],
        at_most=1.10,
    )
    return Outcome([row], {"megabytes": {str(count): peak for count, peak in peaks.items()}})


def _peak_megabytes(plan: Plan, count: int) -> float:
    """Return the peak resident memory of a separate training process."""
    place = plan.work / str(count)
    replicate(plan.small, place / "images", count=count)
    command: list[str | Path] = [PNEUMOSCOPE, "train", place / "images", "--out", place / "run"]
    command += ["--epochs", "1", "--image-size", "224", "--filters", "4,4"]
    command += ["--accelerator", "cpu"]
    # A separate cache, so that neither reuses pixels of the other.
    own = {"PNEUMOSCOPE_CACHE": str(place / "cache")}
    taken = peak(command, log=plan.work / f"{count}.log", environment=own)
    shutil.rmtree(place)
    say(f"{count:,} images: {taken.megabytes:.0f} MB, {taken.seconds:.0f} s")
    return taken.megabytes

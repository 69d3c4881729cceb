"""The peak memory of ``pneumoscope train`` on few and on many images."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from harness import PNEUMOSCOPE, Outcome, Plan, Row, say
from pictures import replicate


def measure(plan: Plan) -> Outcome:
    """Train an epoch on each, with a network so small that the images would show."""
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
    """Return the largest resident memory of a training process of its own."""
    place = plan.work / str(count)
    replicate(plan.small, place / "images", count=count)
    command: list[str | Path] = [PNEUMOSCOPE, "train", place / "images", "--out", place / "run"]
    command += ["--epochs", "1", "--image-size", "224", "--filters", "4,4"]
    command += ["--accelerator", "cpu"]
    # A cache of its own, so that neither takes over pixels of the other.
    environment = {**os.environ, "PNEUMOSCOPE_CACHE": str(place / "cache")}
    log = plan.work / f"{count}.log"
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = log.read_text(encoding="utf-8")[-2000:]
        raise RuntimeError(f"pneumoscope train ended with code {process.returncode}:\n{said}")
    shutil.rmtree(place)
    peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    say(f"{count:,} images: {peak:.0f} MB, {time.perf_counter() - started:.0f} s")
    return peak

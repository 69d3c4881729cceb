"""``pneumoscope inspect``: seconds and peak memory."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from harness import PNEUMOSCOPE, Outcome, Plan, Row, peak, say
from pictures import replicate

_FOUND_ERRORS = 1  # real data contain some


def measure(plan: Plan) -> Outcome:
    """Inspect the whole data set, with files in the system's page cache."""
    images = plan.small.parent
    if plan.quick:
        images = plan.work / "images"
        replicate(plan.small, images / "train", count=48)
    count = sum(bool(path.read_bytes()) for path in images.rglob("*") if path.is_file())
    taken = []
    rounds = plan.count(2, generated=2, quick=1)
    for number in range(1, rounds + 1):
        command: list[str | Path] = [PNEUMOSCOPE, "inspect", images]
        command += ["--out", plan.work / f"inspect-{number}"]
        log = plan.work / f"{number}.log"
        taken.append(peak(command, log=log, allowed=(0, _FOUND_ERRORS)))
        say(f"round {number} of {rounds}: {taken[-1].seconds:.1f} s, {taken[-1].megabytes:.0f} MB")
    middle = median(one.seconds for one in taken)
    largest = max(one.megabytes for one in taken)
    return Outcome(
        [
            Row(
                f"`inspect` on {count:,} images, files in memory, the whole process",
                f"{middle:.1f} s",
                seconds=middle,
                at_most_seconds=None if plan.generated or plan.quick else 60,
            ),
            Row("its peak memory", f"{largest:.0f} MB"),
        ],
        {
            "images": count,
            "seconds": [one.seconds for one in taken],
            "megabytes": [one.megabytes for one in taken],
        },
    )

"""``pneumoscope train --preset probe``, from start to end."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import median

from harness import PNEUMOSCOPE, Outcome, Plan, Row, call, say, seconds
from pictures import replicate
from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.training.recipe import recipe_of


def measure(plan: Plan) -> Outcome:
    """Train with an existing cache, including model, threshold, scores and report."""
    images = plan.small
    if plan.generated or plan.quick:
        images = plan.work / "images"
        replicate(plan.small, images, count=plan.count(0, generated=1000, quick=240))
    _, catalog = build_cache(read_catalog(images), recipe_of("probe").data.input)
    count = len(catalog.entries)
    taken: list[float] = []
    rounds = plan.count(2, generated=2, quick=1)
    for number in range(1, rounds + 1):
        command: list[str | Path] = [PNEUMOSCOPE, "train", images]
        command += ["--out", plan.work / f"run-{number}", "--preset", "probe"]
        taken.append(seconds(partial(call, [*command, "--accelerator", "cpu"])))
        say(f"round {number} of {rounds}: {count:,} images, {taken[-1]:.1f} s")
    row = Row(
        f"`train --preset probe` on {count:,} images, cache warm, the whole process",
        f"{median(taken):.1f} s",
        seconds=median(taken),
        at_most_seconds=None if plan.generated or plan.quick else 40,
    )
    return Outcome([row], {"images": count, "seconds": taken})

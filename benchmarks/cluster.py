"""Many workers of a Ray cluster on this machine against one process."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from harness import PNEUMOSCOPE, Outcome, Plan, Row, call, interleaved, medians, skip
from pictures import replicate
from readers import reader_of


def measure(plan: Plan) -> Outcome:
    """Read a list of images by Ray and by ``predict``."""
    if find_spec("ray") is None:
        return skip("Ray is not installed (extra 'ray')")
    count = plan.count(20_000, generated=2_000, quick=24)
    paths = replicate(plan.small, plan.work / "images", count=min(count, 1_000))
    reader = reader_of(plan)
    listed, one = plan.work / "all.txt", plan.work / "one.txt"
    listed.write_text("".join(f"{paths[n % len(paths)]}\n" for n in range(count)), encoding="utf-8")
    one.write_text(f"{paths[0]}\n", encoding="utf-8")
    out = plan.work / "out"

    def run(images: Path, place: Path, *engine: str) -> None:
        command: list[str | Path] = [PNEUMOSCOPE, "predict", "--paths-from", images]
        call([*command, "--model", reader.path, "--out", place, *engine])
        if place.is_dir():
            shutil.rmtree(place)
        else:
            for file in place.parent.glob(f"{place.name}*"):
                file.unlink()

    ray = ("--engine", "ray")
    taken = interleaved(
        {
            "predict": lambda: run(listed, out.with_suffix(".parquet")),
            "ray": lambda: run(listed, out, *ray),
            "ray, one image": lambda: run(one, out, *ray),
        },
        rounds=plan.count(plan.rounds, generated=plan.rounds, quick=1),
    )
    found = medians(taken)
    started = found["ray, one image"]
    after = found["ray"] - started
    rows = [
        Row(
            f"`predict --engine ray` on {count:,} images, after its start ({reader.told})",
            f"{after:.1f} s",
            f"{found['predict']:.1f} s (`predict --out results.parquet`)",
            after / found["predict"],
            at_most=1.15,
        ),
        Row("start and end of its cluster, with one image", f"{started:.1f} s"),
    ]
    return Outcome(rows, {"seconds": taken})

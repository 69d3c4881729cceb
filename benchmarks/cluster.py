"""Many workers against one process; and the planner on as many paths as a hospital has."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pyarrow
import pyarrow.parquet

from harness import PNEUMOSCOPE, Outcome, Plan, Row, call, interleaved, medians, peak, say, skip
from pictures import replicate
from readers import reader_of

_PLANNER = Path(__file__).with_name("cluster_planner.py")
_PATHS = (1_000_000, 10_000_000)
_BATCH = 100_000


def measure(plan: Plan) -> Outcome:
    """Read a list of images by Ray and by ``predict``, and plan archives without reading them."""
    if find_spec("ray") is None:
        return skip("Ray is not installed (extra 'ray')")
    read, details = _reading(plan)
    planned, sizes = _planning(plan)
    return Outcome([*read, *planned], {"seconds": details, "planner": sizes})


def _reading(plan: Plan) -> tuple[list[Row], dict[str, object]]:
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
            "processes": lambda: run(listed, out, "--engine", "processes"),
        },
        rounds=plan.count(3, generated=3, quick=1),
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
        Row(
            "the same images with `--engine processes`, the whole command",
            f"{found['processes']:.1f} s",
            f"{found['predict']:.1f} s",
            found["processes"] / found["predict"],
        ),
    ]
    return rows, dict(taken)


def _planning(plan: Plan) -> tuple[list[Row], dict[str, object]]:
    rows: list[Row] = []
    details: dict[str, object] = {}
    for full in _PATHS:
        count = plan.count(full, generated=full, quick=full // 1000)
        manifest = plan.work / "manifest.parquet"
        _write_manifest(manifest, count)
        out = plan.work / "planned"
        first = _planned(plan, manifest, out)
        again = _planned(plan, manifest, out, "--resume")
        shutil.rmtree(out)
        if first["images"] != count or again["read"]:
            raise RuntimeError(f"the planner read {first} and again {again} of {count} paths")
        details[str(count)] = {"run": first, "resume": again}
        say(f"{count:,} paths: {first}, again {again}")
        rows += [
            Row(
                f"memory of the driver, {count:,} paths without pixels",
                f"{first['megabytes']:.0f} MB",
                "500 MB",
                first["megabytes"] / 500,
                at_most=1.0,
            ),
            Row(f"its first part, {count:,} paths", f"{first['first']:.2f} s"),
            Row(
                f"continuing it when it is finished, {first['parts']:,.0f} parts",
                f"{again['seconds']:.1f} s",
                seconds=again["seconds"],
                at_most_seconds=60,
            ),
        ]
    return rows, details


def _planned(plan: Plan, manifest: Path, out: Path, *more: str) -> dict[str, float]:
    log = plan.work / "planner.json"
    command: list[str | Path] = [sys.executable, _PLANNER, manifest, out, *more]
    taken = peak(command, log=log)
    found: dict[str, float] = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    return {**found, "megabytes": taken.megabytes, "seconds": taken.seconds}


def _write_manifest(place: Path, count: int) -> None:
    """Write paths as an archive of DICOM files has them, in constant memory."""
    schema = pyarrow.schema([("path", pyarrow.string())])
    with pyarrow.parquet.ParquetWriter(place, schema) as writer:
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            names = [
                f"/archive/{n % 97:02d}/{n % 89:02d}/1.2.826.0.1.3680043.8.498.{n:012d}.dcm"
                for n in numbers
            ]
            writer.write_table(pyarrow.table({"path": names}, schema=schema))

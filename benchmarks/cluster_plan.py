"""The driver of a long run on as many paths as a hospital archive has."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet

from harness import Outcome, Plan, Row, peak, say

_PLANNER = Path(__file__).with_name("cluster_planner.py")
_PATHS = (1_000_000, 10_000_000)
_BATCH = 100_000


def measure(plan: Plan) -> Outcome:
    """Plan archives without reading them, and continue the finished runs."""
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
    return Outcome(rows, details)


def _planned(plan: Plan, manifest: Path, out: Path, *more: str) -> dict[str, float]:
    log = plan.work / "planner.json"
    command: list[str | Path] = [sys.executable, _PLANNER, manifest, out, *more]
    taken = peak(command, log=log)
    found: dict[str, float] = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    return {**found, "megabytes": taken.megabytes, "seconds": taken.seconds}


def _write_manifest(place: Path, count: int) -> None:
    """Write paths like those of an archive of DICOM files, in constant memory."""
    schema = pyarrow.schema([("path", pyarrow.string())])
    with pyarrow.parquet.ParquetWriter(place, schema) as writer:
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            names = [
                f"/archive/{n % 97:02d}/{n % 89:02d}/1.2.826.0.1.3680043.8.498.{n:012d}.dcm"
                for n in numbers
            ]
            writer.write_table(pyarrow.table({"path": names}, schema=schema))

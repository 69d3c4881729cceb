"""The peak memory of ``pneumoscope predict`` on few and on many images."""

from __future__ import annotations

from pathlib import Path

from harness import PNEUMOSCOPE, Outcome, Plan, Row, peak, say
from pictures import replicate
from readers import reader_of

_FEW = 1000


def measure(plan: Plan) -> Outcome:
    """Read a list of paths, and the same list repeated many times."""
    few = plan.count(_FEW, generated=_FEW, quick=24)
    many = plan.count(plan.many, generated=plan.many, quick=96)
    paths = replicate(plan.small, plan.work / "images", count=few)
    reader = reader_of(plan)
    peaks = {}
    for count in (few, many):
        listed = plan.work / f"{count}.txt"
        with listed.open("w", encoding="utf-8") as out:
            out.writelines(f"{paths[number % few]}\n" for number in range(count))
        command: list[str | Path] = [PNEUMOSCOPE, "predict", "--paths-from", listed]
        command += ["--model", reader.path, "--format", "csv"]
        log = plan.work / f"{count}.csv"
        taken = peak(command, log=log)
        with log.open(encoding="utf-8") as stream:
            rows = sum(line.startswith(str(plan.work)) for line in stream)
        if rows != count:
            raise RuntimeError(f"pneumoscope predict gave {rows} rows for {count} images")
        say(f"{count:,} images: {taken.megabytes:.1f} MB, {taken.seconds:.0f} s")
        peaks[count] = taken.megabytes
    row = Row(
        f"peak memory of `predict --paths-from`, {many:,} against {few:,} images ({reader.told})",
        f"{peaks[many]:.0f} MB",
        f"{peaks[few]:.0f} MB",
        peaks[many] / peaks[few],
        at_most=1.05,
    )
    details = {str(count): round(value, 1) for count, value in peaks.items()}
    return Outcome([row], {"megabytes": details, "reader": reader.told})

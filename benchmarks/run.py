"""Measure this package against what it wants to be compared with; see README.md.

python benchmarks/run.py [--only NAME ...] [--quick] [--keras PYTHON] [--rounds N]
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import table
from harness import Outcome, Plan
from pictures import generated_images, real_images

BENCHMARKS = {
    "training-epoch": "training_epoch",
    "input-side": "input_side",
    "first-decode": "first_decode",
    "predict-many": "predict_many",
    "predict-one": "predict_one",
    "memory": "memory",
}


def main() -> int:
    """Run the benchmarks and write what they found; 1 if one of them could not be run."""
    asked = _arguments()
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="pneumoscope-bench-") as temporary:
        work = Path(temporary)
        os.environ["PNEUMOSCOPE_CACHE"] = str(work / "cache")
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        real = real_images()
        if real is None:
            print("No real images (see README.md), so generated ones at a smaller scale.")
        small, native = real or generated_images(work / "generated", quick=asked.quick)
        plan = Plan(small, native, real is None, asked.quick, work, asked.keras, asked.rounds)
        facts = table.about(generated=plan.generated)
        print(f"{facts['processor']}, {facts['cores']} cores, {facts['images']}", flush=True)
        if facts["load_at_start"] > 0.5:
            print(f"The machine is busy (load {facts['load_at_start']}): do not trust the ratios.")
        for name in asked.only or BENCHMARKS:
            outcome = _outcome(name, plan)
            if outcome:
                outcomes[name] = outcome
    print(table.markdown([row for outcome in outcomes.values() for row in outcome.rows]))
    if asked.quick:
        print("Nothing is written: --quick only tries whether everything runs.")
    elif outcomes:
        table.write(Path(__file__).parent, facts, outcomes)
    return int(len(outcomes) < len(asked.only or BENCHMARKS))


def _outcome(name: str, plan: Plan) -> Outcome | None:
    """Return what a benchmark found, in an interpreter of its own; None if it failed."""
    print(f"{name}:", flush=True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=plan.work) as own:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as process:
            task = process.submit(_measure, BENCHMARKS[name], replace(plan, work=Path(own)))
            try:
                outcome = task.result()
            except Exception as fault:  # whatever it is, the others shall run
                print(f"  failed: {fault}", file=sys.stderr, flush=True)
                return None
    print(f"  {time.perf_counter() - started:.0f} s", flush=True)
    return outcome


def _measure(module: str, plan: Plan) -> Outcome:
    outcome = importlib.import_module(module).measure(plan)
    if not isinstance(outcome, Outcome):
        raise TypeError(f"{module}.measure gave {outcome!r}")
    return outcome


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure pneumoscope against others.")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="few images, one step, no results")
    parser.add_argument("--keras", type=Path, help="a Python with tensorflow, scipy and pillow")
    parser.add_argument("--rounds", type=int, default=2, help="of training-epoch (default: 2)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

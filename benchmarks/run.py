"""Measure this package against alternatives; see README.md.

python benchmarks/run.py [--only NAME ...] [--quick] [--model MODEL] [--keras PYTHON] ...
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import table
from alone import alone
from harness import Outcome, Plan
from pictures import generated_images, real_images

BENCHMARKS = {
    "training-epoch": "training_epoch",
    "training-processes": "training_processes",
    "transfer-epoch": "transfer_epoch",
    "linear-probe": "linear_probe",
    "input-side": "input_side",
    "first-decode": "first_decode",
    "progressive": "progressive",
    "predict-one": "predict_one",
    "predict-many": "predict_many",
    "predict-keras": "predict_keras",
    "predict-memory": "predict_memory",
    "cluster": "cluster",
    "cluster-plan": "cluster_plan",
    "dicom-folder": "dicom_folder",
    "serve": "serve",
    "hospital": "hospital",
    "graph": "graph",
    "inspect": "inspect_speed",
    "bootstrap": "bootstrap_speed",
    "class-numbers": "class_numbers",
    "classes": "classes",
    "memory": "memory",
    "gpu": "gpu",
}

_TERMINATED = 128 + signal.SIGTERM


def main() -> int:
    """Run the benchmarks and write the results; return 1 if one of them failed."""
    args = _arguments()
    # As an exception, so that running processes are ended and temporary files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="pneumoscope-bench-") as temporary:
        work = Path(temporary)
        os.environ["PNEUMOSCOPE_CACHE"] = str(work / "cache")
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        real = real_images()
        if real is None:
            print("No real images (see README.md), so generated ones at a smaller scale.")
        small, native = real or generated_images(work / "generated", quick=args.quick)
        plan = Plan(
            small=small,
            native=native,
            generated=real is None,
            quick=args.quick,
            work=work,
            keras=args.keras,
            rounds=args.rounds,
            model=args.model,
            batches=args.batches,
            many=args.many,
            before=args.before,
        )
        facts = table.about(generated=plan.generated)
        print(f"{facts['processor']}, {facts['cores']} cores, {facts['images']}", flush=True)
        if facts["load_at_start"] > 0.5:
            print(f"The machine is busy (load {facts['load_at_start']}): do not trust the ratios.")
        for name in args.only or BENCHMARKS:
            outcome = _outcome(name, plan)
            if outcome:
                outcomes[name] = outcome
    print(table.markdown([row for outcome in outcomes.values() for row in outcome.rows]))
    for name, outcome in outcomes.items():
        if outcome.skipped:
            print(f"{name} was skipped: {outcome.skipped}")
    if args.quick:
        print("Nothing is written: --quick only tries whether everything runs.")
    elif outcomes:
        table.write(Path(__file__).parent, facts, outcomes)
    return int(len(outcomes) < len(args.only or BENCHMARKS))


def _outcome(name: str, plan: Plan) -> Outcome | None:
    """Return the result of a benchmark in a separate interpreter; None if it failed."""
    print(f"{name}:", flush=True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=plan.work) as own:
        try:
            outcome = alone(_measure, BENCHMARKS[name], replace(plan, work=Path(own)))
        except RuntimeError as fault:  # the others continue
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
    add = parser.add_argument
    add("--only", action="append", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    add("--quick", action="store_true", help="few images, one step, no results")
    add(
        "--model",
        help="the reader: shipped, fresh (a seed-cnn), a file or a run folder (default: the "
        "shipped one if there is one, else fresh)",
    )
    add("--keras", type=Path, help="a Python with tensorflow, scipy and pillow")
    add(
        "--rounds",
        type=int,
        default=2,
        help="of training-epoch, training-processes and cluster (default: 2)",
    )
    add("--batches", type=int, default=40, help="steps of transfer-epoch (default: 40)")
    add("--before", type=Path, help="a checkout of an earlier version, for dicom-folder")
    add("--many", type=int, default=20_000, help="images of predict-memory (default: 20,000)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

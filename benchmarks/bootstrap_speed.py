"""Every metric of 5,000 scores with intervals from 2,000 resamples of the patients, on one core.

Run as a script, ``bootstrap_speed.py ROWS RESAMPLES ROUNDS`` prints the seconds of each round.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from statistics import median

from harness import Outcome, Plan, Row, call, say, seconds


def measure(plan: Plan) -> Outcome:
    """Compute in a separate process, since a core must be selected before numpy is loaded."""
    rows = plan.count(5000, generated=5000, quick=200)
    resamples = plan.count(2000, generated=2000, quick=100)
    rounds = plan.count(3, generated=3, quick=1)
    facts = json.loads(
        call([sys.executable, Path(__file__), f"{rows}", f"{resamples}", f"{rounds}"])
    )
    taken: list[float] = facts["seconds"]
    say(f"{facts['numbers']} numbers: {', '.join(f'{value:.2f} s' for value in taken)}")
    row = Row(
        f"all metrics and curves of {rows:,} scores, {resamples:,} resamples by patient, one core",
        f"{median(taken):.2f} s",
        seconds=median(taken),
        at_most_seconds=None if plan.quick else 5,
    )
    return Outcome([row], {"resamples": resamples, **facts})


def main(rows: int, resamples: int, rounds: int) -> None:
    """Print the time for evaluating generated scores as one JSON line."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    import numpy as np  # noqa: PLC0415 - it counts the cores when it is loaded

    from pneumoscope.data.patients import Patient  # noqa: PLC0415 - the same
    from pneumoscope.evaluation.numbers import numbers_of  # noqa: PLC0415 - the same
    from pneumoscope.evaluation.scores import Scores  # noqa: PLC0415

    rng = np.random.default_rng(0)
    label = (rng.random(rows) < 0.6).astype(np.int64)
    logit = rng.normal(size=rows) * 2 + 3 * (label - 0.5)
    patient = rng.integers(0, rows * 7 // 10, rows)  # about 1.4 images each, some have many
    scores = Scores(
        tuple(f"{number}.png" for number in range(rows)),
        tuple(Patient(f"{number}") for number in patient),
        label,
        logit,
        1 / (1 + np.exp(-logit)),
    )
    found = numbers_of(scores, threshold=0.5, resamples=100)  # so that everything is loaded
    taken = [
        seconds(lambda: numbers_of(scores, threshold=0.5, resamples=resamples))
        for _ in range(rounds)
    ]
    facts = {"seconds": taken, "rows": rows, "patients": found.patients}
    print(json.dumps({**facts, "numbers": len(found.values)}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

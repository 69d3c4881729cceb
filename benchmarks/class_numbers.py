"""Every metric of 5,000 scores of 14 classes against the same of two, on one core.

Both with intervals from 2,000 resamples of the same patients. The 14 classes include the numbers of
their positive group and the prediction sets. Run as a script, ``class_numbers.py ROWS RESAMPLES
ROUNDS`` prints the seconds of each round.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from statistics import median

from harness import Outcome, Plan, Row, call, say, seconds

CLASSES = 14


def measure(plan: Plan) -> Outcome:
    """Compute in a separate process, since a core must be selected before numpy is loaded."""
    rows = plan.count(5000, generated=5000, quick=500)
    resamples = plan.count(2000, generated=2000, quick=100)
    rounds = plan.count(3, generated=3, quick=1)
    facts = json.loads(
        call([sys.executable, Path(__file__), f"{rows}", f"{resamples}", f"{rounds}"])
    )
    several, two = median(facts["several"]), median(facts["two"])
    say(f"{several:.2f} s with {CLASSES} classes, {two:.2f} s with two")
    row = Row(
        f"all metrics of {rows:,} scores of {CLASSES} classes, {resamples:,} resamples by patient,"
        " one core",
        f"{several:.2f} s",
        f"{two:.2f} s (two classes)",
        several / two,
        at_most=None if plan.quick else 6,
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
    from pneumoscope.evaluation.conformal import fit_conformal  # noqa: PLC0415 - the same
    from pneumoscope.evaluation.multiclass.calibration import softmax  # noqa: PLC0415
    from pneumoscope.evaluation.multiclass.numbers import class_numbers  # noqa: PLC0415
    from pneumoscope.evaluation.multiclass.scores import ClassScores  # noqa: PLC0415
    from pneumoscope.evaluation.numbers import numbers_of  # noqa: PLC0415
    from pneumoscope.evaluation.scores import Scores  # noqa: PLC0415
    from pneumoscope.labels import LabelSpace  # noqa: PLC0415
    from pneumoscope.reader.model_file.metadata import OperatingPoint  # noqa: PLC0415
    from pneumoscope.reader.policy import DecisionPolicy  # noqa: PLC0415

    rng = np.random.default_rng(0)
    names = tuple(f"class {number}" for number in range(CLASSES))
    labels = LabelSpace.of(names, names[1:])
    number = rng.integers(0, CLASSES, rows)
    logits = rng.normal(size=(rows, CLASSES)) + 2.5 * np.eye(CLASSES)[number]
    people = rng.integers(0, rows * 7 // 10, rows)  # about 1.4 images each, some have many
    patients = tuple(Patient(f"{number}") for number in people)
    own = ClassScores(labels, number, logits, softmax(logits))
    paths, zeros = tuple(f"{number}.png" for number in range(rows)), np.zeros(rows)
    scores = Scores(paths, patients, own.label, zeros, zeros, "val").with_classes(own)
    label = (rng.random(rows) < 0.6).astype(np.int64)
    logit = rng.normal(size=rows) * 2 + 3 * (label - 0.5)
    pair = Scores(paths, patients, label, logit, 1 / (1 + np.exp(-logit)))
    policy = DecisionPolicy(labels, OperatingPoint(), fit_conformal(scores, level=0.1))

    def several(count: int) -> None:
        numbers_of(scores, threshold=0.5, resamples=count)
        class_numbers(own, scores.patient_numbers, policy=policy, resamples=count)

    several(100)  # so that everything is loaded
    facts: dict[str, object] = {"rows": rows, "patients": len(set(people.tolist()))}
    taken: dict[str, list[float]] = {"two": [], "several": []}
    for _ in range(rounds):
        taken["two"].append(seconds(lambda: numbers_of(pair, threshold=0.5, resamples=resamples)))
        taken["several"].append(seconds(lambda: several(resamples)))
    print(json.dumps({**facts, **taken}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

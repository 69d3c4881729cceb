"""Simulated trainings, for tests of studies that do not depend on learning."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from pneumoscope.study import worker, workers
from pneumoscope.study.folder import Result, StudyRun
from pneumoscope.training.log import Epoch, write_log
from pneumoscope.training.recipe import Recipe

_CODE = """
import csv, json, sys, time
from pathlib import Path
for line in sys.stdin:
    job = json.loads(line)
    run = Path(job["run"])
    print(json.dumps({"event": "begun", "run": run.name}), flush=True)
    time.sleep(PAUSE)
    with open(job["split"], newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in {"val", "test"}]
    for part, name in (("val", "scores-val.csv"), ("test", "scores-held-out.csv")):
        with (run / name).open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["path", "patient", "label", "logit", "probability"])
            for k, row in enumerate(row for row in rows if row["split"] == part):
                label = int(row["label"] == "PNEUMONIA")
                logit = label + (sum(map(ord, row["path"] + run.name)) % 7 - 3) / 2
                table.writerow([row["path"], row["patient"], label, logit, 0.1 + 0.8 * label])
    (run / "log.csv").write_text(
        "epoch,loss,accuracy,val_loss,val_accuracy,val_auc,seconds,images_per_second,learning_rate"
        "\\n1,0.5,0.7,0.45,0.8,0.85,1.0,100.0,0.001\\n2,0.4,0.8,0.4,0.8,0.9,1.0,100.0,0.001\\n"
    )
    numbers = {"auc": 0.9, "accuracy": 0.8, "loss": 0.4}
    result = {"val": numbers, "held_out": numbers, "threshold": 0.5, "epochs": 2,
              "best_epoch": 2, "seconds": 2.0, "parameters": 1, "device": "cpu",
              "precision": "float32", "peak_bytes": 1, "validation_images": 9}
    (run / "result.json").write_text(json.dumps(result))
    print(json.dumps({"event": "done", "run": run.name}), flush=True)
"""


def stub_worker(*, pause: float = 0.0) -> tuple[str, ...]:
    """Return the command of a worker with simulated results.

    Args:
        pause: Duration of a run in seconds.
    """
    return (sys.executable, "-c", _CODE.replace("PAUSE", str(pause)))


_popen = subprocess.Popen


def popen_forked(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Replaces ``subprocess.Popen`` in a fork of ``helpers.warm``.

    The worker of a study is a fork as well, so that it need not load torch.
    """
    if tuple(command) != workers.WORKER:
        return _popen(command, **options)

    def work() -> None:
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            setattr(sys, name, os.fdopen(number, "w" if number else "r", 1, "utf-8"))
        import torch  # noqa: PLC0415 - it is loaded already

        torch.set_num_threads(int(options["env"]["OMP_NUM_THREADS"]))
        os._exit(worker.main())

    return _popen(command, preexec_fn=work, **options)


def goodness(recipe: Recipe) -> float:
    """Return the result of a simulated training: a dropout of 0.3 is best."""
    return float(0.9 - (recipe.value("dropout") - 0.3) ** 2)


def learn(run: StudyRun, data: object, *, on_epoch: object = None, model: bool = False) -> Result:
    """Replaces ``study.learn``; reaches ``goodness`` after the epochs of the recipe."""
    recipe = Recipe.load(run.files.config)
    rows = run.log()
    for number in range(len(rows) + 1, recipe.learning.max_epochs + 1):
        value = goodness(recipe) - 0.1 / number
        rows.append(Epoch(number, 0.5, 0.7, 1 - value, value, value, 0.1, 10.0, 0.001))
        write_log(run.files.log, rows)
        assert callable(on_epoch)
        on_epoch(rows[-1])
    numbers = {"auc": rows[-1].val_auc, "accuracy": 0.5, "loss": rows[-1].val_loss}
    found = Result(numbers, numbers, 0.5, len(rows), len(rows), 0.1, 1, "cpu", "float32", 1, 9)
    run.write_result(found)
    return found

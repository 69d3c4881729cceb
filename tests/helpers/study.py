"""A worker of a study that learns nothing, for tests that are not about learning."""

from __future__ import annotations

import sys

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
    """Return the command of a worker that gives made-up results.

    Args:
        pause: How many seconds a run takes.
    """
    return (sys.executable, "-c", _CODE.replace("PAUSE", str(pause)))

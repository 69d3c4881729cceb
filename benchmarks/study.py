"""The overhead of a study, and the savings of a search with pruning.

    python benchmarks/study.py                      the overhead, on generated radiographs
    python benchmarks/study.py --search chest_xray  a search over 12 recipes against all of them

The overhead is the time of a study beyond that of its runs: starting the worker, reading and
splitting the images, drawing the page. The bound is 2 % for runs of a minute and more.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from pneumoscope.data.phantom import write_folder
from pneumoscope.study.conduct import conduct
from pneumoscope.study.folder import StudyFolder
from pneumoscope.study.hunt import Hunt
from pneumoscope.study.plan import plan_of
from pneumoscope.study.report import write_study_page
from pneumoscope.study.search import search

PLAN = """
base: seed
changes: {image_size: 64, filters: [32, 64, 64], max_epochs: EPOCHS, patience: 100}
seeds: 2
split: {val_fraction: 0.2, held_out: 0.2}
questions:
  dropout: {factor: dropout, values: [0.4, 0.2]}
  optimiser: {factor: optimizer, values: [adam, adamax]}
search:
  learning_rate: [0.0003, 0.001, 0.003]
  dropout: [0.2, 0.4]
  optimizer: [adam, adamax]
"""


def overhead(place: Path, *, patients: int, epochs: int) -> dict[str, float]:
    """Return the seconds of a study and of its runs, and the share of the difference."""
    data = write_folder(place / "data", patients=patients, seed=0, size_px=(240, 260))
    plan = plan_of(PLAN.replace("EPOCHS", str(epochs)))
    started = time.perf_counter()
    folder = conduct(data, place / "study", plan=plan)
    write_study_page(folder)
    seconds = time.perf_counter() - started
    runs = sum(run.result().seconds for run in folder.runs())
    return {"study": seconds, "runs": runs, "overhead": (seconds - runs) / runs}


def saving(data: Path, place: Path, *, epochs: int) -> dict[str, float]:
    """Return results and durations of 12 recipes with pruning and without."""
    plan = plan_of(PLAN.replace("EPOCHS", str(epochs)))
    found: dict[str, float] = {}
    best: dict[str, dict[str, object]] = {}
    for name in ("none", "hyperband", "halving"):
        hunt = Hunt(number="val_auc", trials=12, sampler="grid", pruning=name, confirm=0)
        started, worked = time.perf_counter(), time.process_time()
        folder: StudyFolder = search(data, place / name, plan=plan, hunt=hunt)
        found[f"{name}: seconds"] = time.perf_counter() - started
        found[f"{name}: processor seconds"] = time.process_time() - worked
        found[f"{name}: epochs"] = sum(len(run.log()) for run in folder.runs())
        summary = json.loads((folder.root / "search.json").read_text(encoding="utf-8"))
        best[name] = summary["best"]["changes"]
        values = {json.dumps(t["changes"]): t["value"] for t in summary["trials"] if t["value"]}
        if name == "none":
            whole = values
        found[f"{name}: AUC"] = whole[json.dumps(best[name])]
    for name in ("hyperband", "halving"):
        for what in ("seconds", "processor seconds", "epochs"):
            found[f"{name}: share of the {what}"] = (
                found[f"{name}: {what}"] / found[f"none: {what}"]
            )
        found[f"{name}: AUC lost"] = found["none: AUC"] - found[f"{name}: AUC"]
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--search", type=Path, metavar="DATA", help="real images")
    parser.add_argument("--patients", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if args.search:
            found = saving(args.search, Path(name), epochs=args.epochs)
        else:
            found = overhead(Path(name), patients=args.patients, epochs=args.epochs)
    for key, value in found.items():
        print(f"{key}: {value:.4g}")


if __name__ == "__main__":
    main()

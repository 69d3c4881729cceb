"""``pneumoscope evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_verb

if TYPE_CHECKING:
    from argparse import Namespace

    from pneumoscope.workflow.evaluate import Evaluated


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "evaluate",
        run,
        about="Say how good a reader is on labelled images, read from their files.",
        example="pneumoscope evaluate runs/first chest_xray --split test",
    )
    parser.add_argument("model", type=Path, help="a run folder or a model file")
    parser.add_argument("data", type=Path, help="split folders, class folders, or a CSV manifest")
    parser.add_argument(
        "--split",
        metavar="PART",
        help="train, val, test or all (default: test where there is one, else all)",
    )
    parser.add_argument("--scores", type=Path, metavar="FILE", help="write the scores to this CSV")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(asked: Namespace) -> int:
    """Evaluate, and print the numbers."""
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415 - after parsing
    from pneumoscope.workflow.evaluate import evaluate_reader  # noqa: PLC0415 - numpy, onnxruntime

    watcher = TerminalWatcher()
    result = evaluate_reader(
        asked.model, asked.data, part=asked.split, scores_file=asked.scores, watcher=watcher
    )
    for item in result.unreadable:
        watcher.warn(f"skipped: {item.reason}")
    if asked.json:
        print(json.dumps({"split": result.part, **result.metrics.to_dict()}))
    else:
        print(_table(result))
    return 0


def _table(result: Evaluated) -> str:
    found = result.metrics
    (tn, fp), (fn, tp) = found.confusion
    lines = [f"{'split ' + result.part:<20}  value   n"]
    for name, estimate in (
        ("loss", found.loss),
        ("accuracy", found.accuracy),
        ("balanced accuracy", found.balanced_accuracy),
        ("AUC", found.auc),
        ("sensitivity", found.sensitivity),
        ("specificity", found.specificity),
    ):
        lines.append(f"{name:<20}  {estimate.text():<6}  {estimate.n:,}")
    lines += [
        "",
        f"At probability {found.threshold:g} and above an image is called positive:",
        f"  {tp:,} true positives, {fn:,} false negatives",
        f"  {tn:,} true negatives, {fp:,} false positives",
    ]
    if result.unreadable:
        lines.append(f"{len(result.unreadable)} unreadable files were skipped.")
    return "\n".join(lines)

"""``pneumoscope evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pneumoscope.cli.terminal import TerminalWatcher

if TYPE_CHECKING:
    from pneumoscope.workflow.evaluate import Evaluated


def evaluate(
    model: Annotated[Path, typer.Argument(help="A run folder or a model file.")],
    data: Annotated[Path, typer.Argument(help="Split folders, class folders, or a CSV manifest.")],
    split: Annotated[
        str | None,
        typer.Option(help="train, val, test or all. (default: test where there is one, else all)"),
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="Write the scores to this CSV.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say how good a reader is on labelled images, read from their files.

    Example: pneumoscope evaluate runs/first chest_xray --split test
    """
    from pneumoscope.workflow.evaluate import evaluate_reader  # noqa: PLC0415 - numpy, onnxruntime

    watcher = TerminalWatcher()
    result = evaluate_reader(model, data, part=split, scores_file=scores, watcher=watcher)
    for item in result.unreadable:
        watcher.warn(f"skipped: {item.reason}")
    if as_json:
        typer.echo(json.dumps({"split": result.part, **result.metrics.to_dict()}))
    else:
        typer.echo(_table(result))


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

"""``pneumoscope export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_json_option, add_verb

if TYPE_CHECKING:
    from argparse import Namespace

    from pneumoscope.evaluation.evaluation import Evaluation
    from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "export",
        run,
        about="Export one or several runs as one model file, optionally at reduced precision.",
        example="pneumoscope export runs/seed-0 runs/seed-1 --out both.onnx --precision float16",
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", help="folders of runs that used the same data"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the model file")
    parser.add_argument("--data", type=Path, help="the images, if they have moved")
    parser.add_argument(
        "--views",
        nargs="+",
        default=["plain"],
        metavar="VIEW",
        help="test-time augmentations to average: plain, flip, zoom",
    )
    parser.add_argument(
        "--precision", default="float32", help="precision of the weights: float32, float16 or int8"
    )
    parser.add_argument(
        "--operating-point",
        metavar="RULE",
        help="rule that chooses the threshold, such as sensitivity>=0.95",
    )
    add_json_option(parser)


def run(args: Namespace) -> int:
    """Export, and print the effect on the results."""
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415 - after parsing
    from pneumoscope.workflow.export import export_runs  # noqa: PLC0415

    watcher = TerminalWatcher()
    found = export_runs(
        args.runs,
        args.out,
        data=args.data,
        views=args.views,
        precision=args.precision,
        operating_point=args.operating_point,
        watcher=watcher,
    )
    for note in found.notes:
        watcher.warn(note)
    if args.json:
        print(
            json.dumps(
                {
                    "model": str(found.model),
                    "bytes": found.bytes,
                    "members": [str(member) for member in found.members],
                    "precision": found.precision,
                    "shift": found.shift.to_dict(),
                    "validation": found.validation.to_dict(),
                }
            )
        )
        return 0
    print(
        f"Model: {found.model} ({found.bytes / 1e6:.2f} MB, {found.precision}, "
        f"{len(found.members)} networks)\n"
        f"{_validation(found.validation)}\n"
        f"Compared with the networks in float32: {found.shift.text()}"
    )
    return 0


def _validation(numbers: Evaluation | FindingsEvaluation) -> str:
    """Return the numbers on the validation images as text."""
    from pneumoscope.evaluation.evaluation import Evaluation  # noqa: PLC0415 - loaded already

    if not isinstance(numbers, Evaluation):
        from pneumoscope.cli.finding_numbers import findings_lines  # noqa: PLC0415 - rare

        return "\n".join(["Validation", *findings_lines(numbers)])
    return (
        f"Validation ({numbers.n:,} images): AUC {numbers['auc'].text()}, sensitivity "
        f"{numbers['sensitivity'].text()}, specificity {numbers['specificity'].text()} at "
        f"probability {numbers.threshold.value:.4g}"
    )

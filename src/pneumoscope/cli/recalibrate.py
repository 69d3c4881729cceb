"""``pneumoscope recalibrate``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pneumoscope.cli.arguments import Verbs, add_json_option, add_verb

if TYPE_CHECKING:
    from argparse import Namespace

    from pneumoscope.evaluation.calibration import Calibration
    from pneumoscope.evaluation.multiclass.calibration import VectorCalibration
    from pneumoscope.workflow.recalibrate import Recalibrated


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "recalibrate",
        run,
        about="Fit calibration, threshold and uncertain zone of a model to your own "
        "labelled images.",
        example="pneumoscope recalibrate runs/first own-scores.csv --out own.onnx",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a run folder or a model file")
    parser.add_argument(
        "scores",
        type=Path,
        metavar="SCORES",
        help="scores of labelled images that the model was not trained on, written by "
        "evaluate --scores",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the new model file"
    )
    parser.add_argument(
        "--method",
        help="temperature or platt; for more than two classes temperature, vector, dirichlet, or"
        " auto, the best of these on patients left out of the fit (default: platt for a model that "
        "has it, otherwise temperature)",
    )
    parser.add_argument(
        "--operating-point",
        metavar="RULE",
        help="youden, 'sensitivity>=0.95', 'specificity>=0.9', 'cost fn=5 fp=1' or "
        "probability=0.5 (default: the model's own rule)",
    )
    parser.add_argument(
        "--error-level",
        type=_error_level,
        default="auto",
        metavar="P",
        help="maximum share of each class that may be misclassified; images that cannot be"
        " classified within this limit are UNCERTAIN (default: auto, chosen from the scores)",
    )
    parser.add_argument(
        "--split", metavar="SET", help="use the rows of this set, if SCORES has a column split"
    )
    add_json_option(parser)


def run(args: Namespace) -> int:
    """Recalibrate, write the new model, and print what changed."""
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415 - after parsing
    from pneumoscope.workflow.evaluate_findings import is_of_findings  # noqa: PLC0415
    from pneumoscope.workflow.recalibrate import recalibrate  # noqa: PLC0415 - onnxruntime

    if is_of_findings(args.model):
        from pneumoscope.cli.finding_numbers import recalibrated_text  # noqa: PLC0415
        from pneumoscope.workflow.recalibrate_findings import (  # noqa: PLC0415
            recalibrate_findings,
        )

        done = recalibrate_findings(
            args.model,
            args.scores,
            args.out,
            method=args.method or "temperature",
            rule=args.operating_point,
            level=args.error_level,
            part=args.split,
            watcher=TerminalWatcher(),
        )
        print(json.dumps(done.to_dict()) if args.json else recalibrated_text(done))
        return 0
    found = recalibrate(
        args.model,
        args.scores,
        args.out,
        method=args.method,
        rule=args.operating_point,
        level=args.error_level,
        part=args.split,
        watcher=TerminalWatcher(),
    )
    print(json.dumps(found.to_dict()) if args.json else _text(found))
    return 0


def _error_level(text: str) -> float | Literal["auto"]:
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(f"must be auto or a number, got {text!r}") from fault


def _text(found: Recalibrated) -> str:
    from pneumoscope.evaluation.conformal import TWO_GROUPS  # noqa: PLC0415 - loaded already
    from pneumoscope.reader.policy import DecisionPolicy  # noqa: PLC0415 - the same

    fitted, point, zone = found.after, found.operating_point, found.conformal
    reached = "; ".join(
        f"{name} {values['value']:.3f} ({values['low']:.3f} to {values['high']:.3f})"
        for name, values in point.achieved.items()
        if isinstance(values, dict)
    )
    loss = f"loss {fitted.loss_after:.4f}, before {fitted.loss_before:.4f}"
    line = _line(fitted)
    lines = [
        f"Calibration ({fitted.method}, {fitted.n:,} images): {line}; {loss}",
        f"Operating point {point.rule}: positive at probability {point.threshold:.4g} or higher",
    ]
    if reached:
        lines.append(f"  on these images: {reached}")
    compared = _losses(fitted)
    if compared:
        lines.insert(1, f"  loss on patients left out of the fit: {compared}")
    two = zone is None or len(zone.quantiles) == 2
    limits = DecisionPolicy(TWO_GROUPS, point, zone).zone if two else None
    if zone is not None and not two:
        lines.append(f"UNCERTAIN if more than one class is plausible at error level {zone.level:g}")
    if zone is not None and limits is not None:
        low, high = limits
        lines.append(
            f"Uncertain at error level {zone.level:g}: probabilities from {low:.3g} to {high:.3g}"
        )
    lines.append(f"Model:  {found.model}")
    return "\n".join(lines)


def _losses(fitted: Calibration | VectorCalibration) -> str:
    """Return the loss of each method that was compared; empty if none were."""
    from pneumoscope.evaluation.calibration import Calibration  # noqa: PLC0415 - loaded already

    if isinstance(fitted, Calibration):
        return ""
    return ", ".join(f"{name} {loss:.4f}" for name, loss in fitted.losses)


def _line(fitted: Calibration | VectorCalibration) -> str:
    """Return scale and bias, by class if there are several."""
    from pneumoscope.evaluation.calibration import Calibration  # noqa: PLC0415 - loaded already

    if isinstance(fitted, Calibration):
        return f"scale {fitted.scale:.4g}, bias {fitted.bias:.4g}"
    if fitted.temperature is not None:
        return f"temperature {fitted.temperature:.4g}"
    if fitted.matrix:
        each = ", ".join(f"{row[place]:.4g}" for place, row in enumerate(fitted.matrix))
        return f"a matrix of {len(fitted.matrix)} classes (diagonal {each})"
    scales, biases = (
        ", ".join(f"{one:.4g}" for one in each) for each in (fitted.scales, fitted.biases)
    )
    return f"scales {scales}, biases {biases}"

"""``pneumoscope adapt``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_json_option, add_verb

if TYPE_CHECKING:
    from argparse import Namespace

    from pneumoscope.workflow.adapt import Adapted


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "adapt",
        run,
        about="Adapt a model to the images of a site, without labels: the normalisation statistics "
        "in the model are moved towards those of the images.",
        example="pneumoscope adapt shipped radiographs/ --out site.onnx",
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="a run folder, a model file, or shipped"
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="files, folders or patterns of at least 100 consecutive unlabelled images",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the new model file"
    )
    parser.add_argument(
        "--reference",
        action="append",
        default=[],
        metavar="IMAGES",
        help="training images of the model, if its file does not contain their statistics",
    )
    parser.add_argument(
        "--strength",
        type=float,
        default=0.1,
        metavar="X",
        help="strength of the adaptation, from 0 to 1; it is multiplied by n / (n + 100) for n "
        "images (default: 0.1)",
    )
    add_json_option(parser)


def run(args: Namespace) -> int:
    """Adapt, write the new model, and print what was done."""
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415 - after parsing
    from pneumoscope.workflow.adapt import adapt  # noqa: PLC0415 - onnxruntime

    found = adapt(
        args.model,
        args.images,
        args.out,
        reference=args.reference,
        strength=args.strength,
        watcher=TerminalWatcher(),
    )
    print(json.dumps(found.to_dict()) if args.json else _text(found))
    return 0


def _text(found: Adapted) -> str:
    counts, far = found.images, found.distance
    left_out = ", ".join(
        f"{counts[name]:,} {name}" for name in ("unreadable", "copies", "refused") if counts[name]
    )
    rows = [
        ("Images", f"{counts['used']:,} used" + (f" ({left_out})" if left_out else "")),
        (
            "Distance",
            (
                f"{far.mean:.3f} standard deviations from training, {far.by_chance:.3f} by chance "
                f"({far.verdict}); spread {far.spread:.2f} of training"
            ),
        ),
        ("Adapted", f"statistics moved {found.share:.0%} towards those of the images"),
        (
            "Positive",
            (
                f"{found.before.positive:.1%} before, {found.after.positive:.1%} now; "
                f"{found.changed:.1%} of the images changed class"
            ),
        ),
        (
            "Logit",
            f"{found.before.mean_logit:+.2f} on average before, {found.after.mean_logit:+.2f} now",
        ),
        ("Model", str(found.model)),
    ]
    return "\n".join(f"{name + ':':<10}{text}" for name, text in rows)

"""``pneumoscope models``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_verb
from pneumoscope.errors import OptionError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from pneumoscope.models.listing import Listed

_HEADER = ("Model", "Parameters", "Multiply-adds", "Input", "Licence of the weights", "Here")
_TELL = """\
Here: whether pretrained weights are on this machine; pneumoscope weights pull NAME downloads them.
This is a selection. For others: pneumoscope models FILTER, such as timm:resnet18 or 'timm:*_tiny*';
pneumoscope models --names lists all names."""


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "models",
        run,
        about="List networks with their size and the licence of their weights, and whether the "
        "weights are available on this machine.",
        example="pneumoscope models convnextv2",
    )
    parser.add_argument(
        "filter",
        nargs="?",
        help="part of a name, or a pattern with * and ? (default: recommended networks)",
    )
    parser.add_argument(
        "--names", action="store_true", help="print only the names of all matching networks"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def run(args: Namespace) -> int:
    """Print the table."""
    from pneumoscope.models.listing import (  # noqa: PLC0415 - after parsing
        chosen_models,
        measured_models,
        names_like,
    )

    if args.filter is None and not args.names:
        _print(chosen_models(), as_json=args.json)
        if not args.json:
            print(_TELL)
        return 0
    names = names_like(args.filter or "*")
    if not names:
        raise OptionError(
            "FILTER", must="part of a model's name", was=args.filter, hint="Try resnet or vit."
        )
    if args.names:
        print(json.dumps(names) if args.json else "\n".join(names))
        return 0
    rows, faults = measured_models(names)
    _print(rows, as_json=args.json)
    for name, reason in faults.items():
        sys.stderr.write(f"warning: {name} could not be measured: {reason}\n")
    return 0 if rows else 1


def _print(rows: Sequence[Listed], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    here = {True: "yes", False: "no", None: "-"}
    cells = [
        (
            row.name,
            _short(row.parameters),
            _short(row.multiply_adds),
            f"{row.input_px}x{row.input_px}",
            row.licence or "-",
            here[row.here],
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (_HEADER, *cells)) for column in range(6)]
    for line in (_HEADER, *cells):
        print(
            "  ".join(
                cell.rjust(width) if column in {1, 2, 3} else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
        )


def _short(number: int) -> str:
    return f"{number / 1e9:.2f} G" if number >= 1e9 else f"{number / 1e6:.2f} M"

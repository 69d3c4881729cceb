"""``pneumoscope runs``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_json_option, add_verb
from pneumoscope.errors import OptionError

if TYPE_CHECKING:
    from argparse import Namespace

    from pneumoscope.workflow.list_runs import ListedRun


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "runs",
        run,
        about="List runs with their differences from the preset and their results; 'runs diff A B' "
        "shows two runs side by side.",
        example="pneumoscope runs runs --sort auc --where preset=seed",
    )
    parser.add_argument(
        "places", type=Path, nargs="*", metavar="DIR",
        help="a folder of runs (default: runs); or: diff A B",
    )  # fmt: skip
    parser.add_argument(
        "--sort", metavar="METRIC", help="sort by a metric, such as auc, the best first"
    )
    parser.add_argument(
        "--where",
        action="append",
        metavar="FIELD=VALUE",
        help="only runs with this value in the recipe",
    )
    add_json_option(parser)


def run(args: Namespace) -> int:
    """List runs, or compare two side by side."""
    from pneumoscope.workflow.list_runs import chosen, find_runs  # noqa: PLC0415 - after parsing

    if args.places and str(args.places[0]) == "diff":
        return _diff(args)
    if len(args.places) > 1:
        raise OptionError("places", must="one folder, or diff and two runs", was=args.places)
    root = args.places[0] if args.places else Path("runs")
    found = chosen(find_runs(root), where=args.where or (), sort=args.sort)
    if args.json:
        print(json.dumps([_as_json(each) for each in found]))
        return 0
    for line in _lines(found, root):
        print(line)
    return 0


def _as_json(found: ListedRun) -> dict[str, object]:
    return {
        "run": str(found.place), "part": found.part, "numbers": dict(found.numbers),
        "differs": dict(found.differs), "preset": found.recipe.get("preset"),
    }  # fmt: skip


def _lines(found: list[ListedRun], root: Path) -> list[str]:
    from pneumoscope.workflow.list_runs import word  # noqa: PLC0415 - after parsing

    names = [str(each.place.relative_to(root)) for each in found]
    width = max([3, *map(len, names)])
    lines = [f"{'run':{width}}  {'preset':9} {'part':9} {'AUC':7} {'accuracy':8} epochs  changes"]
    for name, each in zip(names, found, strict=True):
        auc, accuracy = (
            f"{each.numbers[key]:.4f}" if key in each.numbers else "" for key in ("auc", "accuracy")
        )
        epochs = f"{each.numbers['epochs']:.0f}" if "epochs" in each.numbers else ""
        differs = ", ".join(f"{key} {word(value)}" for key, value in each.differs.items())
        preset = str(each.recipe.get("preset", ""))
        part = each.part or ("begun" if epochs else "")
        lines.append(
            f"{name:{width}}  {preset:9} {part:9} {auc:7} {accuracy:8} {epochs:>6}  {differs}"
        )
    return lines


def _diff(args: Namespace) -> int:
    from pneumoscope.workflow.list_runs import read_run, side_by_side  # noqa: PLC0415 - as above

    if len(args.places) != 3:
        raise OptionError("diff", must="followed by two runs", was=[*map(str, args.places[1:])])
    first, second = (read_run(place) for place in args.places[1:])
    rows = [("", str(first.place), str(second.place)), *side_by_side(first, second)]
    if args.json:
        print(json.dumps([{"what": what, "first": a, "second": b} for what, a, b in rows[1:]]))
        return 0
    if len(rows) == 1:
        print("The runs do not differ in recipe, data, versions or numbers.")
        return 0
    widths = [min(60, max(len(row[column]) for row in rows)) for column in range(2)]
    for what, own, other in rows:
        print(f"{what:{widths[0]}}  {own:{widths[1]}}  {other}".rstrip())
    return 0

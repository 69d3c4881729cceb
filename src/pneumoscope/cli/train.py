"""``pneumoscope train``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.cli.arguments import (
    Parser,
    Verbs,
    add_data_options,
    add_verb,
    data_options_of,
    numbers,
)
from pneumoscope.cli.ending import INTERRUPTED
from pneumoscope.cli.tracking import add_tracker_options, trackers_of
from pneumoscope.errors import OptionError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from pneumoscope.evaluation.new_patients import NewPatients
    from pneumoscope.training.devices import Placement
    from pneumoscope.training.recipe import Recipe
    from pneumoscope.training.settings import Setting
    from pneumoscope.watch import Watcher
    from pneumoscope.workflow.train import Trained

_KINDS: dict[type, Callable[[str], object]] = {int: int, float: float, str: str, tuple: numbers}
_METAVARS = {int: "N", float: "X"}


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    from pneumoscope.training.recipe import ABOUT, PRESETS  # noqa: PLC0415 - only used by this command

    parser = add_verb(
        verbs,
        "train",
        run,
        about="Train a reader on a folder of X-rays; writes a model file, a log, figures "
        "and a report.",
        example="pneumoscope train chest_xray --out runs/first",
    )
    parser.add_argument(
        "data", type=Path, help="split folders, class folders, a CSV, or a public data set"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="run folder; must not exist unless --resume is given",
    )
    parser.add_argument("--resume", action="store_true", help="resume the run or runs in --out")
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="train N runs on one split with consecutive seeds, starting at --seed, in OUT/seed-…",
    )
    presets = parser.add_argument_group(
        "recipe", "\n".join(f"{name:9} {about}" for name, about in ABOUT.items())
    ).add_argument
    presets("--preset", metavar="NAME", help=f"the preset: {', '.join(PRESETS)} (default: seed)")
    presets("--config", type=Path, metavar="FILE", help="recipe file to use instead of a preset")
    _add_recipe(parser)
    add_data_options(parser)
    machine = parser.add_argument_group("machine").add_argument
    machine("--accelerator", default="auto", help="auto, cpu, gpu or mps")
    machine("--devices", default="auto", metavar="N", help="number of devices")
    machine("--nodes", type=int, default=1, metavar="N", help="number of machines")
    machine("--strategy", default="auto", help="Lightning's strategy, such as ddp")
    machine("--workers", type=int, metavar="N", help="number of decoding threads")
    add_tracker_options(parser)


_TITLES = {
    "data": "data (images and their preparation)",
    "learning": "learning (network and training)",
    "decision": "decision policy (fitted after training)",
}


def _add_recipe(parser: Parser) -> None:
    """Add an option for each setting of the recipe, in groups."""
    from pneumoscope.training.recipe import settings  # noqa: PLC0415

    for part, items in settings().items():
        group = parser.add_argument_group(_TITLES[part])
        for item in items:
            if item.flag != "":
                group.add_argument(_flag(item), dest=item.name, default=None, **_spelt(item))
        if part == "data":
            group.add_argument(
                "--split-file", type=Path, metavar="FILE", help="read the split from this CSV file"
            )


def _flag(item: Setting) -> str:
    return f"--{item.flag or item.name.replace('_', '-')}"


def _spelt(item: Setting) -> dict[str, Any]:
    """Return the argparse arguments of a setting, with its preset values in the help."""
    words = f": {', '.join(item.choices)}" if item.choices else ""
    text = f"{item.about}{words}{_defaults(item)}".replace("%", "%%")
    if item.kind is bool:
        return {"action": argparse.BooleanOptionalAction, "help": text}
    metavar = item.metavar or _METAVARS.get(item.kind)
    return {"type": _type(item), "help": text} | ({"metavar": metavar} if metavar else {})


def _type(item: Setting) -> Callable[[str], object]:
    """Return the conversion from text for a setting."""
    of_text = _KINDS[item.kind]
    if not item.words:
        return of_text

    def number_or_word(text: str) -> object:
        return text if text in item.words else of_text(text)

    number_or_word.__name__ = item.kind.__name__  # argparse reports texts that are neither
    return number_or_word


def _defaults(item: Setting) -> str:
    """Return the value in the default preset, and in others if different."""
    from pneumoscope.training.recipe import PRESETS  # noqa: PLC0415

    values = {name: _word(recipe.value(item.name)) for name, recipe in PRESETS.items()}
    first = values.pop("seed")
    defaults = [f"default: {first}"] if first else []
    defaults += [f"{name}: {value}" for name, value in values.items() if value not in {"", first}]
    return f" ({'; '.join(defaults)})" if defaults else ""


def _word(value: object) -> str:
    """Return a value as written on the command line."""
    from pneumoscope.training.augmentation import AUGMENTATIONS  # noqa: PLC0415

    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return ""
        case float():
            return f"{value:g}"
    named = [name for name, known in AUGMENTATIONS.items() if known == value]
    return named[0] if named else str(value)


def run(args: Namespace) -> int:
    """Train, and print the results."""
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415 - after parsing

    watcher = TerminalWatcher()
    recipe = _recipe(args)
    if args.seeds is not None:
        return _run_seeds(args, recipe, watcher)
    trained = _trained(args, recipe, watcher)
    if trained is None:
        return 0
    _print_results(trained)
    if trained.fitted.interrupted:
        watcher.warn("ended by Ctrl-C; repeat the command with `resume` to continue.")
        return INTERRUPTED
    return 0


def _recipe(args: Namespace) -> Recipe | None:
    """Return the recipe given by the options; None if a run has its own."""
    from pneumoscope.training.recipe import (  # noqa: PLC0415
        Recipe,
        change_recipe,
        recipe_of,
        settings,
    )

    changes = {
        item.name: getattr(args, item.name)
        for items in settings().values()
        for item in items
        if item.flag != "" and getattr(args, item.name) is not None
    }
    changes |= data_options_of(args)
    if args.preset and args.config:
        raise OptionError("config", must="omitted if `preset` is given", was=args.config)
    if not args.resume:
        base = Recipe.load(args.config) if args.config else recipe_of(args.preset or "seed")
        _take_split_file(changes, args)
        return change_recipe(base, **changes)
    if changes or args.preset or args.config:
        given = sorted({*changes, *(name for name in ("preset", "config") if vars(args)[name])})
        raise OptionError(
            "resume",
            must="used without recipe options, since the run has its own recipe",
            was=given,
        )
    return None


def _placement(args: Namespace) -> Placement:
    from pneumoscope.training.devices import Placement  # noqa: PLC0415 - torch

    return Placement(args.accelerator, args.devices, args.nodes, args.strategy)


def _trained(args: Namespace, recipe: Recipe | None, watcher: Watcher) -> Trained | None:
    """Train, and report to the trackers."""
    from pneumoscope.runs import RunFolder  # noqa: PLC0415 - after parsing
    from pneumoscope.workflow.track import (  # noqa: PLC0415
        Tracked,
        tracked_findings,
        tracked_numbers,
    )
    from pneumoscope.workflow.train import train_reader  # noqa: PLC0415

    trackers = trackers_of(args, args.out, watcher.warn, nested=False)
    tracked = Tracked(RunFolder(args.out), trackers)
    try:
        trained = train_reader(
            args.data,
            args.out,
            recipe=recipe,
            split_file=args.split_file,
            placement=_placement(args),
            resume=args.resume,
            workers=args.workers,
            on_epoch=tracked.epoch if trackers else None,
            watcher=watcher,
        )
        if trained is not None:
            reached = tracked_numbers(trained.evaluations) | tracked_findings(trained.findings)
            tracked.end(reached)
    except BaseException:
        tracked.end({}, failed=True)
        raise
    finally:
        for tracker in trackers:
            tracker.close()
    return trained


def _run_seeds(args: Namespace, recipe: Recipe | None, watcher: Watcher) -> int:
    """Train with several seeds, and print mean and spread."""
    from pneumoscope.training.recipe import Recipe  # noqa: PLC0415
    from pneumoscope.workflow.seeds import MAIN, OF_CLASSES, SUMMARY, train_seeds  # noqa: PLC0415
    from pneumoscope.workflow.side_by_side import devices  # noqa: PLC0415
    from pneumoscope.workflow.track import Tracked, numbers_by_run  # noqa: PLC0415
    from pneumoscope.workflow.vary import BASE  # noqa: PLC0415

    found = train_seeds(
        args.data,
        args.out,
        recipe=recipe or Recipe.load(args.out / BASE),
        seeds=args.seeds,
        split_file=args.split_file,
        placement=_placement(args),
        places=devices() if args.devices == "auto" else (),
        workers=args.workers,
        resume=args.resume,
        watcher=watcher,
    )
    trackers = trackers_of(args, args.out, watcher.warn)
    for run, reached in zip(found.runs, numbers_by_run(found.numbers), strict=True):
        Tracked(run, trackers).end(reached)
    for tracker in trackers:
        tracker.close([found.report])
    for part, group in found.groups.items():
        title = {"val": "Validation", "test": "Test"}[part]
        print(f"{title}, {args.seeds} seeds, mean ± standard deviation (lowest to highest):")
        for name in (name for name in (*MAIN, *OF_CLASSES) if name in group.mean):
            lowest, highest = (
                pick(run[name] for run in found.numbers[part]) for pick in (min, max)
            )
            print(
                f"  {name.replace('_', ' '):26} {group.mean[name]:.4f} "
                f"± {group.deviation[name]:.4f}  "
                f"({lowest:.4f} to {highest:.4f})"
            )
    print(f"Kept: {found.kept.root}, chosen by its validation loss")
    print(f"All numbers: {args.out / SUMMARY}")
    return 0


def _take_split_file(changes: dict[str, Any], args: Namespace) -> None:
    """Set the recipe's validation to ``file`` if a split file is given."""
    if args.split_file is None:
        return
    if changes.setdefault("validation", "file") not in {"file", "groups"}:
        raise OptionError(
            "split_file", must="omitted if `validation` draws the rows", was=args.split_file
        )


_TOLD = {
    "classes-swapped", "one-class", "no-better-than-chance", "threshold-does-not-fit",
    "calibration-without-end",
}  # fmt: skip


def _print_new_patients(found: NewPatients) -> None:
    """Print the expected performance on new patients."""
    print(f"New patients: {len(found.groups)} groups by {found.by}, held out in turn")
    for group in found.groups:
        text = ", ".join(
            f"{name} {group.found.numbers[key].text()}"
            for key, name in (
                ("auc", "AUC"), ("sensitivity", "sensitivity"), ("specificity", "specificity"),
                ("ece", "ECE"),
            )
        )  # fmt: skip
        print(f"  {group.name} ({group.n:,} images): {text}")
    for name in ("sensitivity", "specificity"):
        own = found.expected.get(name)
        if own is not None and own.block is not None and own.optimism is not None:
            print(
                f"  Expected {name} {own.mean.with_range()}, from {own.lowest:.3f} to "
                f"{own.highest:.3f}; block validation {own.block:.3f} "
                f"(optimism {own.optimism:+.3f})"
            )


def _print_results(trained: Trained) -> None:
    for part, about in trained.findings.items():
        from pneumoscope.cli.finding_numbers import findings_lines  # noqa: PLC0415 - rare

        print({"val": "Validation", "test": "Test"}[part])
        print("\n".join(findings_lines(about)))
    for part, found in trained.evaluations.items():
        name = {"val": "Validation", "test": "Test"}[part]
        print(
            f"{name} ({found.n:,} images): AUC {found['auc'].text()}, sensitivity "
            f"{found['sensitivity'].text()}, specificity {found['specificity'].text()}, accuracy "
            f"{found['accuracy'].text()}, balanced accuracy {found['balanced_accuracy'].text()}"
        )
        own = found.by_class
        if own is not None:
            each = ", ".join(
                f"{label} {numbers['auc'].text()}"
                for label, numbers in zip(own.labels.names, own.by_class, strict=True)
            )
            print(
                f"  {len(own.labels)} classes: accuracy {own['accuracy'].text()}, balanced "
                f"accuracy {own['balanced_accuracy'].text()}, AUC of each against the rest: {each}"
            )
        for note in found.notes:
            if note.code in _TOLD:
                print(f"  {note.text}")
    if trained.new_patients is not None:
        _print_new_patients(trained.new_patients)
    print(f"Model:  {trained.run.model}\nReport: {trained.run.report}")

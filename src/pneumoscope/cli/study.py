"""``pneumoscope study``."""

from __future__ import annotations

import argparse
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_verb
from pneumoscope.cli.tracking import add_tracker_options, trackers_of
from pneumoscope.errors import MissingArgumentError, OptionError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from pneumoscope.cli.terminal import TerminalWatcher
    from pneumoscope.study.board import Board

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600}


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "study",
        run,
        about="Train many readers, as listed in a plan or chosen by a search, and report which "
        "settings mattered.",
        example="pneumoscope study chest_xray --plan report --out studies/report",
    )
    parser.add_argument(
        "data", type=Path, help="data as for train; 'show DIR' prints an existing study"
    )
    parser.add_argument("folder", type=Path, nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="study folder; an existing study is continued")
    parser.add_argument(
        "--plan",
        metavar="PLAN",
        help="the plan: report (the experiments of the student project report on which this "
        "package is based), or a YAML file (default: report)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="number of parallel runs, limited by memory",
    )
    parser.add_argument("--retry", action="store_true", help="repeat failed runs")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the runs and their maximum duration"
    )
    search = parser.add_argument_group("search").add_argument
    search(
        "--optimise",
        metavar="METRIC",
        help="search for a recipe: val_auc, val_accuracy or val_loss",
    )
    search("--trials", type=int, default=40, metavar="N", help="number of trials (default: 40)")
    search("--time", type=duration, metavar="TIME", help="time limit, such as 90m or 2h")
    search(
        "--sampler",
        default="tpe",
        metavar="HOW",
        help="sampler: tpe, random or grid (default: tpe)",
    )
    search(
        "--pruning", default="median", metavar="HOW",
        help="early stopping of poor trials: median, hyperband, halving or none (default: median)",
    )  # fmt: skip
    search(
        "--confirm", type=int, default=3, metavar="N",
        help="number of additional seeds for the best recipe and for the recipe that the search "
        "started from (default: 3)",
    )  # fmt: skip
    search(
        "--name", metavar="NAME", help="name of the search in --storage (default: that of --out)"
    )
    search(
        "--heartbeat", type=int, default=60, metavar="SECONDS",
        help="seconds between the heartbeats of a worker; without a heartbeat for twice this time, "
        "its trial is assigned to another worker (default: 60)",
    )  # fmt: skip
    search(
        "--sampler-seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the sampler (default: 0)",
    )
    search(
        "--storage", metavar="URL",
        help="storage of the trials: postgresql://… to share it between machines (default: a "
        "file in --out)",
    )  # fmt: skip
    add_tracker_options(parser)


def duration(text: str) -> float:
    """Parse a duration such as ``90m``, ``2h`` or ``1h30m`` into seconds.

    Raises:
        argparse.ArgumentTypeError: The text has another form.
    """
    found = re.findall(r"(\d+(?:\.\d+)?)(s|min|m|h)", text)
    if not found or "".join(number + unit for number, unit in found) != text:
        raise argparse.ArgumentTypeError(f"must be a time such as 90m or 2h, got {text!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in found)


def run(args: Namespace) -> int:
    """Run or show a study, and print its results."""
    if str(args.data) == "show":
        return _show(args)
    if args.folder is not None:
        raise OptionError("folder", must="given only after show", was=str(args.folder))
    if args.out is None:
        raise MissingArgumentError("`out`, the folder of the study, is required.")
    if args.optimise is not None:
        return _search(args)
    return _plan(args)


def _show(args: Namespace) -> int:
    from pneumoscope.study.folder import StudyFolder  # noqa: PLC0415 - after parsing
    from pneumoscope.study.report import write_study_page  # noqa: PLC0415
    from pneumoscope.study.table import table_text  # noqa: PLC0415

    place = args.folder or args.out
    if place is None:
        raise MissingArgumentError("the folder of a study is required: `study(show, DIR)`")
    folder = StudyFolder(place)
    print(table_text(folder))
    page = write_study_page(folder)
    for sentence in page.sentences:
        print(sentence)
    print(f"Page: {page.place}")
    return 0


def _plan(args: Namespace) -> int:
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415 - after parsing
    from pneumoscope.study.conduct import conduct  # noqa: PLC0415
    from pneumoscope.study.plan import read_plan  # noqa: PLC0415
    from pneumoscope.study.report import write_study_page  # noqa: PLC0415

    watcher = TerminalWatcher()
    plan = read_plan(args.plan or "report")
    if not plan.questions:
        raise OptionError("plan", must="a plan with questions", was=args.plan)
    if args.dry_run:
        from pneumoscope.study.forecast import forecast_text  # noqa: PLC0415 - torch

        print(forecast_text(args.data, plan, jobs=args.jobs, watcher=watcher))
        return 0
    trackers = trackers_of(args, args.out, watcher.warn)
    page = None
    try:
        with live(watcher) as show:
            folder = conduct(
                args.data, args.out, plan=plan, jobs=args.jobs, retry=args.retry,
                trackers=trackers, show=show, watcher=watcher,
            )  # fmt: skip
        page = write_study_page(folder)
    finally:
        for tracker in trackers:
            tracker.close([page.place] if page else [])
    for sentence in page.sentences:
        print(sentence)
    print(f"Page: {page.place}")
    return 1 if page.failed else 0


def _search(args: Namespace) -> int:
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415 - after parsing
    from pneumoscope.study.hunt import Hunt  # noqa: PLC0415
    from pneumoscope.study.plan import read_plan  # noqa: PLC0415
    from pneumoscope.study.report import write_study_page  # noqa: PLC0415
    from pneumoscope.study.search import search  # noqa: PLC0415

    watcher = TerminalWatcher()
    plan = read_plan(args.plan or "report")
    hunt = Hunt(
        number=args.optimise,
        trials=args.trials,
        seconds=args.time,
        sampler=args.sampler,
        seed=args.sampler_seed,
        pruning=args.pruning,
        storage=args.storage,
        name=args.name,
        confirm=args.confirm,
        heartbeat_seconds=args.heartbeat,
        jobs=args.jobs,
    )
    trackers = trackers_of(args, args.out, watcher.warn)
    page = None
    try:
        folder = search(
            args.data, args.out, plan=plan, hunt=hunt, trackers=trackers, watcher=watcher
        )
        page = write_study_page(folder)
    finally:
        for tracker in trackers:
            tracker.close([page.place] if page else [])
    for sentence in page.sentences:
        print(sentence)
    print(f"Page: {page.place}")
    return 0


@contextmanager
def live(watcher: TerminalWatcher) -> Iterator[Callable[[Board], None] | None]:
    """Yield a callback that shows the table of a study; None if standard error is no terminal."""
    if not watcher.console.is_terminal:
        yield None
        return
    from rich.live import Live  # noqa: PLC0415 - only for terminals

    with Live(console=watcher.console, auto_refresh=False, transient=True) as shown:
        yield lambda board: shown.update(board_table(board), refresh=True)


def board_table(board: Board) -> Table:
    """Return the table of a running study."""
    from rich.table import Table  # noqa: PLC0415 - the same

    left, best = board.seconds_left, board.best
    title = f"{len(board.done)} of {board.total} runs done"
    if board.failed:
        title += f", {len(board.failed)} failed"
    if left is not None and board.left:
        title += f", about {left / 60:.0f} min left"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("run", "state", "validation AUC"):
        table.add_column(column)
    for name, epochs in board.running.items():
        table.add_row(name, f"running, epoch {epochs}" if epochs else "running", "")
    for name, error in list(board.failed.items())[-3:]:
        table.add_row(name, "failed", error[:60])
    for name, (area, _) in list(board.done.items())[-3:]:
        table.add_row(name, "done", f"{area:.4f}")
    if best:
        table.add_row(f"best so far: {best[0]}", "", f"{best[1]:.4f}")
    return table

"""``pneumoscope predict --engine``: read an archive with many workers into a folder of parts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pneumoscope.cli.predict_usage import FAIL_ON, OUTSIDE, SOME_UNREADABLE, fail_on
from pneumoscope.cli.predictions import summary
from pneumoscope.cli.terminal import TerminalWatcher
from pneumoscope.cluster.run import Listeners, read_archive
from pneumoscope.cluster.shards import SIZE
from pneumoscope.errors import OptionError
from pneumoscope.reader.predictor import Predictor

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from pneumoscope.cluster.supervise import Engine, Progress
    from pneumoscope.cluster.work import Job

_EVERY_SECONDS = 60.0


def run_on_workers(args: Namespace) -> int:
    """Read the archive, and print the summary."""
    import pyarrow  # noqa: F401, PLC0415 - missing, it must show before anything is begun

    predictor = Predictor(args.model, gated=not args.no_gate, outside=args.outside_intended_use)
    if args.outside_intended_use != OUTSIDE[0] and not predictor.info.intended:
        raise OptionError(
            "--outside-intended-use",
            must="omitted: this model states no intended use",
            was=args.outside_intended_use,
        )
    wanted = fail_on(args.fail_on, predictor.info)
    watcher = TerminalWatcher()
    try:
        with watcher.progress("Reading") as bar:
            outcome = read_archive(
                args.images,
                args.out,
                predictor=predictor,
                engine=lambda job: _engine(args, job),
                listed_in=args.paths_from,
                shard_size=SIZE if args.shard_size is None else args.shard_size,
                resume=args.resume,
                retry_errors=args.retry_errors,
                listeners=Listeners(_Shown(watcher, bar).hear, watcher.say),
            )
    except KeyboardInterrupt:
        watcher.say("The finished parts are kept; repeat the command with --resume to continue.")
        raise
    tally = outcome.tally
    if args.resume:
        watcher.say(f"{outcome.read:,} read in this run.")
    watcher.say(f"{summary(tally)} Written to {args.out}")
    if outcome.deaths:
        watcher.warn(
            f"{outcome.deaths:,} workers ended while reading; {outcome.given_up:,} shards were "
            "given up, and their images have the conclusion ERROR"
        )
    for line in tally.lines():
        watcher.warn(line)
    if any(tally.conclusions[name] for name in wanted):
        return FAIL_ON
    return SOME_UNREADABLE if tally.conclusions["ERROR"] else 0


def _engine(args: Namespace, job: Job) -> Engine:
    if args.engine == "ray":
        from pneumoscope.cluster.ray_engine import RayEngine  # noqa: PLC0415 - one of two

        return RayEngine(job, address=args.address, workers=args.workers)
    from pneumoscope.cluster.process_engine import ProcessEngine  # noqa: PLC0415 - the same

    return ProcessEngine(job, workers=args.workers)


class _Shown:
    """Shows the progress of a run: a bar with the number of failures, and a line per minute."""

    def __init__(self, watcher: TerminalWatcher, bar: Callable[[int, int], None]) -> None:
        self._watcher = watcher
        self._bar = bar
        self._said = time.monotonic()

    def hear(self, progress: Progress, images: int) -> None:
        """Show an update, which may contain nothing new."""
        failed = f"{progress.unreadable:,} unreadable, {progress.deaths:,} workers ended"
        self._bar(progress.images, max(progress.images, images))
        if progress.unreadable or progress.deaths:
            self._watcher.retitle(f"Reading ({failed})")
        if time.monotonic() - self._said > _EVERY_SECONDS:
            self._said = time.monotonic()
            self._watcher.say(f"{progress.images:,} of {images:,} images found so far; {failed}")

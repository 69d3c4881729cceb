"""Read an archive into a folder of parts, in a run that can be interrupted and resumed."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.cluster import parts
from pneumoscope.cluster.listing import list_archive
from pneumoscope.cluster.shards import SIZE, Plan, Shard, archive_changed, cut
from pneumoscope.cluster.supervise import Engine, Progress, Supervisor
from pneumoscope.cluster.work import Job, lost_part
from pneumoscope.errors import OutputError
from pneumoscope.runs import locked_folder, write_json

if TYPE_CHECKING:
    from pneumoscope.reader.archive.summary import RunSummary
    from pneumoscope.reader.predictor import Predictor

RUN, PLAN, SUMMARY = "_run.json", "_plan", "_summary.json"
"""Files next to the parts; readers of Parquet folders ignore names with this prefix."""

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run.

    Attributes:
        tally: The combined counts of all parts.
        read: Number of images read in this run.
        deaths: Number of workers that died while reading.
        given_up: Number of shards that were given up after ending three workers.
    """

    tally: RunSummary
    read: int = 0
    deaths: int = 0
    given_up: int = 0


@dataclass(frozen=True, slots=True)
class Listeners:
    """Callbacks of a run.

    Attributes:
        progress: Called with the progress of this run and the number of images known so far.
        say: Called with messages for the user.
    """

    progress: Callable[[Progress, int], None] = lambda *_: None
    say: Callable[[str], None] = lambda _: None


def read_archive(
    archive: Sequence[str],
    out: Path,
    *,
    predictor: Predictor,
    engine: Callable[[Job], Engine],
    listed_in: str | None = None,
    shard_size: int = SIZE,
    resume: bool = False,
    retry_errors: bool = False,
    listeners: Listeners | None = None,
) -> Outcome:
    """Read an archive into a folder of Parquet parts.

    In the order of their names, the parts contain the rows of ``predict --out results.parquet`` on
    one machine. ``_summary.json`` next to them is the summary of such a run.

    Args:
        archive: The images, as for ``list_archive``.
        out: The output folder.
        predictor: The reader, whose settings the workers use.
        engine: Creates the engine; not called if nothing is left to read.
        listed_in: A list or manifest of images.
        shard_size: Images per part, an even number.
        resume: Whether to continue an existing run.
        retry_errors: Whether to read parts with unreadable images again.
        listeners: Callbacks.

    Raises:
        DataError: The archive contains no image, or cannot be listed.
        OptionError: The shard size is odd.
        OutputError: The folder contains other files, another process writes to it, or it cannot be
            written; or the archive changed before a killed run had listed it completely.
        EngineError: The workers do not start, or one failed for a reason other than an image.
        ModelFileError: The model failed its self-test.
    """
    what = {
        "format": _FORMAT,
        "model": predictor.sha256,
        "archive": [*archive],
        "listed_in": listed_in,
        "gate": predictor.gated,
        "outside_intended_use": predictor.outside,
        "shard_size": shard_size,
    }
    predictor.check()
    heard = listeners or Listeners()
    others: Counter[str] = Counter()
    known = _is_continued(out, what, resume=resume)
    plan = Plan(out / PLAN)
    shards: Iterator[Shard] = iter(())
    if plan.end is None:
        shards = cut(list_archive(archive, listed_in=listed_in, others=others), shard_size)
    if not known:
        _begin(out, what)
    with locked_folder(out), contextlib.closing(_Run(out, plan, predictor, heard)) as run:
        run.clean()
        there = parts.parts_in(out)
        again = parts.with_errors(out, sorted(there)) if retry_errors else set()
        plan.start(shards, others=others, check=run.check_of(there))
        progress = run.read(there - again, engine)
        tally = run.finish()
    return Outcome(tally, progress.images, progress.deaths, progress.given_up)


def _is_continued(out: Path, what: dict[str, Any], *, resume: bool) -> bool:
    """Return whether the folder contains a run that can be resumed."""
    try:
        before = json.loads((out / RUN).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputError(
                f"{out} exists already and is not the result of such a run; choose another `out`."
            ) from None
        return False
    except (OSError, ValueError) as fault:
        raise OutputError(
            f"{out / RUN}: cannot be read ({fault}); choose another `out`."
        ) from fault
    if not resume:
        raise OutputError(
            f"{out} exists already; continue it with `resume`, or choose another `out`."
        )
    if before != what:
        held = before if isinstance(before, dict) else {}
        changed = [name for name, value in what.items() if held.get(name) != value]
        raise OutputError(
            f"{out}: the run was started with other settings "
            f"({', '.join(changed) or 'its options'}); use the same settings with `resume`, or "
            "choose another `out`."
        )
    return True


def _begin(out: Path, what: dict[str, Any]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise OutputError(f"{out}: cannot be created ({fault.strerror}).") from fault
    write_json(out / RUN, what)


class _Run:
    """A run with its folder locked."""

    def __init__(self, out: Path, plan: Plan, predictor: Predictor, heard: Listeners) -> None:
        self._out = out
        self._plan = plan
        self._predictor = predictor
        self._heard = heard
        self._number = 0

    def close(self) -> None:
        self._plan.stop()

    def clean(self) -> None:
        """Remove temporary files of killed runs."""
        for folder in (self._out, self._out / PLAN):
            for torn in folder.glob(".*.part"):
                torn.unlink(missing_ok=True)

    def check_of(self, there: set[int]) -> Callable[[Shard], None]:
        """Raise an error if existing parts do not belong to the plan."""

        def check(shard: Shard) -> None:
            if shard.number in there:
                facts = parts.facts_of(self._out, shard.number)
                if facts["digest"] != shard.digest:
                    raise archive_changed(shard)

        return check

    def read(self, there: set[int], engine: Callable[[Job], Engine]) -> Progress:
        """Read the shards without a part, and return the number of images."""
        first: list[Shard] = []
        while not first:
            try:
                shard = self._following(there)
            except StopIteration:
                return Progress()
            first += [shard] if shard else []

        def following() -> Shard | None:
            return first.pop() if first else self._following(there)

        workers = engine(Job.of(self._predictor))
        try:
            return Supervisor(
                workers,
                following,
                put=lambda part: parts.put(self._out, part),
                lost=lambda shard, times, reason: lost_part(
                    self._predictor, shard, times=times, reason=reason
                ),
                told=lambda done: self._heard.progress(done, self._plan.images),
                say=self._heard.say,
            ).run()
        finally:
            workers.close()

    def finish(self) -> RunSummary:
        """Write the summary of all parts, and return it."""
        end = self._plan.end
        assert end is not None  # noqa: S101 - there are no more shards
        tally = parts.tally_of(
            self._out, range(end.shards), self._predictor.info.reference, others=end.others
        )
        if tally.images != end.images:
            raise OutputError(
                f"{self._out}: its parts have {tally.images:,} rows for {end.images:,} images; "
                "was a part modified?"
            )
        write_json(self._out / SUMMARY, tally.to_dict())
        return tally

    def _following(self, there: set[int]) -> Shard | None:
        """Return the next shard without a part; None if it is not planned yet."""
        while True:
            planned = self._plan.has(self._number, timeout=0.2)
            if planned is None:
                return None
            if not planned:
                raise StopIteration
            number = self._number
            self._number += 1
            if number not in there:
                return self._plan.shard(number)

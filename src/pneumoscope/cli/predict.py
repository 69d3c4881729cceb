"""``pneumoscope predict``."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pneumoscope.cli.arguments import Verbs, add_verb
from pneumoscope.cli.predict_usage import (
    FAIL_ON,
    OUTSIDE,
    SOME_UNREADABLE,
    STDIN,
    add_conclusion_options,
    add_output_options,
    fail_on,
    refuse_senseless,
)
from pneumoscope.errors import DataError, OptionError, OutputError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections import Counter
    from collections.abc import Callable, Iterator

    from pneumoscope.reader.archive.inputs import Unlisted
    from pneumoscope.reader.archive.summary import RunSummary
    from pneumoscope.reader.model_file.metadata import ModelInfo
    from pneumoscope.reader.predictor import Predictor
    from pneumoscope.reader.records import Record

    Source = str | bytes | Unlisted

_POSITIVE = "POSITIVE"
"""The same as in ``reader.findings``, which is only loaded for models of findings."""
_GO_ON = "repeat the command with --resume to continue"


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "predict",
        run,
        about="Read images and print a conclusion for each. The exit code is 3 if some are "
        "unreadable.",
        example="pneumoscope predict a.jpeg b.png folder/ --model runs/first",
    )
    parser.add_argument(
        "images",
        nargs="*",
        help="image files, folders and patterns such as 'x/*.png'; - for one image on standard "
        "input",
    )
    parser.add_argument(
        "--paths-from",
        metavar="FILE",
        help="read paths from a file, one per line; - for standard input",
    )
    parser.add_argument(
        "--model",
        type=Path,
        help="a run folder or a model file (default: shipped, the included reader)",
    )
    add_output_options(parser)
    add_conclusion_options(parser)


def run(args: Namespace) -> int:
    """Read the images, and print each result as soon as it is ready."""
    refuse_senseless(args)
    if args.engine:
        from pneumoscope.cli.predict_cluster import run_on_workers  # noqa: PLC0415 - rare

        return run_on_workers(args)
    one = _is_one_file(args)

    # Other modules needed for reading are loaded while ONNX Runtime opens the graph.
    from pneumoscope.reader.model_file.session import Graph  # noqa: PLC0415 - after parsing

    graph = Graph(args.model, few=one)

    from collections import Counter  # noqa: PLC0415 - after parsing

    from pneumoscope.reader.archive.summary import RunSummary  # noqa: PLC0415
    from pneumoscope.reader.predictor import Predictor  # noqa: PLC0415

    predictor = Predictor(graph, gated=not args.no_gate, outside=args.outside_intended_use)
    if args.outside_intended_use != OUTSIDE[0] and not predictor.info.intended:
        raise OptionError(
            "--outside-intended-use",
            must="omitted: this model states no intended use",
            was=args.outside_intended_use,
        )
    import_module("PIL.JpegImagePlugin")
    others: Counter[str] = Counter()
    checks = _checks(args, others)
    wanted = fail_on(args.fail_on, predictor.info)
    if not predictor.draws_evidence and args.evidence:  # last, since it waits for the graph
        raise OptionError(
            "--evidence", must="omitted: this model provides no evidence", was=str(args.evidence)
        )
    if args.evidence_of is not None and (
        not args.evidence or args.evidence_of not in predictor.info.classes
    ):
        raise OptionError(
            "--evidence-of",
            must=f"combined with --evidence, and one of {', '.join(predictor.info.classes)}",
            was=args.evidence_of,
        )
    tally = RunSummary(predictor.info.reference)
    tally.others = others
    if args.out:
        _archived(args, predictor, checks, tally)
    else:
        _shown(args, predictor, checks, tally)
    if args.evidence:
        _print_caveat(predictor.info)
    if any(tally.conclusions[name] for name in wanted):
        return FAIL_ON
    return SOME_UNREADABLE if tally.conclusions["ERROR"] else 0


def _print_caveat(info: ModelInfo) -> None:
    """Print the limits of the evidence stated in the model's card."""
    from pneumoscope.reader.evidence import evidence_caveat  # noqa: PLC0415 - loaded already

    caveat = evidence_caveat(info)
    if caveat:
        sys.stderr.write(f"Note on the evidence: {caveat}\n")


def _is_one_file(args: Namespace) -> bool:
    # os.path, since pathlib raises for names longer than the system allows
    return len(args.images) == 1 and (
        args.images == [STDIN] or os.path.isfile(args.images[0])  # noqa: PTH113
    )


def _checks(args: Namespace, others: Counter[str]) -> Iterator[Iterator[Source]]:
    """Yield the images to read: all at once, or with ``--watch`` those found by each check."""
    if not args.watch:
        return iter([_sources(args, others)])
    from pneumoscope.cli.ending import EndOnSignal  # noqa: PLC0415 - rare
    from pneumoscope.reader.archive.watch import arrivals  # noqa: PLC0415

    interval = 2.0 if args.watch_interval is None else args.watch_interval
    return arrivals(args.images, interval=interval, others=others, ended=EndOnSignal())


def _sources(args: Namespace, others: Counter[str] | None = None) -> Iterator[Source]:
    from pneumoscope.reader.archive.inputs import iterate_images, paths_from  # noqa: PLC0415 - the same

    if args.images == [STDIN]:
        return iter([_from_stdin()])
    if not args.paths_from:
        return iterate_images(args.images, others=others)
    return paths_from(_opened(args.paths_from))


def _from_stdin() -> bytes:
    from pneumoscope.images.read import MAX_BYTES  # noqa: PLC0415 - the same

    content = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DataError(
            f"standard input: more than {MAX_BYTES:,} bytes, which is too large for an image."
        )
    return content


def _opened(place: str) -> Iterator[bytes]:
    """Yield the lines of a file, after checking that it can be opened."""
    if place == STDIN:
        return iter(sys.stdin.buffer)
    try:
        return _closing(Path(place).open("rb"))
    except OSError as fault:
        raise DataError(f"{place}: cannot be read ({fault.strerror}).") from fault


def _closing(file: BinaryIO) -> Iterator[bytes]:
    with file:
        yield from file


def _records(args: Namespace, predictor: Predictor, sources: Iterator[Source]) -> Iterator[Record]:
    from pneumoscope.reader.records import record_of  # noqa: PLC0415 - after parsing

    hashed = bool(args.out) or args.format not in {None, "table"}
    content = b""
    if args.images == [STDIN]:
        first = next(sources)
        assert isinstance(first, bytes)  # noqa: S101 - as standard input is read
        content, sources = first, iter([first])
    for prediction in predictor.predict_many(sources):
        found = prediction
        if args.evidence or args.dicom_out:
            from pneumoscope.cli.predict_files import with_written_files  # noqa: PLC0415 - rare

            found = with_written_files(args, predictor, prediction, content)
        yield record_of(found, hashed=hashed)


def _shown(
    args: Namespace, predictor: Predictor, checks: Iterator[Iterator[Source]], tally: RunSummary
) -> None:
    def counted() -> Iterator[Record]:
        with _bar(args) as show:
            for sources in checks:
                for record in _records(args, predictor, sources):
                    tally.add(record)
                    show(tally.images)
                    yield record

    if args.format in {None, "table"}:
        from pneumoscope.cli.predictions import write_table  # noqa: PLC0415 - the same

        info = predictor.info
        positive: tuple[str, ...] = (_POSITIVE,)
        if not info.findings:
            positive = (*(info.positive or info.classes[1:]), info.pair[1])
        write_table(sys.stdout, counted(), positive=positive, tally=tally)
        return
    from pneumoscope.reader.archive.inputs import others_text  # noqa: PLC0415 - the same
    from pneumoscope.reader.records import text_writer  # noqa: PLC0415

    text_writer(args.format, _findings(predictor.info))(sys.stdout, counted())
    if tally.others:
        sys.stderr.write(f"Note: {others_text(tally.others)}.\n")


def _findings(info: ModelInfo) -> tuple[str, ...]:
    """Return the findings of a multi-label model."""
    return info.classes if info.findings else ()


@contextlib.contextmanager
def _bar(args: Namespace) -> Iterator[Callable[[int], None]]:
    """Yield a callback that draws a progress bar, if rows are not printed to the terminal."""
    if args.watch or (len(args.images) == 1 and not os.path.isdir(args.images[0])):  # noqa: PTH112 - as above
        quiet = True
    else:
        quiet = sys.stdout.isatty() or not sys.stderr.isatty()
    if quiet:
        yield lambda _: None
        return
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415 - the same

    with TerminalWatcher().progress("Reading") as progress:
        total = _Total(args)
        yield lambda done: progress(done, total.at_least(done))


def _archived(
    args: Namespace, predictor: Predictor, checks: Iterator[Iterator[Source]], tally: RunSummary
) -> None:
    from pneumoscope.cli.predictions import summary  # noqa: PLC0415 - the same
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415
    from pneumoscope.reader.archive.output import Archive  # noqa: PLC0415

    watcher = TerminalWatcher()
    what = {
        "model": predictor.sha256,
        "images": [*args.images] or args.paths_from,
        "gate": not args.no_gate,
        "evidence": args.evidence and str(args.evidence),
        **({"dicom_out": str(args.dicom_out)} if args.dicom_out else {}),
    }
    if args.outside_intended_use != OUTSIDE[0]:  # so that runs of earlier versions can be continued
        what["outside_intended_use"] = args.outside_intended_use
    with Archive(
        args.out,
        what,
        resume=args.resume,
        retry_errors=args.retry_errors,
        file_format=args.format,
        findings=_findings(predictor.info),
    ) as archive:
        if archive.done and not archive.complete:
            watcher.say(f"Continuing after {archive.done:,} images.")
        read = 0
        try:
            with watcher.progress("Reading") as progress:
                total = _Total(args)
                for sources in checks:
                    for record in _records(args, predictor, archive.left(sources)):
                        archive.add(record)
                        read += 1
                        progress(archive.done, total.at_least(archive.done))
            if not archive.complete:
                archive.finish(tally)
        except KeyboardInterrupt:
            watcher.say(f"{archive.done:,} images are kept; {_GO_ON}.")
            raise
        except OutputError as fault:
            if not isinstance(fault.__cause__, OSError):  # the journal itself is damaged
                raise
            raise OutputError(f"{fault} {archive.done:,} images are kept; {_GO_ON}.") from fault
        if archive.complete:
            watcher.say(f"{args.out} is complete; nothing to do.")
            tally.conclusions.update(archive.conclusions())
            return
    if args.resume:
        watcher.say(f"{read:,} read in this run.")
    watcher.say(f"{summary(tally)} Written to {args.out}")
    for line in tally.lines():
        watcher.warn(line)


class _Total:
    """The number of images, counted in parallel for the progress bar."""

    def __init__(self, args: Namespace) -> None:
        self._counted = 0
        if sys.stderr.isatty() and args.paths_from != STDIN and not args.watch:
            threading.Thread(target=self._count, args=(args,), daemon=True).start()

    def at_least(self, done: int) -> int:
        return max(done, self._counted)

    def _count(self, args: Namespace) -> None:
        with contextlib.suppress(DataError, OSError):  # reported when they are read
            for number, _ in enumerate(_sources(args), 1):
                self._counted = number

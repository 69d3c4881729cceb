"""``pneumoscope pull``."""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_verb
from pneumoscope.errors import OptionError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Iterator

    from pneumoscope.hospital.pull import Source
    from pneumoscope.hospital.settings import Tls
    from pneumoscope.reader.archive.inputs import Unlisted

_DATE = re.compile(r"\d{8}(-(\d{8})?)?|-\d{8}")
_ADDRESS = re.compile(r"(?P<title>[^@]{1,16})@(?P<host>[^@]+):(?P<port>\d{1,5})")


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "pull",
        run,
        about="Fetch radiographs by date and modality from a PACS or DICOMweb server, and read "
        "them.",
        example="pneumoscope pull --from PACS@10.0.0.5:104 --study-date 20261101-20261130 "
        "--out results.csv",
    )
    parser.add_argument(
        "--from",
        dest="archive",
        required=True,
        metavar="ARCHIVE",
        help="AE_TITLE@HOST:PORT (C-FIND and C-MOVE), or the URL of its DICOMweb service",
    )
    parser.add_argument(
        "--study-date", required=True, metavar="DATE", help="YYYYMMDD, or a range YYYYMMDD-YYYYMMDD"
    )
    parser.add_argument(
        "--modality",
        action="append",
        metavar="CODE",
        help="modality, can be repeated (default: CR and DX)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="output file (.json, .jsonl, .csv or .parquet)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue, or read new images of the archive"
    )
    parser.add_argument(
        "--retry-errors", action="store_true", help="with --resume, retry failed images"
    )
    parser.add_argument("--model", type=Path, help="a run folder or a model file")
    parser.add_argument(
        "--ae-title",
        default="PNEUMOSCOPE",
        help="AE title of this machine, known to the archive (default: %(default)s)",
    )
    parser.add_argument(
        "--listen",
        default="0.0.0.0:11112",
        metavar="HOST:PORT",
        help="address for C-MOVE deliveries (default: %(default)s)",
    )
    for name, what in (
        ("cert", "certificate of this machine"),
        ("key", "private key of that certificate"),
        ("ca", "certificate authorities (CA) of the archive's certificate"),
    ):
        parser.add_argument(
            f"--tls-{name}", type=Path, metavar="PEM", help=f"for TLS: the {what}, a PEM file"
        )


def run(args: Namespace) -> int:
    """Find, fetch and read; exit code 3 if some images could not be read."""
    from pneumoscope.cli.predictions import summary  # noqa: PLC0415 - after parsing
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415
    from pneumoscope.reader.archive.output import Archive  # noqa: PLC0415
    from pneumoscope.reader.archive.summary import RunSummary  # noqa: PLC0415
    from pneumoscope.reader.predictor import Predictor  # noqa: PLC0415
    from pneumoscope.reader.records import record_of  # noqa: PLC0415

    if not _DATE.fullmatch(args.study_date):
        raise OptionError("--study-date", must="YYYYMMDD or a range of dates", was=args.study_date)
    predictor = Predictor(args.model)
    info = predictor.info
    watcher = TerminalWatcher()
    tally = RunSummary(info.reference)
    modalities = sorted(set(args.modality or ("CR", "DX")))
    what = {
        "model": predictor.sha256,
        "images": [args.archive, args.study_date, *modalities],
        "gate": True,
        "evidence": None,
    }
    source = _source(args)
    try:
        with Archive(
            args.out,
            what,
            resume=args.resume,
            retry_errors=args.retry_errors,
            findings=info.classes if info.findings else (),
        ) as archive:
            found = source.find(args.study_date, modalities)
            on_their_way: deque[str] = deque()
            left = archive.left(str(one) for one in found)
            with watcher.progress("Reading") as progress:
                for one in predictor.predict_many(_contents(source, left, on_their_way)):
                    path = on_their_way.popleft()
                    error = one.error.replace("<bytes>", path)
                    archive.add(record_of(dataclasses.replace(one, path=path, error=error)))
                    progress(archive.done, archive.done)
            if archive.complete:
                watcher.say(f"{args.out} is complete; nothing to do.")
                tally.conclusions.update(archive.conclusions())
            else:
                archive.finish(tally)
                watcher.say(f"{summary(tally)} Written to {args.out}")
    finally:
        source.close()
    return 3 if tally.conclusions["ERROR"] else 0


def _contents(
    source: Source, places: Iterable[object], on_their_way: deque[str]
) -> Iterator[bytes | Unlisted]:
    """Yield the images; one that cannot be fetched becomes an error record."""
    from pneumoscope.hospital.pull import Place  # noqa: PLC0415 - after parsing
    from pneumoscope.reader.archive.inputs import Unlisted  # noqa: PLC0415

    for place in places:
        on_their_way.append(str(place))
        try:
            yield source.fetch(Place.of(str(place)))
        except OSError as fault:
            yield Unlisted(str(place), f"{place}: {fault}")


def _source(args: Namespace) -> Source:
    from pneumoscope.hospital.pull import DicomSource, WebSource  # noqa: PLC0415 - after parsing
    from pneumoscope.hospital.settings import check_ae_title  # noqa: PLC0415

    tls = _tls(args)
    if args.archive.startswith(("http://", "https://")):
        return WebSource(args.archive, tls)
    archive = _ADDRESS.fullmatch(args.archive)
    if archive is None:
        raise OptionError("--from", must="AE_TITLE@HOST:PORT or a URL", was=args.archive)
    host, _, port = args.listen.rpartition(":")
    if not port.isdecimal():
        raise OptionError("--listen", must="HOST:PORT", was=args.listen)
    check_ae_title(args.ae_title)
    check_ae_title(archive["title"])
    return DicomSource(
        archive["host"],
        int(archive["port"]),
        called=archive["title"],
        ae_title=args.ae_title,
        listen=(host, int(port)),
        tls=tls,
    )


def _tls(args: Namespace) -> Tls | None:
    from pneumoscope.hospital.settings import Tls  # noqa: PLC0415 - after parsing

    files = (args.tls_cert, args.tls_key, args.tls_ca)
    if not any(files):
        return None
    for name, file in zip(("cert", "key", "ca"), files, strict=True):
        if file is None or not file.is_file():
            raise OptionError(f"--tls-{name}", must="a PEM file", was=file)
    return Tls(*files)

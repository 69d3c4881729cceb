"""``pneumoscope inspect``."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import (
    Verbs,
    add_data_options,
    add_patient_option,
    add_seed_option,
    add_verb,
    data_options_of,
)

if TYPE_CHECKING:
    from argparse import Namespace

    from pneumoscope.workflow.inspect import Inspected


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "inspect",
        run,
        about="Audit a folder of X-rays: contents, problems, duplicates and label "
        "shortcuts. The exit code is 1 if the audit reports errors.",
        example="pneumoscope inspect chest_xray --out inspect",
    )
    parser.add_argument(
        "data",
        type=Path,
        help="split folders, class folders, a CSV manifest, or any folder of images",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("inspect"),
        metavar="DIR",
        help="output folder for inspect.html, inspect.json and figures/ (default: inspect)",
    )
    parser.add_argument(
        "--positive",
        metavar="CLASS[,CLASS]",
        help="the positive class or classes (default: PNEUMONIA)",
    )
    parser.add_argument(
        "--split-file",
        type=Path,
        metavar="CSV",
        help="check this split (path,split) instead of the folders; each run folder has one",
    )
    parser.add_argument(
        "--scores",
        type=Path,
        action="append",
        default=[],
        metavar="CSV",
        help="scores of a reader; the labels that it contradicts most are listed; can be repeated",
    )
    add_seed_option(parser, of="random draws")
    add_patient_option(parser, default="the file names of known data sets, DICOM headers")
    add_data_options(parser)


def run(args: Namespace) -> int:
    """Inspect, and print the findings."""
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415 - after parsing
    from pneumoscope.data.layouts import data_options  # noqa: PLC0415
    from pneumoscope.workflow.inspect import inspect_data  # noqa: PLC0415 - numpy

    result = inspect_data(
        args.data,
        args.out,
        positive=args.positive,
        options=data_options(**data_options_of(args)),
        patient_regex=args.patient_regex,
        split_file=args.split_file,
        scores=args.scores,
        seed=args.seed,
        watcher=TerminalWatcher(),
    )
    print(_text(result))
    return 1 if result.audit.count("error") else 0


def _text(result: Inspected) -> str:
    from pneumoscope.data.audit.result import counts  # noqa: PLC0415 - numpy

    audit = result.audit
    found = counts(audit)
    labels = list(found["labels"])
    head = ["set", "images", "patients", *(name or "(no label)" for name in labels)]
    rows = [
        [
            part,
            f"{own['images']:,}",
            f"{own['patients']:,}" if own["patients"] else "?",
            *(f"{own['labels'].get(name, 0):,}" for name in labels),
        ]
        for part, own in found["parts"].items()
    ]
    lines = [*_table(head, rows), ""]
    for finding in audit.findings:
        lines += textwrap.wrap(
            f"{finding.severity:<8} {finding.title}", 100, subsequent_indent=" " * 9
        )
        shown = [" = ".join(group) for group in finding.files[:3]]
        more = len(finding.files) - len(shown)
        lines += [f"         - {line}" for line in shown]
        if more > 0:
            lines.append(f"         - and {more:,} more")
    lines += [
        "",
        ", ".join(
            f"{audit.count(severity)} {severity}{'' if audit.count(severity) == 1 else 's'}"
            for severity in ("error", "warning", "note")
        ),
        f"Page: {result.page}",
        f"JSON: {result.json}",
    ]
    return "\n".join(lines)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]

"""``pneumoscope compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.cli.arguments import (
    Verbs,
    add_data_options,
    add_interval_options,
    add_json_option,
    add_patient_option,
    add_report_option,
    add_verb,
    data_options_of,
)
from pneumoscope.errors import OptionError

if TYPE_CHECKING:
    from argparse import Namespace


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "compare",
        run,
        about="Compare readers on the same images: paired tests, intervals, disagreements.",
        example="pneumoscope compare runs/first runs/second --data chest_xray",
    )
    parser.add_argument(
        "readers",
        type=Path,
        nargs="+",
        metavar="READER",
        help="run folders, model files and CSV files of scores; two or more",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DATA",
        help="labelled images to read (default: use the scores of the runs)",
    )
    parser.add_argument(
        "--split",
        metavar="SET",
        help="train, val, test or all (default: test if there is one, otherwise all, or val for "
        "the scores of runs)",
    )
    parser.add_argument(
        "--finding",
        metavar="NAME",
        help="for readers trained with --findings: compare only this finding, as two classes",
    )
    add_interval_options(parser, seed_of="the resampling")
    add_patient_option(parser)
    add_data_options(parser, reader=True)
    add_report_option(parser)
    add_json_option(parser)


def run(args: Namespace) -> int:
    """Compare, and print the result."""
    from pneumoscope.cli.numbers import comparison_text  # noqa: PLC0415 - after parsing
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415
    from pneumoscope.data.layouts import data_options  # noqa: PLC0415
    from pneumoscope.workflow.compare import compare_readers  # noqa: PLC0415 - numpy, onnxruntime
    from pneumoscope.workflow.evaluate_findings import is_of_findings  # noqa: PLC0415

    given = data_options_of(args)
    if args.data is None and (given or args.patient_regex is not None):
        raise OptionError(
            "--patient-regex, --map, --columns and --layout",
            must="combined with --data",
            was=sorted(given) or args.patient_regex,
        )
    if any(is_of_findings(place) for place in args.readers):
        return _run_findings(args, given)
    if args.finding is not None:
        raise OptionError(
            "--finding", must="used with readers of several findings", was=args.finding
        )
    found = compare_readers(
        args.readers,
        data=args.data,
        options=data_options(**given) if given else None,
        patient_regex=args.patient_regex,
        part=args.split,
        level=args.level,
        resamples=args.resamples,
        seed=args.seed,
        report=args.report,
        watcher=TerminalWatcher(),
    )
    print(json.dumps(found.to_dict()) if args.json else comparison_text(found))
    return 0


def _run_findings(args: Namespace, given: dict[str, Any]) -> int:
    """Compare readers of several findings, and print the result."""
    from pneumoscope.cli.finding_numbers import compared_text  # noqa: PLC0415 - after parsing
    from pneumoscope.cli.numbers import comparison_text  # noqa: PLC0415
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415
    from pneumoscope.data.layouts import data_options  # noqa: PLC0415
    from pneumoscope.evaluation.compare import Comparison  # noqa: PLC0415
    from pneumoscope.workflow.compare_findings import compare_findings_readers  # noqa: PLC0415

    if args.report is not None:
        raise OptionError(
            "--report", must="omitted with readers of several findings", was=str(args.report)
        )
    found = compare_findings_readers(
        args.readers,
        finding=args.finding,
        data=args.data,
        options=data_options(**given, findings="all") if given else None,
        patient_regex=args.patient_regex,
        part=args.split,
        level=args.level,
        resamples=args.resamples,
        seed=args.seed,
        watcher=TerminalWatcher(),
    )
    if args.json:
        print(json.dumps(found.to_dict()))
    elif isinstance(found, Comparison):
        print(comparison_text(found))
    else:
        print(compared_text(found))
    return 0

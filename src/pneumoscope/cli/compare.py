"""``pneumoscope compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

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
        about="Say how readers differ on the same images: paired tests, intervals, disagreements.",
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
        help="labelled images to read (default: the scores that runs have written)",
    )
    parser.add_argument(
        "--split",
        metavar="PART",
        help="train, val, test or all (default: test where there is one, else all; of scores: val)",
    )
    add_interval_options(parser, seed_of="the resampling")
    add_patient_option(parser)
    add_data_options(parser)
    add_report_option(parser)
    add_json_option(parser)


def run(asked: Namespace) -> int:
    """Compare, and print what was found."""
    from pneumoscope.cli.numbers import comparison_text  # noqa: PLC0415 - after parsing
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415
    from pneumoscope.data.layouts import data_options  # noqa: PLC0415
    from pneumoscope.workflow.compare import compare_readers  # noqa: PLC0415 - numpy, onnxruntime

    given = data_options_of(asked)
    if asked.data is None and (given or asked.patient_regex is not None):
        raise OptionError(
            "--patient-regex, --map, --columns and --layout",
            must="given with --data",
            was=sorted(given) or asked.patient_regex,
        )
    found = compare_readers(
        asked.readers,
        data=asked.data,
        options=data_options(**given) if given else None,
        patient_regex=asked.patient_regex,
        part=asked.split,
        level=asked.level,
        resamples=asked.resamples,
        seed=asked.seed,
        report=asked.report,
        watcher=TerminalWatcher(),
    )
    print(json.dumps(found.to_dict()) if asked.json else comparison_text(found))
    return 0

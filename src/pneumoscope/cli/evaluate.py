"""``pneumoscope evaluate``."""

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
        "evaluate",
        run,
        about="Evaluate a reader on labelled images, or from a file of its scores.",
        example="pneumoscope evaluate runs/first chest_xray --split test",
    )
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="a run folder or a model file; without DATA a run folder, a CSV file of scores "
        "(label, probability or logit, optionally path and patient), or the output of "
        "predict --out: a folder of parts, a Parquet file or a CSV file",
    )
    parser.add_argument(
        "data",
        type=Path,
        nargs="?",
        metavar="DATA",
        help="split folders, class folders, a CSV, or a public data set",
    )
    parser.add_argument(
        "--split",
        metavar="PART",
        help="train, val, test or all (default: test if there is one, otherwise all)",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="for results of predict: a CSV or Parquet table with path, label (0 and 1, or the "
        "classes), and if known patient and study (default: the folders in the paths)",
    )
    parser.add_argument("--scores", type=Path, metavar="FILE", help="write the scores to this CSV")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="decision threshold (default: the model's, otherwise 0.5)",
    )
    parser.add_argument(
        "--prevalence",
        type=float,
        metavar="P",
        help="also print predictive values at this prevalence, for example 0.1",
    )
    parser.add_argument(
        "--per",
        default="image",
        metavar="UNIT",
        help="unit of evaluation: image (default), study or patient, each with one label",
    )
    parser.add_argument(
        "--aggregate",
        default="mean",
        metavar="HOW",
        help="how to combine the probabilities of a study or patient: mean (default) or max",
    )
    add_interval_options(parser, seed_of="all random draws")
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="also evaluate on corrupted images: brighter, blurred, rotated …",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=200,
        metavar="N",
        help="maximum number of images for --robustness (default: 200; 0 for all)",
    )
    add_patient_option(parser)
    add_data_options(parser)
    add_report_option(parser)
    add_json_option(parser)


def run(args: Namespace) -> int:
    """Evaluate, and print the numbers."""
    from pneumoscope.cli.numbers import evaluation_text  # noqa: PLC0415 - after parsing
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415
    from pneumoscope.data.layouts import data_options  # noqa: PLC0415
    from pneumoscope.evaluation.question import Question  # noqa: PLC0415 - numpy
    from pneumoscope.workflow.evaluate import evaluate_reader  # noqa: PLC0415 - onnxruntime

    given = data_options_of(args)
    if args.data is None and given:
        raise OptionError(
            "--map, --columns and --layout", must="combined with DATA", was=sorted(given)
        )
    if args.data is None and args.patient_regex is not None:
        raise OptionError("--patient-regex", must="combined with DATA", was=args.patient_regex)
    found = evaluate_reader(
        args.model,
        args.data,
        labels=args.labels,
        part=args.split,
        question=Question(
            threshold=args.threshold,
            prevalence=args.prevalence,
            level=args.level,
            resamples=args.resamples,
            seed=args.seed,
            per=args.per,
            aggregate=args.aggregate,
        ),
        robustness=args.robustness,
        limit=args.limit or None,
        scores_file=args.scores,
        report=args.report,
        options=data_options(**given) if given else None,
        patient_regex=args.patient_regex,
        watcher=TerminalWatcher(),
    )
    if args.json:
        print(json.dumps({"split": found.part, **found.to_dict()}))
    else:
        print(evaluation_text(found))
    return 0

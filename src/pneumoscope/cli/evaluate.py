"""``pneumoscope evaluate``."""

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

    from pneumoscope.evaluation.question import Question


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
        "predict --out: a folder of Parquet files, a Parquet file or a CSV file",
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
        metavar="SET",
        help="train, val, test or all (default: test if there is one, otherwise all)",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="for results of predict: a CSV or Parquet table with path, label (0 and 1, or the "
        "classes) and, if known, patient and study (default: the folders in the paths)",
    )
    parser.add_argument(
        "--finding",
        metavar="NAME",
        help="for a reader trained with --findings: evaluate only this finding, as two classes",
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
    add_data_options(parser, reader=True)
    add_report_option(parser)
    add_json_option(parser)


def run(args: Namespace) -> int:
    """Evaluate, and print the numbers."""
    from pneumoscope.cli.numbers import evaluation_text  # noqa: PLC0415 - after parsing
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415
    from pneumoscope.data.layouts import data_options  # noqa: PLC0415
    from pneumoscope.evaluation.question import Question  # noqa: PLC0415 - numpy
    from pneumoscope.workflow.evaluate import evaluate_reader  # noqa: PLC0415 - onnxruntime
    from pneumoscope.workflow.evaluate_findings import is_of_findings  # noqa: PLC0415

    given = data_options_of(args)
    if args.data is None and given:
        raise OptionError(
            "--map, --columns and --layout", must="combined with DATA", was=sorted(given)
        )
    if args.data is None and args.patient_regex is not None:
        raise OptionError("--patient-regex", must="combined with DATA", was=args.patient_regex)
    question = Question(
        threshold=args.threshold,
        prevalence=args.prevalence,
        level=args.level,
        resamples=args.resamples,
        seed=args.seed,
        per=args.per,
        aggregate=args.aggregate,
    )
    if is_of_findings(args.model):
        return _run_findings(args, question, given)
    if args.finding is not None:
        raise OptionError(
            "--finding", must="used with a reader of several findings", was=args.finding
        )
    found = evaluate_reader(
        args.model,
        args.data,
        labels=args.labels,
        part=args.split,
        question=question,
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


def _run_findings(args: Namespace, question: Question, given: dict[str, Any]) -> int:
    """Evaluate a reader of several findings, and print the numbers."""
    from pneumoscope.cli.finding_numbers import findings_text  # noqa: PLC0415 - after parsing
    from pneumoscope.cli.numbers import evaluation_text  # noqa: PLC0415
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415
    from pneumoscope.data.layouts import data_options  # noqa: PLC0415
    from pneumoscope.workflow.evaluate_findings import (  # noqa: PLC0415
        evaluate_finding,
        evaluate_findings_reader,
    )

    for name, value in (("--robustness", args.robustness), ("--labels", args.labels)):
        if value:
            raise OptionError(name, must="omitted with a reader of several findings", was=value)
    options: dict[str, Any] = {
        "part": args.split,
        "question": question,
        "scores_file": args.scores,
        "report": args.report,
        "options": data_options(**given, findings="all") if given else None,
        "patient_regex": args.patient_regex,
        "watcher": TerminalWatcher(),
    }
    if args.finding is not None:
        one = evaluate_finding(args.model, args.finding, args.data, **options)
        values, text = (
            {"split": one.part, "finding": args.finding, **one.to_dict()},
            evaluation_text,
        )
        print(json.dumps(values) if args.json else text(one))
        return 0
    found = evaluate_findings_reader(args.model, args.data, **options)
    if args.json:
        print(json.dumps({"split": found.part, **found.to_dict()}))
    else:
        print(findings_text(found))
    return 0

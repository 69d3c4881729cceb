"""The argument parser shared by all verbs."""

from __future__ import annotations

import argparse
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pneumoscope.errors import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

_Formatter = argparse.RawDescriptionHelpFormatter

Verbs = Any
"""The result of argparse's ``add_subparsers``, whose class is private."""


class Parser(argparse.ArgumentParser):
    """A parser with short error messages that suggest the closest known word."""

    def __init__(self, **options: Any) -> None:
        # One is created for each argument; with a fixed width, it does not query the terminal (2
        # ms).
        options.setdefault("formatter_class", partial(_Formatter, width=80))
        super().__init__(allow_abbrev=False, **options)

    def format_help(self) -> str:
        """Return the help, as wide as the terminal."""
        self.formatter_class = _Formatter
        return super().format_help()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Reject unknown options here, where the hint can use the verb's own options."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with code 2."""
        hint = _hint(message, [name for action in self._actions for name in action.option_strings])
        sys.stderr.write(f"error: {message}{hint}\nTry: {self.prog} --help\n")
        raise SystemExit(2)


class Version(argparse.Action):
    """Prints the version, looked up only when needed."""

    def __init__(self, option_strings: list[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, *_: Any) -> NoReturn:
        """Print the version and exit with code 0."""
        from importlib.metadata import version  # noqa: PLC0415 - 30 ms

        sys.stdout.write(f"pneumoscope {version('pneumoscope')}\n")
        raise SystemExit(0)


def add_verb(
    verbs: Verbs, name: str, run: Callable[[argparse.Namespace], int], *, about: str, example: str
) -> Parser:
    """Return the parser of a new verb, which calls ``run`` with its arguments.

    Args:
        verbs: The result of ``add_subparsers`` of the main parser.
        name: The verb.
        run: Function of the parsed arguments that returns the exit code.
        about: Description in one or two sentences.
        example: An example command.
    """
    parser: Parser = verbs.add_parser(
        name, help=about, description=about, epilog=f"example: {example}"
    )
    parser.set_defaults(run=run, verb=name, parser=parser)
    return parser


def add_interval_options(parser: Parser, *, seed_of: str) -> None:
    """Add the options of intervals: ``--level``, ``--resamples`` and ``--seed``.

    Args:
        parser: Parser of the verb.
        seed_of: Description of what is seeded, for the help.
    """
    parser.add_argument(
        "--level", type=float, default=0.95, metavar="P", help="confidence level (default: 0.95)"
    )
    parser.add_argument(
        "--resamples",
        type=int,
        default=2000,
        metavar="N",
        help="number of bootstrap resamples (default: 2000)",
    )
    add_seed_option(parser, of=seed_of)


def add_seed_option(parser: Parser, *, of: str) -> None:
    """Add ``--seed``, 0 by default; ``of`` describes what is seeded."""
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help=f"seed of {of} (default: 0)"
    )


def add_data_options(parser: Parser, *, reader: bool = False) -> None:
    """Add ``--map``, ``--findings``, ``--uncertain-labels``, ``--columns`` and ``--layout``.

    Args:
        parser: Parser of the verb.
        reader: Whether the findings are given by a reader, so that ``--findings`` is omitted.
    """
    data = parser.add_argument_group("classes and tables").add_argument
    data(
        "--map",
        action="append",
        metavar="CLASS=NAME,…",
        help="label names in the data that form a class; repeat for each class; * is all other "
        "labels",
    )
    if not reader:
        data(
            "--findings",
            nargs="?",
            const="all",
            metavar="NAME,…",
            help="multi-label data: an image may have several of these findings (without names: "
            "all label columns of the table)",
        )
    data(
        "--unlabelled",
        metavar="HOW",
        help="how to treat missing labels of findings: ignore (default) or negative",
    )
    data(
        "--uncertain-labels",
        metavar="HOW",
        help="how to treat uncertain labels of the positive class or of findings: ignore "
        "(default), positive or negative",
    )
    data(
        "--columns",
        action="append",
        metavar="ROLE=COLUMN,…",
        help="columns of a CSV: path=…,label=…, optionally patient, study, view, split",
    )
    data(
        "--layout",
        metavar="NAME",
        help="name of a public data set, or a YAML layout file (default: detected)",
    )


def add_patient_option(parser: Parser, *, default: str = "that of the run") -> None:
    """Add ``--patient-regex``; ``default`` describes what is used without it."""
    parser.add_argument(
        "--patient-regex",
        metavar="REGEX",
        help="regular expression whose first group is the patient's ID in a path "
        f"(default: {default})",
    )


def data_options_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the ``add_data_options`` options as stored in recipes.

    Raises:
        PneumoscopeError: An invalid value, or a file that cannot be read.
    """
    from pneumoscope.data.layouts.options import parse_columns, parse_map  # noqa: PLC0415
    from pneumoscope.data.layouts.shipped import layout_option  # noqa: PLC0415 - needs YAML

    found: dict[str, Any] = {}
    if args.map:
        found["class_map"] = parse_map(args.map)
    if args.uncertain_labels:
        found["uncertain_labels"] = args.uncertain_labels
    findings = getattr(args, "findings", None)
    if findings is not None:
        found["findings"] = findings
    if args.unlabelled:
        found["unlabelled"] = args.unlabelled
    if args.columns:
        found["columns"] = parse_columns(args.columns, label=findings is None)
    if args.layout:
        found["layout"] = layout_option(args.layout)
    return found


def add_report_option(parser: Parser) -> None:
    """Add ``--report``, the folder for a page and its figures."""
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write report.html and figures/ to this folder"
    )


def add_json_option(parser: Parser) -> None:
    """Add ``--json``, which prints one object instead of text."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def numbers(text: str) -> tuple[int, ...]:
    """Parse comma-separated numbers such as ``32,64,64``.

    Raises:
        argparse.ArgumentTypeError: The text has another form.
    """
    try:
        return tuple(int(item) for item in text.split(","))
    except ValueError as fault:
        raise argparse.ArgumentTypeError(
            f"must be whole numbers with commas between them, got {text!r}"
        ) from fault


def _hint(message: str, options: list[str]) -> str:
    unknown = re.match(r"unrecognized arguments: (--[\w-]+)", message)
    if unknown:
        return f". {nearest(unknown[1], options)}"
    choice = re.search(r"invalid choice: '([^']+)' \(choose from ([^)]*)\)", message)
    if choice:
        known = [word.strip(" '") for word in choice[2].split(",")]
        close = did_you_mean(choice[1], known)
        return f". {close}" if close else ""
    return ""

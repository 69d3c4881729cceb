"""Predictions as a text table, coloured on terminals."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TextIO

from pneumoscope.reader.archive.summary import RunSummary
from pneumoscope.reader.model_file.metadata import NOTICE
from pneumoscope.reader.prediction import (
    ERROR,
    NOT_ASSESSABLE,
    UNCERTAIN,
    probability_text,
)
from pneumoscope.reader.records import Record

_STYLES: Mapping[str, str] = {ERROR: "31", UNCERTAIN: "33", NOT_ASSESSABLE: "2"}
_POSITIVE = "1"
_NAMES = 31  # the first column of file names
_NARROW = 40  # with less space next to it, notes about a file are indented less


def write_table(
    out: TextIO,
    records: Iterable[Record],
    *,
    positive: tuple[str, ...],
    tally: RunSummary | None = None,
) -> None:
    """Write aligned columns and a summary; file names come last and are never cut.

    Args:
        out: Output stream.
        records: Records to show.
        positive: Conclusions to highlight.
        tally: Counts for the summary in the last lines; if None, the records are counted.
    """
    colour = in_colour(out)
    width = _width() if out.isatty() else None
    counts = tally or RunSummary({})
    out.write(f"{'conclusion':<14}  {'probability':>11}  file\n")
    out.flush()  # with --watch, the first row may come much later
    for record in records:
        if tally is None:
            counts.add(record)
        out.write(_line(record, positive=positive, colour=colour, width=width))
        out.flush()
    out.write(f"{summary(counts)} {NOTICE}\n")
    for line in counts.lines():
        out.write(f"Note: {line}.\n")


def _width() -> int:
    from shutil import get_terminal_size  # noqa: PLC0415 - 2 ms, for terminals alone

    return get_terminal_size().columns


def summary(tally: RunSummary) -> str:
    """Return the counts as a sentence."""
    parts = ", ".join(f"{count:,} {name}" for name, count in sorted(tally.conclusions.items()))
    return f"{tally.images:,} {'image' if tally.images == 1 else 'images'}: {parts}."


def in_colour(out: TextIO) -> bool:
    """Return whether to use colours: on a terminal, unless ``NO_COLOR`` is set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return out.isatty()


def _line(record: Record, *, positive: tuple[str, ...], colour: bool, width: int | None) -> str:
    conclusion = record["conclusion"]
    probability = record["probability"]
    shown = "-" if probability is None else probability_text(probability)
    padded = f"{conclusion:<14}"
    if colour:
        style = _STYLES.get(conclusion, _POSITIVE if conclusion in positive else "")
        padded = f"\x1b[{style}m{padded}\x1b[0m" if style else padded
    notes = [printable(record["error"].removeprefix(f"{record['path']}: "))] * bool(record["error"])
    if each := record.get("probabilities"):
        notes.append(", ".join(f"{name} {probability_text(one)}" for name, one in each.items()))
    notes += _findings(record)
    notes += record["reasons"]  # facts outside the intended use
    if record["evidence"]:
        notes.append(f"evidence: {printable(record['evidence'])}")
    lines = [f"{padded}  {shown:>11}  {printable(record['path'])}".rstrip()]
    for text in notes:
        lines += _indented(text, width=width)
    return "\n".join(lines) + "\n"


def _findings(record: Record) -> list[str]:
    """Return the present and the uncertain findings of an image, one per line."""
    names: dict[str, list[str]] = {}
    for name, found in (record.get("findings") or {}).items():
        text = f"{printable(name)} {probability_text(found['probability'])}"
        names.setdefault(found["conclusion"], []).append(text)
    lines = [", ".join(names["POSITIVE"])] if "POSITIVE" in names else []
    if UNCERTAIN in names:
        lines.append(f"uncertain: {', '.join(names[UNCERTAIN])}")
    return lines


def _indented(text: str, *, width: int | None) -> list[str]:
    """Return an indented text, wrapped to the terminal's width."""
    indent = " " * (_NAMES if width is None or width >= _NAMES + _NARROW else 4)
    if width is None or len(indent) + len(text) <= width:
        return [indent + text]
    from textwrap import wrap  # noqa: PLC0415 - in narrow terminals alone

    return wrap(
        text,
        max(width, 20),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def printable(text: str) -> str:
    """Return a text without control characters."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode()
        for each in text
    )

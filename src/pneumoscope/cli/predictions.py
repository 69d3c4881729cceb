"""Predictions as a table for people: aligned, calm, in colour where there is a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TextIO

from pneumoscope.reader.bundle import NOTICE
from pneumoscope.reader.prediction import ERROR, NOT_ASSESSABLE, UNCERTAIN
from pneumoscope.reader.records import Record
from pneumoscope.reader.tally import Tally

_STYLES: Mapping[str, str] = {ERROR: "31", UNCERTAIN: "33", NOT_ASSESSABLE: "2"}
_POSITIVE = "1"


def write_table(
    out: TextIO, records: Iterable[Record], *, positive: str, tally: Tally | None = None
) -> None:
    """Write aligned columns, then what sums them up; file names come last, so none is cut.

    Args:
        out: Where to.
        records: What to show.
        positive: The class that stands out.
        tally: What was counted so far is summed up in the last lines; it counts the records itself
            if None.
    """
    colour = in_colour(out)
    counts = tally or Tally({})
    out.write(f"{'conclusion':<14}  {'probability':>11}  file\n")
    for record in records:
        if tally is None:
            counts.add(record)
        out.write(_line(record, positive=positive if colour else None, colour=colour))
        out.flush()
    out.write(f"{summary(counts)} {NOTICE}\n")
    for line in counts.lines():
        out.write(f"Note: {line}.\n")


def summary(tally: Tally) -> str:
    """Return the counts as a sentence."""
    parts = ", ".join(f"{count:,} {name}" for name, count in sorted(tally.conclusions.items()))
    return f"{tally.images:,} {'image' if tally.images == 1 else 'images'}: {parts}."


def in_colour(out: TextIO) -> bool:
    """Return whether colours are wanted: on a terminal, unless ``NO_COLOR`` is set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return out.isatty()


def _line(record: Record, *, positive: str | None, colour: bool) -> str:
    conclusion = record["conclusion"]
    probability = record["probability"]
    shown = "-" if probability is None else f"{probability:.3f}"
    padded = f"{conclusion:<14}"
    if colour:
        style = _STYLES.get(conclusion, _POSITIVE if conclusion == positive else "")
        padded = f"\x1b[{style}m{padded}\x1b[0m" if style else padded
    name = printable(record["error"] or record["path"])
    lines = [f"{padded}  {shown:>11}  {name}"]
    if conclusion in {UNCERTAIN, NOT_ASSESSABLE}:
        lines += [f"{'':<29}  {reason}" for reason in record["reasons"]]
    if record["evidence"]:
        lines.append(f"{'':<29}  evidence: {printable(record['evidence'])}")
    return "\n".join(lines) + "\n"


def printable(text: str) -> str:
    """Return a text without what a terminal would obey, such as line ends in a file name."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode()
        for each in text
    )

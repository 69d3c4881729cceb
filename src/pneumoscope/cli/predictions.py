"""Predictions as a table, JSON, JSON lines or CSV; each is written as it comes."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from typing import TextIO

from pneumoscope.reader.bundle import NOTICE
from pneumoscope.reader.predictor import Prediction

Writer = Callable[[TextIO, Iterable[Prediction]], None]


def write_table(out: TextIO, predictions: Iterable[Prediction]) -> None:
    """Write aligned columns, then a line that sums up; file names come last, so none is cut."""
    counts: Counter[str] = Counter()
    out.write(f"{'conclusion':<12}{'probability':>11}  file\n")
    for prediction in predictions:
        counts[prediction.conclusion] += 1
        shown = "-" if prediction.probability is None else f"{prediction.probability:.3f}"
        out.write(
            f"{prediction.conclusion:<12}{shown:>11}  {prediction.error or prediction.path}\n"
        )
        out.flush()
    total = sum(counts.values())
    parts = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))
    out.write(f"{total:,} {'image' if total == 1 else 'images'}: {parts}. {NOTICE}\n")


def write_jsonl(out: TextIO, predictions: Iterable[Prediction]) -> None:
    """Write one JSON object a line."""
    for prediction in predictions:
        out.write(json.dumps(asdict(prediction)) + "\n")
        out.flush()


def write_json(out: TextIO, predictions: Iterable[Prediction]) -> None:
    """Write one JSON array."""
    out.write("[")
    for number, prediction in enumerate(predictions):
        out.write((",\n" if number else "\n") + json.dumps(asdict(prediction)))
    out.write("\n]\n")


def write_csv(out: TextIO, predictions: Iterable[Prediction]) -> None:
    """Write a header and a row each (RFC 4180); what is not known is empty."""
    names = [field.name for field in fields(Prediction)]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for prediction in predictions:
        values = [getattr(prediction, name) for name in names]
        writer.writerow(["" if value is None else value for value in values])
        out.flush()


WRITERS: Mapping[str, Writer] = {
    "table": write_table,
    "json": write_json,
    "jsonl": write_jsonl,
    "csv": write_csv,
}

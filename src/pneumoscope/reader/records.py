"""Predictions as records: JSON, JSON lines, CSV and Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from pneumoscope.reader.prediction import Prediction

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow

Record = dict[str, Any]
Writer = Callable[[TextIO, Iterable[Record]], None]

COLUMNS = (
    *("path", "conclusion", "probability", "logit", "threshold", "error"),
    *("rule", "conformal_set", "reasons", "outside_intended_use"),
    *("model", "model_version", "model_sha256", "seconds", "evidence", "distance"),
    *("study_uid", "series_uid", "sop_instance_uid", "transfer_syntax", "photometric", "decoder"),
    *("modality_transform", "voi", "inverted", "padding", "shutter", "notes", "probabilities"),
)
"""The columns of a table of records. Lists in a record are joined by ``; ``, and ``dicom`` is split
into the columns from ``study_uid`` to ``notes``. For a model of several findings, the columns of
``finding_columns`` follow."""

TEXT_SUFFIXES: Mapping[str, str] = {".json": "json", ".jsonl": "jsonl", ".csv": "csv"}


def record_of(prediction: Prediction, *, hashed: bool = True) -> Record:
    """Return a prediction as JSON values.

    Args:
        prediction: The prediction.
        hashed: Whether to include the hash of the model file, whose first computation takes a
            moment.
    """
    model = prediction.model
    possible, each = prediction.conformal_set, prediction.probabilities
    record: Record = {
        "path": prediction.path,
        "conclusion": prediction.conclusion,
        "probability": prediction.probability,
        "logit": prediction.logit,
        "threshold": prediction.threshold,
        "error": prediction.error,
        "rule": prediction.rule,
        "conformal_set": None if possible is None else list(possible),
        "reasons": list(prediction.reasons),
        "outside_intended_use": list(prediction.outside),
        "model": model
        and {
            "name": model.name,
            "version": model.version,
            "sha256": model.sha256 if hashed else "",
        },
        "seconds": round(prediction.seconds, 4),
        "evidence": prediction.evidence,
        "distance": prediction.distance,
        "dicom": prediction.dicom and prediction.dicom.to_dict(),
        "probabilities": each and dict(zip(prediction.classes, each, strict=True)),
    }
    if prediction.findings:
        record["findings"] = {
            found.name: {
                "conclusion": found.conclusion,
                "probability": found.probability,
                "logit": found.logit,
                "threshold": found.threshold,
            }
            for found in prediction.findings
        }
    return record


def finding_columns(findings: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a table for several findings: conclusion and probability of each.

    >>> finding_columns(["Effusion"])
    ('conclusion Effusion', 'probability Effusion')
    """
    return tuple(f"{key} {name}" for name in findings for key in _OF_FINDING)


_OF_FINDING = ("conclusion", "probability")


def row_of(record: Record, findings: Sequence[str] = ()) -> Record:
    """Return a record as a row of ``COLUMNS``: texts, numbers and None.

    Args:
        record: The result of ``record_of``.
        findings: The findings of a multi-label model.
    """
    model = record["model"] or {}
    possible = record["conformal_set"]
    row = {
        **{name: record.get(name) for name in COLUMNS},
        **_dicom(record.get("dicom")),
        "conformal_set": None if possible is None else "; ".join(possible),
        "reasons": "; ".join(record["reasons"]),
        "outside_intended_use": "; ".join(record.get("outside_intended_use", ())),
        "model": model.get("name"),
        "model_version": model.get("version"),
        "model_sha256": model.get("sha256"),
        "probabilities": _listed(record.get("probabilities")),
    }
    each = record.get("findings") or {}
    for name in findings:
        for key in _OF_FINDING:
            row[f"{key} {name}"] = each.get(name, {}).get(key)
    return {name: _encodable(value) for name, value in row.items()}


def _listed(probabilities: Mapping[str, float] | None) -> str | None:
    """Return probabilities by class as a cell: ``NORMAL 0.1; BACTERIA 0.7; VIRUS 0.2``."""
    if not probabilities:
        return None
    return "; ".join(f"{name} {value:.6g}" for name, value in probabilities.items())


def _dicom(fields: Record | None) -> Record:
    if not fields:
        return {}
    from pneumoscope.images.record import flat  # noqa: PLC0415 - only for DICOM

    return flat(fields)


def _encodable(value: Any) -> Any:
    """Return a value that can be encoded in UTF-8; file names may contain other bytes."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value


def write_jsonl(out: TextIO, records: Iterable[Record]) -> None:
    """Write one JSON object per line."""
    for record in records:
        out.write(json.dumps(record) + "\n")
        out.flush()


def write_json(out: TextIO, records: Iterable[Record]) -> None:
    """Write one JSON array."""
    out.write("[")
    for number, record in enumerate(records):
        out.write((",\n" if number else "\n") + json.dumps(record))
    out.write("\n]\n")


def write_csv(out: TextIO, records: Iterable[Record], findings: Sequence[str] = ()) -> None:
    """Write a header and one row per record (RFC 4180); unknown values are empty.

    Args:
        out: Output file.
        records: Its rows.
        findings: The findings of a multi-label model.
    """
    import csv  # noqa: PLC0415 - not needed to read one image

    writer = csv.writer(out, lineterminator="\n")
    columns = (*COLUMNS, *finding_columns(findings))
    writer.writerow(columns)
    for record in records:
        row = row_of(record, findings)
        writer.writerow(["" if row[name] is None else row[name] for name in columns])
        out.flush()


TEXT_WRITERS: Mapping[str, Writer] = {
    "json": write_json,
    "jsonl": write_jsonl,
    "csv": write_csv,
}


def text_writer(file_format: str, findings: Sequence[str] = ()) -> Writer:
    """Return a function that writes records as ``json``, ``jsonl`` or ``csv``.

    Args:
        file_format: One of these.
        findings: The findings of a multi-label model.
    """
    if file_format != "csv" or not findings:
        return TEXT_WRITERS[file_format]

    def written(out: TextIO, records: Iterable[Record]) -> None:
        write_csv(out, records, findings)

    return written


def write_parquet(
    place: Path | BinaryIO,
    records: Iterable[Record],
    *,
    group: int = 10_000,
    metadata: Callable[[], Mapping[str, str]] | None = None,
    findings: Sequence[str] = (),
) -> None:
    """Write a Parquet file with the columns of the CSV, in row groups of constant memory.

    Args:
        place: Path of the file, or an open file.
        records: Its rows.
        group: Rows per row group.
        metadata: Called after the last record; returns the metadata of the file.
        findings: The findings of a multi-label model.

    Raises:
        ModuleNotFoundError: pyarrow is not installed; it comes with the extra ``parquet``.
    """
    import pyarrow  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415

    numbers = {"probability", "logit", "threshold", "seconds", "distance"}
    numbers |= {f"probability {name}" for name in findings}
    columns = (*COLUMNS, *finding_columns(findings))
    schema = pyarrow.schema(
        [(name, pyarrow.float64() if name in numbers else pyarrow.string()) for name in columns]
    )
    with parquet.ParquetWriter(place, schema) as writer:
        rows: list[Record] = []
        for record in records:
            rows.append(row_of(record, findings))
            if len(rows) == group:
                writer.write_table(_table(rows, schema))
                rows = []
        if rows:
            writer.write_table(_table(rows, schema))
        if metadata is not None:
            writer.add_key_value_metadata(metadata())


def _table(rows: Sequence[Record], schema: pyarrow.Schema) -> pyarrow.Table:
    """Return rows as a table of texts and numbers.

    ``Table.from_pylist`` of pyarrow 26 would import pandas where it is installed, which takes
    a second.
    """
    import numpy as np  # noqa: PLC0415
    import pyarrow  # noqa: PLC0415 - an extra

    columns = []
    for field in schema:
        values = [row[field.name] for row in rows]
        valid = np.array([value is not None for value in values])
        buffers = [pyarrow.py_buffer(np.packbits(valid, bitorder="little"))]
        if field.type == pyarrow.string():
            texts = [b"" if value is None else value.encode() for value in values]
            ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
            buffers += [pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(texts))]
        else:
            numbers = np.array([0 if value is None else value for value in values], np.float64)
            buffers.append(pyarrow.py_buffer(numbers))
        columns.append(pyarrow.Array.from_buffers(field.type, len(rows), buffers))
    return pyarrow.Table.from_arrays(columns, schema=schema)

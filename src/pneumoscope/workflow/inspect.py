"""Audit a data set and write the page and the JSON file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.data.audit.audit import audit_data, compared
from pneumoscope.data.audit.result import Audit
from pneumoscope.data.audit.suspicious import Suspect, suspects
from pneumoscope.data.classes import names_in
from pneumoscope.data.generated import is_generated
from pneumoscope.data.layouts import DataOptions, list_data
from pneumoscope.errors import DataError, OptionError, OutputError
from pneumoscope.runs import files_written_whole, provenance, write_json
from pneumoscope.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Sequence


_PAGE, _JSON = "inspect.html", "inspect.json"


@dataclass(frozen=True, slots=True, eq=False)
class Inspected:
    """The result of an inspection: the audit, and the paths of page and JSON file."""

    audit: Audit
    page: Path
    json: Path


def inspect_data(
    data: Path,
    out: Path,
    *,
    positive: str | None = None,
    options: DataOptions | None = None,
    patient_regex: str | None = None,
    split_file: Path | None = None,
    scores: Sequence[Path] = (),
    seed: int = 0,
    workers: int | None = None,
    watcher: Watcher | None = None,
) -> Inspected:
    """Audit a data set, and write ``inspect.html``, ``inspect.json`` and ``figures/`` into ``out``.

    Args:
        data: The data, as for ``audit_data``.
        out: A folder; files of an earlier inspection are replaced.
        positive: The positive class.
        options: The class map, and how to read a table.
        patient_regex: Regular expression that extracts the patient from a path.
        split_file: A split to check: a CSV with ``path`` and ``split``, or a run folder.
        scores: Scores files of a reader that was not trained on these images; labels that it
            contradicts are listed.
        seed: Seed of random choices.
        workers: Number of decoding threads; one per core if None.
        watcher: Receives progress reports.

    Raises:
        PneumoscopeError: The data or an option are invalid, or the folder cannot be written.

    Example:
        >>> inspect_data(Path("chest_xray"), Path("inspect")).audit.count("error")  # doctest: +SKIP
        0
    """
    from pneumoscope.report.canvas import can_draw  # noqa: PLC0415 - after parsing
    from pneumoscope.report.inspect_page import (  # noqa: PLC0415 - the same
        without_figures,
        write_inspect_page,
    )

    watcher = watcher or Watcher()
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give a folder as `out`.")
    if split_file is not None and split_file.is_dir():
        split_file = split_file / "split.csv"
    if scores and options is not None and options.findings is not None:
        raise OptionError("scores", must="omitted with `findings`", was=[*map(str, scores)])
    contradicted = _contradicted(data, scores, positive, options) if scores else []
    audit = audit_data(
        data,
        positive=positive,
        options=options,
        patient_regex=patient_regex,
        split_file=split_file,
        suspects=contradicted,
        seed=seed,
        workers=workers,
        bar=watcher.progress,
    )
    facts = provenance(data=str(data), split_file=str(split_file) if split_file else None)
    if not can_draw():
        watcher.warn(without_figures())
    with files_written_whole(out) as folder:
        write_json(folder / _JSON, {**audit.to_dict(), "provenance": facts})
        name, generated = data.resolve().name, is_generated(data)
        write_inspect_page(folder / _PAGE, audit, name=name, facts=facts, generated=generated)
    return Inspected(audit, out / _PAGE, out / _JSON)


def _contradicted(
    data: Path, files: Sequence[Path], positive: str | None, options: DataOptions | None
) -> list[Suspect]:
    from pneumoscope.evaluation.scores import Scores  # noqa: PLC0415 - onnxruntime

    entries = list_data(data, options, positive=names_in(positive)).entries
    found = compared([entry.label for entry in entries], positive)
    if found is None:
        raise DataError(f"{data}: `scores` needs two classes, or `positive` for more.")
    classes, inside = found
    label_of = {entry.path: entry.label for entry in entries}
    paths: list[str] = []
    labels: list[int] = []
    probabilities: list[float] = []
    for file in files:
        scores = Scores.load(file)
        for path, probability in zip(scores.path, scores.probability.tolist(), strict=True):
            if path in label_of:
                paths.append(path)
                labels.append(int(label_of[path] in inside))
                probabilities.append(probability)
    if not paths:
        raise DataError(
            f"{files[0]}: contains none of the images of {data}; the scores must be from these "
            "data."
        )
    return suspects(paths, labels, probabilities, classes=classes)

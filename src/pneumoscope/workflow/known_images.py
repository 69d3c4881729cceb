"""Facts about the images behind scores: groups, sizes, studies, relation to a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.data.columns import further_columns, manifest_columns
from pneumoscope.data.relation import Relation
from pneumoscope.evaluation.question import Images
from pneumoscope.evaluation.subgroups import size_tertiles
from pneumoscope.runs import RunFolder, rows_of
from pneumoscope.workflow.places import data_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pneumoscope.data.catalog import Catalog, Entry
    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.labels import LabelSpace


def columns_of(entries: Sequence[Entry], data: Path) -> dict[str, dict[str, str]]:
    """Return the columns that define subgroups: size, and columns of a manifest.

    Args:
        entries: The images.
        data: The folder or manifest of the images.

    Raises:
        DataError: The manifest cannot be read.
    """
    pixels = np.array([entry.width * entry.height for entry in entries], np.int64)
    thirds = size_tertiles([entry.path for entry in entries], pixels)
    return {"image size": thirds, **manifest_columns(data)}


def images_of_scores(
    path: Path,
    scores: Scores,
    *,
    part: str | None,
    run: RunFolder | None,
    labels: LabelSpace,
) -> Images:
    """Return the facts known from a scores file and its run.

    Args:
        path: The file.
        scores: The scores in the file.
        part: The part that was read; None for all.
        run: The run of the file; None for other files.
        labels: The classes of the run.

    Raises:
        DataError: The manifest of the run cannot be read.
    """
    listed = images_of_rows(rows_of(path), scores, part=part)
    if run is None or not (run.catalog.is_file() and run.split.is_file()):
        return listed
    columns = {**listed.columns}
    facts = {row["path"]: row for row in rows_of(run.catalog)}
    parts = {row["path"]: row["split"] for row in rows_of(run.split)}
    known = [name for name in scores.path if name in facts]
    if known:
        pixels = [int(facts[name]["width"]) * int(facts[name]["height"]) for name in known]
        columns["image size"] = size_tertiles(known, np.array(pixels, np.int64))
    data = data_of(run)
    if data is not None:
        columns |= manifest_columns(data)
    teaching = [row for name, row in facts.items() if parts.get(name) == "train"]
    training = None
    if teaching and scores.part != "train":
        training = (
            np.array([int(row["bytes"]) for row in teaching]),
            np.array([row["label"] in labels.positive for row in teaching], np.int64),
        )
    relation = _own(parts.get(name) == "train" for name in scores.path)
    return Images(
        part=scores.part,
        relation=relation.to_part(scores.part),
        seen=relation.seen,
        has_test="test" in parts.values(),
        fingerprint=_fingerprint(run),
        columns=columns,
        sizes={name: int(row["bytes"]) for name, row in facts.items()},
        studies={
            **{name: row.get("study") or "" for name, row in facts.items()},
            **listed.studies,
        },
        training=training,
    )


def images_of_rows(
    rows: Sequence[Mapping[str, Any]], scores: Scores, *, part: str | None
) -> Images:
    """Return the facts of the images in the rows of a table of scores.

    Args:
        rows: All rows of the table.
        scores: The scores in the file.
        part: The part that was read; None for all.
    """
    chosen = _rows_of_part(rows, part)
    columns, sizes = _further_columns(chosen, scores)
    studies = {
        name: study
        for name, row in zip(scores.path, chosen, strict=True)
        if (study := (row.get("study") or "").strip())
    }
    return Images(scores.part, columns=columns, sizes=sizes, studies=studies)


def images_of_run(
    run: RunFolder, part: str, *, catalog: Catalog, training: Sequence[Entry], data: Path
) -> Images:
    """Return the facts of the images of one part of a run.

    Args:
        run: Run with a split.
        part: ``val`` or ``test``.
        catalog: All images of the run.
        training: Images of the training set.
        data: The folder or manifest of the images.

    Raises:
        DataError: The manifest cannot be read.
    """
    parts = {row["path"]: row["split"] for row in rows_of(run.split)}
    entries = [entry for entry in catalog.entries if parts.get(entry.path) == part]
    return Images(
        part=part,
        relation=_own(part == "train" for _ in entries).to_part(part),
        has_test="test" in parts.values(),
        fingerprint=catalog.fingerprint,
        columns=columns_of(entries, data),
        sizes={entry.path: entry.bytes for entry in catalog.entries},
        studies={entry.path: entry.study for entry in entries},
        training=(
            np.array([entry.bytes for entry in training], np.int64),
            np.array([entry.label in catalog.label_space.positive for entry in training], np.int64),
        ),
        left_out=catalog.left_out,
    )


def _own(trained_on: Iterable[bool]) -> Relation:
    """Return the relation of images of a run's own data."""
    return Relation(known=True, own=True, trained_on=tuple(trained_on))


def _fingerprint(run: RunFolder) -> str:
    if not run.provenance.is_file():
        return ""
    provenance = json.loads(run.provenance.read_text(encoding="utf-8"))
    return str(provenance.get("data_fingerprint", ""))


def _rows_of_part(
    rows: Sequence[Mapping[str, Any]], part: str | None
) -> Sequence[Mapping[str, Any]]:
    """Return the rows of a scores file, of one part if rows state theirs."""
    parts = [(row.get("split") or "").strip().lower() for row in rows]
    if part is not None and any(parts):
        return [row for row, own in zip(rows, parts, strict=True) if own == part]
    return rows


def _further_columns(
    rows: Sequence[Mapping[str, Any]], scores: Scores
) -> tuple[dict[str, dict[str, str]], dict[str, int]]:
    """Return the additional columns of a scores file: groups and file sizes.

    ``width`` and ``height`` give thirds of the image size, ``bytes`` the size of the file.
    """
    names = list(scores.path)
    columns = further_columns(rows, names)
    wide, high, size = (
        [int(text) if (text := (row.get(name) or "").strip()).isdecimal() else 0 for row in rows]
        for name in ("width", "height", "bytes")
    )
    if all(wide) and all(high):
        columns["image size"] = size_tertiles(names, np.array(wide) * np.array(high))
    return columns, dict(zip(names, size, strict=True))

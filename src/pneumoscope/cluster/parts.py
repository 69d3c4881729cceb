"""The Parquet parts of a long run, and their summary.

The rows are those of ``predict --out results.parquet``. The metadata of a part identify its shard
and contain its counts, so that a summary does not read rows.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import OutputError
from pneumoscope.reader.archive.summary import RunSummary
from pneumoscope.reader.prediction import ERROR
from pneumoscope.reader.records import Record, write_parquet
from pneumoscope.runs import written_whole

if TYPE_CHECKING:
    from pneumoscope.cluster.shards import Shard

_NAME = re.compile(r"part-(\d{7,})\.parquet")
_KEY = "pneumoscope"


@dataclass(frozen=True, slots=True)
class Part:
    """The result of one shard.

    Attributes:
        number: Number of the shard.
        content: Content of the Parquet file.
        images: Number of rows.
        unreadable: Number of rows of images that could not be read.
    """

    number: int
    content: bytes
    images: int
    unreadable: int


def part_of(
    shard: Shard,
    records: Iterable[Record],
    reference: Mapping[str, Any],
    *,
    findings: Sequence[str] = (),
) -> Part:
    """Return the part of a shard.

    Args:
        shard: The shard.
        records: The record of each item, in order.
        reference: Distributions on validation images, from the model file.
        findings: The findings of a multi-label model.

    Raises:
        ModuleNotFoundError: pyarrow is not installed; it comes with the extra ``ray``.
    """
    tally = RunSummary(reference, most_notes=None)
    file = io.BytesIO()

    def counted() -> Iterable[Record]:
        for record in records:
            tally.add(record)
            yield record

    def facts() -> dict[str, str]:
        told = {"shard": shard.number, "digest": shard.digest, "tally": tally.counts()}
        return {_KEY: json.dumps(told)}

    write_parquet(file, counted(), metadata=facts, findings=findings)
    return Part(shard.number, file.getvalue(), tally.images, tally.conclusions[ERROR])


def put(folder: Path, part: Part) -> None:
    """Write a part atomically and durably.

    Raises:
        OutputError: The part cannot be written.
    """
    with written_whole(part_path(folder, part.number)) as temporary, temporary.open("wb") as file:
        file.write(part.content)
        file.flush()
        os.fsync(file.fileno())


def part_path(folder: Path, number: int) -> Path:
    """Return the path of a shard's part; sorted by name, parts are in archive order."""
    return folder / f"part-{number:07d}.parquet"


def parts_in(folder: Path) -> set[int]:
    """Return the numbers of the shards that have a part."""
    with os.scandir(folder) as entries:
        found = (_NAME.fullmatch(entry.name) for entry in entries)
        return {int(match[1]) for match in found if match}


def facts_of(folder: Path, number: int) -> dict[str, Any]:
    """Return the metadata of a part: ``shard``, ``digest`` and ``tally``.

    Raises:
        OutputError: The file cannot be read, or is not a part of such a run.
    """
    import pyarrow  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415

    place = part_path(folder, number)
    try:
        told: dict[str, Any] = json.loads(parquet.read_metadata(place).metadata[_KEY.encode()])
        if told["shard"] != number:
            raise ValueError(f"of shard {told['shard']}")  # noqa: TRY301 - as any other damage
    except (OSError, LookupError, TypeError, ValueError, pyarrow.ArrowException) as fault:
        raise OutputError(
            f"{place}: not a valid part of this run ({fault}); delete it and continue with "
            "`resume`."
        ) from fault
    return told


def tally_of(
    folder: Path, numbers: Iterable[int], reference: Mapping[str, Any], *, others: Counter[str]
) -> RunSummary:
    """Return the combined counts of parts.

    Raises:
        OutputError: A part cannot be read.
    """
    tally = RunSummary(reference)
    tally.others = others
    for number in numbers:
        tally.merge(facts_of(folder, number)["tally"])
    return tally


def with_errors(folder: Path, numbers: Iterable[int]) -> set[int]:
    """Return the numbers of the parts with rows of unreadable images.

    Raises:
        OutputError: A part cannot be read.
    """
    return {
        number
        for number in numbers
        if facts_of(folder, number)["tally"]["conclusions"].get(ERROR, 0)
    }

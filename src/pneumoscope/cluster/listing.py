"""List the images of folders, lists, Parquet manifests and fsspec addresses.

The order only depends on the names, so that listing an archive twice gives the same result. Names
are yielded as they are read: of a folder, a list, a manifest or an S3 bucket, only a page is in
memory.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from pneumoscope.errors import DataError
from pneumoscope.reader.archive.inputs import (
    CALLED_IMAGES,
    HIDDEN,
    Unlisted,
    is_dicomdir,
    iterate_images,
    paths_from,
    suffix_of,
)

Item = str | Unlisted
"""An image to read, or a folder that could not be listed."""

COLUMN = "path"
"""The column of a Parquet manifest with the paths of the images."""

_BATCH = 10_000
_S3 = ("s3", "s3a")


def is_remote(name: str) -> bool:
    """Return whether a name is an fsspec address such as ``s3://bucket/folder``."""
    return "://" in name


def file_system(address: str) -> Any:
    """Return the fsspec file system of an address; credentials are found as usual.

    Raises:
        DataError: The protocol is unknown, or its package is not installed.
        ModuleNotFoundError: fsspec is not installed; it comes with the extra ``ray``.
    """
    import fsspec  # noqa: PLC0415 - an extra

    try:
        # Kept listings would grow with the archive.
        return fsspec.filesystem(address.split("://", 1)[0], use_listings_cache=False)
    except (ImportError, ValueError) as fault:
        raise DataError(f"{address}: cannot be opened ({fault}).") from fault


def list_archive(
    archive: Sequence[str], *, listed_in: str | None = None, others: Counter[str] | None = None
) -> Iterator[Item]:
    """Return the images of an archive in a deterministic order.

    Args:
        archive: Folders, patterns and files, as for ``predict``; fsspec addresses of folders and
            files; lists (``.txt``, one path per line) and manifests (``.parquet`` with a column
            ``path``), on disk or at an address.
        listed_in: An additional list or manifest, with any suffix.
        others: Counters of files that are not images, by kind, updated as items are yielded.

    Raises:
        DataError: There is no image, or a list or manifest cannot be read. Errors that appear
            before the first image are raised immediately.
    """
    counts: Counter[str] = Counter() if others is None else others
    items = _all_of(archive, listed_in, counts)
    first = next(items, None)
    if first is None:
        raise DataError(f"{', '.join(archive) or listed_in}: contains no images.")
    return itertools.chain((first,), items)


def _all_of(archive: Sequence[str], listed_in: str | None, others: Counter[str]) -> Iterator[Item]:
    for name in archive:
        if name.lower().endswith((".parquet", ".txt")):
            yield from _named_in(name)
        elif is_remote(name):
            yield from _below_address(name, others)
        else:
            yield from iterate_images([name], others=others)
    if listed_in:
        yield from _named_in(listed_in)


def _named_in(place: str) -> Iterator[Item]:
    """Yield the paths in a list or a manifest."""
    try:
        with _opened(place) as file:
            yield from _column(file, place) if place.endswith(".parquet") else paths_from(file)
    except OSError as fault:
        raise DataError(f"{place}: cannot be read ({fault.strerror or fault}).") from fault


def _opened(place: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    if is_remote(place):
        opened: contextlib.AbstractContextManager[IO[bytes]] = file_system(place).open(place, "rb")
        return opened
    return Path(place).open("rb")


def _column(file: IO[bytes], place: str) -> Iterator[str]:
    import pyarrow  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415

    try:
        table = parquet.ParquetFile(file)
        if COLUMN not in table.schema_arrow.names:
            raise DataError(f"{place}: a manifest needs a column {COLUMN!r}.")
        row = 0
        for batch in table.iter_batches(_BATCH, columns=[COLUMN], use_threads=False):
            for value in batch.column(0).to_pylist():
                row += 1
                if not isinstance(value, str) or not value:
                    raise DataError(f"{place}: row {row} has no path.")
                yield value
    except pyarrow.ArrowException as fault:
        raise DataError(f"{place}: not a readable Parquet file ({fault}).") from fault


def _below_address(address: str, others: Counter[str]) -> Iterator[Item]:
    files = file_system(address)
    try:
        if not address.endswith("/") and files.isfile(address):
            yield address
            return
        protocol, _, place = address.partition("://")
        names = _keys(files, protocol, place) if protocol in _S3 else _walked(files, address)
        start = len(address.rstrip("/")) + 1
        for name in names:
            kind = _kind_beside_images(name[start:])
            if kind:
                others[kind] += 1
            else:
                yield name
    except OSError as fault:
        raise DataError(f"{address}: cannot be listed ({fault.strerror or fault}).") from fault


def _keys(files: Any, protocol: str, place: str) -> Iterator[str]:
    """Yield the objects below an S3 prefix in key order, page by page."""
    bucket, _, key = place.partition("/")
    prefix = f"{key.rstrip('/')}/" if key else ""
    token: dict[str, str] = {}
    while True:
        page = files.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **token)
        for found in page.get("Contents", ()):
            if not found["Key"].endswith("/"):  # created by S3 consoles for an empty folder
                yield f"{protocol}://{bucket}/{found['Key']}"
        if not page.get("IsTruncated"):
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _walked(files: Any, place: str) -> Iterator[str]:
    """Yield the files below a folder of any file system, one folder in memory at a time."""
    for entry in sorted(files.ls(place, detail=True), key=lambda entry: str(entry["name"])):
        if entry["type"] == "directory":
            yield from _walked(files, entry["name"])
        else:
            yield str(files.unstrip_protocol(entry["name"]))


def _kind_beside_images(name: str) -> str:
    """Return the kind of an object that is not an image; empty if it may be one.

    Objects without a suffix count as images, since DICOM files often have none; nothing is
    downloaded to check.
    """
    *folders, own = name.split("/")
    if any(part.startswith(".") for part in (*folders, own)):
        return HIDDEN
    if is_dicomdir(own):
        return "DICOMDIR"
    suffix = suffix_of(own)
    return "" if own.lower().endswith(CALLED_IMAGES) else suffix

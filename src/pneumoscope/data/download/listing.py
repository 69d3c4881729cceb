"""Download a list of files with sizes and checksums."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin

from pneumoscope.data.download.fetch import Expected, fetch
from pneumoscope.data.download.unpack import is_safe
from pneumoscope.errors import DownloadError
from pneumoscope.images.read import MAX_BYTES
from pneumoscope.parallel import ordered_map

if TYPE_CHECKING:
    from pneumoscope.data.download.manifest import Manifest
    from pneumoscope.parallel import Progress

MOST_LISTING_BYTES = 64 * 2**20
_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of the list: its relative path and its expected content."""

    path: str
    expected: Expected


def read_listing(file: Path, manifest: Manifest) -> tuple[Listed, ...]:
    """Return the files of a listing: ``{"files": [{"path", "bytes", "sha256"}, …]}``.

    Raises:
        DownloadError: It is not a listing, or names a file outside the data set's folders.
    """
    try:
        listed = tuple(
            Listed(str(row["path"]), Expected(int(row["bytes"]), str(row["sha256"])))
            for row in json.loads(file.read_text(encoding="utf-8"))["files"]
        )
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise DownloadError(
            f"not a valid listing; expected files with path, bytes and sha256 ({fault!r})."
        ) from fault
    for item in listed:
        if not is_safe(item.path) or item.path.rpartition("/")[0] not in manifest.folders:
            raise DownloadError(
                f"the listing contains {item.path!r}, which is not in the folders "
                f"{', '.join(manifest.folders)}."
            )
    if not listed:
        raise DownloadError("the listing is empty.")
    return listed


def fetch_listed(
    listed: tuple[Listed, ...], url: str, folder: Path, *, progress: Progress | None = None
) -> None:
    """Download the files of a listing into a folder; existing files are kept.

    A file only appears once it is complete and its checksum is verified, so a later call continues
    after an interruption.

    Raises:
        DownloadError: A file cannot be downloaded, or differs from the listing.
        OutputError: A file cannot be written.
    """

    def bring(item: Listed) -> None:
        file = folder / item.path
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            place = urljoin(url, quote(item.path))
            fetch(place, file, expected=item.expected, most_bytes=MAX_BYTES)

    for done, _ in enumerate(ordered_map(bring, listed, workers=_CONNECTIONS), 1):
        if progress:
            progress(done, len(listed))

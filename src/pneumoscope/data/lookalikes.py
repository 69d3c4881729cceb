"""Find copies among prepared images, with the method of the audit."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pneumoscope.data.audit.duplicates import near_pairs
from pneumoscope.data.audit.measures import INPUT, pixel_hash
from pneumoscope.data.audit.oddities import is_blank
from pneumoscope.data.audit.store import SIDE_PX, PixelStore
from pneumoscope.data.copies import Copies, Pair, equal_rows, tied
from pneumoscope.errors import OutputError
from pneumoscope.images.prepare import prepare_bytes
from pneumoscope.images.read import read_bytes
from pneumoscope.parallel import ordered_map
from pneumoscope.runs import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pneumoscope.data.cache import ImageCache
    from pneumoscope.data.catalog import Catalog, Entry
    from pneumoscope.parallel import Progress

_KEPT = "lookalikes.json"
_VERSION = 1
"""Incremented when the same pixels give other copies."""


def find_copies(
    catalog: Catalog,
    cache: ImageCache,
    *,
    near: bool = True,
    progress: Progress | None = None,
) -> Copies:
    """Return which images of a catalog show the same picture.

    Each content is compared once, by its prepared pixels. Inputs with fewer than 112 rows or
    columns contain too little detail, so in this case the files are read again. The result only
    depends on the contents; it is stored next to their pixels and reused by later trainings.

    Args:
        catalog: The images.
        cache: Their pixels.
        near: Whether to search for near copies as well.
        progress: Called as images are processed.

    Raises:
        ImageError: A file cannot be read again.
        OutputError: The disk of temporary files is full.
    """
    entry_of = {entry.sha256: entry for entry in catalog.entries}
    contents = sorted(entry_of)  # independent of the names of files
    found = _kept(cache, contents) if near else None
    if found is None:
        found = _found([entry_of[digest] for digest in contents], catalog, cache, near, progress)
        if near:
            _keep(cache, contents, found)
    # A row represents its content, and identical files are connected by their checksums.
    row_of: dict[str, int] = {}
    for row, entry in enumerate(catalog.entries):
        row_of.setdefault(entry.sha256, row)
    rows = [row_of[digest] for digest in contents]
    return Copies(
        tuple(sorted(tuple(sorted(rows[place] for place in group)) for group in found.exact)),
        tuple(
            sorted(
                Pair(
                    min(rows[pair.first], rows[pair.second]),
                    max(rows[pair.first], rows[pair.second]),
                    pair.correlation,
                    pair.mirrored,
                )
                for pair in found.near
            )
        ),
    )


def _found(
    entries: Sequence[Entry],
    catalog: Catalog,
    cache: ImageCache,
    near: bool,
    progress: Progress | None,
) -> Copies:
    """Return the copies among different contents, by position in ``entries``."""
    enough = min(cache.spec.shape) >= SIDE_PX

    def looked_at(entry: Entry) -> tuple[str, bool, NDArray[np.uint8]]:
        if enough:
            (pixels,) = cache.take(cache.rows([entry]))
        else:
            file = catalog.file(entry)
            pixels, _ = prepare_bytes(read_bytes(file), INPUT, name=str(file))
        digest = pixel_hash(pixels, entry.width, entry.height)
        return digest, is_blank(pixels), _reduced(pixels)

    hashes, blank = [], set()
    with PixelStore() as store:
        for place, (digest, nothing, small) in enumerate(ordered_map(looked_at, entries)):
            hashes.append(digest)
            if nothing:
                blank.add(place)
            if near:
                store.append(small)
            if progress:
                progress(place + 1, len(entries))
        groups = tied(len(entries), equal_rows(hashes))
        exact = [group for group in groups if not blank.issuperset(group)]
        pairs = near_pairs(store, skip=exact, leave_out=blank) if near else []
    return Copies(tuple(map(tuple, exact)), tuple(pairs))


def _kept(cache: ImageCache, contents: Sequence[str]) -> Copies | None:
    """Return a previous result for the same contents; None if there is none."""
    try:
        kept = json.loads((cache.folder / _KEPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # missing or truncated
        return None
    if (kept["version"], kept["contents"]) != (_VERSION, _fingerprint(contents)):
        return None
    return Copies(
        tuple(tuple(group) for group in kept["exact"]), tuple(Pair(*pair) for pair in kept["near"])
    )


def _keep(cache: ImageCache, contents: Sequence[str], found: Copies) -> None:
    values = {
        "version": _VERSION,
        "contents": _fingerprint(contents),
        "exact": found.exact,
        "near": [(p.first, p.second, p.correlation, p.mirrored) for p in found.near],
    }
    with contextlib.suppress(OutputError):  # a shared, read-only cache is sufficient
        write_json(cache.folder / _KEPT, values)


def _fingerprint(contents: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()


def _reduced(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    if pixels.shape == INPUT.shape:
        return np.asarray(image.reduce(INPUT.width_px // SIDE_PX))
    return np.asarray(image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))

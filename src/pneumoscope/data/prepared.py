"""The input of training: images, their pixels and their sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pneumoscope.data.cache import ImageCache
from pneumoscope.data.catalog import PARTS, Catalog
from pneumoscope.data.cohort import Cohort
from pneumoscope.data.copies import Copies
from pneumoscope.data.split import UNUSED, Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class PreparedData:
    """A catalog of readable images with their pixels and sets.

    Attributes:
        catalog: The images.
        cache: Their pixels.
        split: The part of each.
        copies: Images that show the same picture.
    """

    catalog: Catalog
    cache: ImageCache
    split: Split
    copies: Copies = field(default_factory=Copies)

    @property
    def cohort(self) -> Cohort:
        """The images with their patients, sets and copies."""
        return Cohort(self.catalog, self.split, copies=self.copies)

    @property
    def digest(self) -> str:
        """SHA-256 over paths, contents, labels and sets, in order."""
        digest = hashlib.sha256()
        for part in (*PARTS, UNUSED):
            digest.update(part.encode())
            for row in self.split.rows(part):
                entry = self.catalog.entries[row]
                line = f"\n{entry.path}\0{entry.sha256}\0{entry.label}"
                if entry.findings:
                    line += f"\0{entry.findings}"
                digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def pixels(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Return a copy of the prepared images of catalog rows, uint8 [n, height, width]."""
        return self.cache.take(self.cache.rows(self.catalog.entries[row] for row in rows))

    def batches(self, rows: Sequence[int], *, size: int = 32) -> Iterator[NDArray[np.uint8]]:
        """Yield the prepared images of catalog rows in batches."""
        for start in range(0, len(rows), size):
            yield self.pixels(rows[start : start + size])

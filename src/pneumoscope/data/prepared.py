"""What training and its report start from: the images, their pixels, and who teaches whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pneumoscope.data.cache import ImageCache
from pneumoscope.data.catalog import Catalog
from pneumoscope.data.split import Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class PreparedData:
    """A catalog of readable images, the cache of their pixels, and the part of each."""

    catalog: Catalog
    cache: ImageCache
    split: Split

    def pixels(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Return a copy of the prepared images of catalog rows, uint8 [n, height, width]."""
        return self.cache.take(self.cache.rows(self.catalog.entries[row] for row in rows))

    def batches(self, rows: Sequence[int], *, size: int = 32) -> Iterator[NDArray[np.uint8]]:
        """Yield the prepared images of catalog rows, so many at a time."""
        for start in range(0, len(rows), size):
            yield self.pixels(rows[start : start + size])

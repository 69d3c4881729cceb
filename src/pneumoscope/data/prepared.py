"""What training and its report start from: the images, their pixels, and who teaches whom."""

from __future__ import annotations

from dataclasses import dataclass

from pneumoscope.data.cache import ImageCache
from pneumoscope.data.catalog import Catalog
from pneumoscope.data.split import Split


@dataclass(frozen=True, slots=True, eq=False)
class PreparedData:
    """A catalog of readable images, the cache of their pixels, and the part of each."""

    catalog: Catalog
    cache: ImageCache
    split: Split

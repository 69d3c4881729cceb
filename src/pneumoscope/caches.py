"""The folders for caches of this package and its dependencies."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_home() -> Path:
    """Return the folder for caches: ``PNEUMOSCOPE_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("PNEUMOSCOPE_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs  # noqa: PLC0415 - most processes need no cache

    return Path(platformdirs.user_cache_dir("pneumoscope"))


def keep_matplotlib_here() -> None:
    """Make matplotlib store its font list in the cache of this package.

    Must be called before matplotlib is imported; later calls have no effect. A folder set by
    ``MPLCONFIGDIR`` is not changed.
    """
    if "MPLCONFIGDIR" not in os.environ and "matplotlib" not in sys.modules:
        os.environ["MPLCONFIGDIR"] = str((cache_home() / "matplotlib").absolute())

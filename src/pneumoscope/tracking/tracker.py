"""The interface of trackers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pneumoscope.training.log import Epoch


class Tracker(Protocol):
    """Receives reports about runs; errors never stop the training."""

    def begin(self, run: str, recipe: Mapping[str, Any]) -> None:
        """A run starts or resumes.

        Args:
            run: Name of the run.
            recipe: The recipe, as in ``config.yaml``.
        """

    def epoch(self, run: str, row: Epoch) -> None:
        """An epoch is finished: the row of ``log.csv``."""

    def end(
        self,
        run: str,
        numbers: Mapping[str, float],
        files: Sequence[Path],
        *,
        failed: bool = False,
    ) -> None:
        """A run is finished.

        Args:
            run: Name of the run.
            numbers: Metrics by name.
            files: Files of the run; missing files are ignored.
            failed: Whether the run failed.
        """

    def close(self, files: Sequence[Path] = ()) -> None:
        """All runs are finished; wait until everything is reported."""


def numbers_in(row: Epoch) -> dict[str, float]:
    """Return the numeric columns of a row of ``log.csv``."""
    return {
        name: float(value)
        for name in row.__slots__
        if name != "epoch" and (value := getattr(row, name)) is not None
    }


def flat(recipe: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return a recipe as texts, with nested fields named with dots.

    >>> flat({"seed": 0, "augmentation": {"zoom": 0.1}})
    {'seed': '0', 'augmentation.zoom': '0.1'}
    """
    found: dict[str, str] = {}
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = str(value)
    return found


def without_secret(url: str) -> str:
    """Return an address without its password.

    >>> without_secret("postgresql://me:secret@host/db")
    'postgresql://me@host/db'
    """
    return re.sub(r"://([^:/@]*):[^@]*@", r"://\1@", url)

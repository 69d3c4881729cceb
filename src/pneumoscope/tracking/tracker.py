"""What every tracker can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pneumoscope.training.log import Epoch


class Tracker(Protocol):
    """Hears of runs. Whatever goes wrong with it, no call raises: training goes on without."""

    def begin(self, run: str, recipe: Mapping[str, Any]) -> None:
        """Hear that a run begins, or goes on.

        Args:
            run: Its name.
            recipe: Its recipe, as in ``config.yaml``.
        """

    def epoch(self, run: str, row: Epoch) -> None:
        """Hear of an epoch: the row of ``log.csv``."""

    def end(
        self,
        run: str,
        numbers: Mapping[str, float],
        files: Sequence[Path],
        *,
        failed: bool = False,
    ) -> None:
        """Hear that a run ended.

        Args:
            run: Its name.
            numbers: What it reached.
            files: What it wrote; those that are not there are passed over.
            failed: Whether it failed.
        """

    def close(self, files: Sequence[Path] = ()) -> None:
        """Hear that all is over, and of files of all runs together; wait until all is told."""


def numbers_in(row: Epoch) -> dict[str, float]:
    """Return the numbers of a row of ``log.csv``, by their columns."""
    return {
        name: float(value)
        for name in row.__slots__
        if name != "epoch" and (value := getattr(row, name)) is not None
    }


def flat(recipe: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return a recipe as texts, the parts of a field named with a dot.

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

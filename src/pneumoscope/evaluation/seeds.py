"""Mean and spread of runs of one recipe with several seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pneumoscope.stats.intervals import student_quantile

POWER = 0.8
"""The power of the test for the detectable difference."""


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """Runs of one recipe with several seeds.

    Attributes:
        members: Names of the runs.
        mean: Mean of each metric over the runs.
        deviation: Standard deviation of each metric (n - 1).
        detectable: The smallest difference from the mean of the same number of runs of another
            recipe, with the same standard deviation, that a two-sided t test at 5 % detects with a
            power of 80 %: (t(0.975, 2k - 2) + t(0.8, 2k - 2)) · deviation · sqrt(2 / k) for k runs.
    """

    members: tuple[str, ...]
    mean: dict[str, float]
    deviation: dict[str, float]
    detectable: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "members": list(self.members),
            "mean": self.mean,
            "deviation": self.deviation,
            "detectable": self.detectable,
        }


def seed_groups(
    names: Sequence[str], recipes: Sequence[str], points: Sequence[Mapping[str, float]]
) -> tuple[SeedGroup, ...]:
    """Return the mean and spread of two or more runs with the same recipe.

    Args:
        names: Names of the runs.
        recipes: Identifiers shared by runs that only differ in the seed; empty if unknown.
        points: The metrics of each run.
    """
    alike: dict[str, list[int]] = {}
    for row, recipe in enumerate(recipes):
        if recipe:
            alike.setdefault(recipe, []).append(row)
    groups = []
    for rows in alike.values():
        k = len(rows)
        if k < 2:
            continue
        values = {name: np.array([points[row][name] for row in rows]) for name in points[rows[0]]}
        deviation = {name: float(column.std(ddof=1)) for name, column in values.items()}
        reach = student_quantile(0.975, 2 * k - 2) + student_quantile(POWER, 2 * k - 2)
        groups.append(
            SeedGroup(
                tuple(names[row] for row in rows),
                {name: float(column.mean()) for name, column in values.items()},
                deviation,
                {name: reach * spread * math.sqrt(2 / k) for name, spread in deviation.items()},
            )
        )
    return tuple(groups)

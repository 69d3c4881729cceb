"""Which classes an image may belong to, at a stated error level.

Split conformal prediction, class by class (Vovk, Gammerman and Shafer, "Algorithmic Learning in a
Random World", 2005; class-conditional form: Vovk, "Conditional validity of inductive conformal
predictors", ACML 2012). How far an image is from a class is one minus the probability of that
class. A class stays in the set of an image if it is no farther than the quantile of that class,
which comes from validation images. Of new images like those, in each class at most the share
``level`` have a set without their true class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Conformal:
    """When a class stands in an image's prediction set.

    Attributes:
        level: The error level: of each class at most this share misses its true class.
        quantiles: For (negative, positive): the class stands in the set if one minus its
            probability is at most this.
        n: Validation images of (negative, positive) that the quantiles come from.
    """

    level: float
    quantiles: tuple[float, float]
    n: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"its conformal level is {self.level!r}")
        if len(self.quantiles) != 2 or not all(0 <= value <= 1 for value in self.quantiles):
            raise ValueError(f"its conformal quantiles are {self.quantiles!r}")

    def holds(self, probability: float) -> tuple[bool, bool]:
        """Return whether the negative and the positive class are in the set of one image.

        Args:
            probability: Of the positive class.
        """
        negative, positive = self.quantiles
        return probability <= negative, 1 - probability <= positive

    def sets(self, probability: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return for probabilities [n] of the positive class which classes are credible, [n, 2]."""
        positive = np.asarray(probability, np.float64)
        found: NDArray[np.bool_] = np.stack(
            [positive <= self.quantiles[0], 1 - positive <= self.quantiles[1]], axis=-1
        )
        return found

    def uncertain(self, probability: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which images are to be set aside, [n]: their set is not exactly one class."""
        found: NDArray[np.bool_] = self.sets(probability).sum(axis=-1) != 1
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"level": self.level, "quantiles": list(self.quantiles), "n": list(self.n)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Conformal:
        """Return the rule that ``to_dict`` wrote; other keys are for people.

        Raises:
            KeyError, TypeError, ValueError: Something is missing or cannot be.
        """
        (q0, q1), (n0, n1) = values["quantiles"], values.get("n", (0, 0))
        return cls(float(values["level"]), (float(q0), float(q1)), (int(n0), int(n1)))

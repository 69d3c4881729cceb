"""Which classes an image may belong to, at a stated level of confidence.

Split conformal prediction, class by class (Vovk, Gammerman and Shafer, "Algorithmic Learning in a
Random World", 2005; class-conditional form: Vovk, "Conditional validity of inductive conformal
predictors", ACML 2012). How far an image is from a class is one minus the probability of that
class. A class stays in the set of an image if it is no farther than the quantile of that class,
which comes from validation images. Of new images like those, the set holds the true class in at
least the share ``level``, whichever class it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Conformal:
    """The rule of a model file.

    Attributes:
        level: How often the set must hold the true class, in (0, 1).
        quantiles: The largest distance from the negative and from the positive class at which it
            stays in the set, each in [0, 1].
    """

    level: float
    quantiles: tuple[float, float]

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"its conformal level is {self.level!r}")
        if len(self.quantiles) != 2 or not all(0 <= value <= 1 for value in self.quantiles):
            raise ValueError(f"its conformal quantiles are {self.quantiles!r}")

    def holds(self, probability: float) -> tuple[bool, bool]:
        """Return whether the negative and the positive class are in the set.

        Args:
            probability: Of the positive class.
        """
        negative, positive = self.quantiles
        return probability <= negative, 1 - probability <= positive

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"level": self.level, "quantiles": list(self.quantiles)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Conformal:
        """Return the rule that ``to_dict`` wrote; other keys are for people.

        Raises:
            KeyError, TypeError, ValueError: Something is missing or cannot be.
        """
        negative, positive = values["quantiles"]
        return cls(float(values["level"]), (float(negative), float(positive)))

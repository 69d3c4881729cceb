"""Conformal prediction sets at a given error level.

Split conformal prediction, class by class (Vovk, Gammerman and Shafer, "Algorithmic Learning in a
Random World", 2005; class-conditional form: Vovk, "Conditional validity of inductive conformal
predictors", ACML 2012). The nonconformity of an image to a class is one minus the probability of
that class. The set of an image contains each class whose nonconformity is at most the quantile of
that class, which is determined on validation images. For new images similar to these, at most the
share ``level`` of each class have a set without their true class.

A set may be empty; ``reader.policy`` adds the class given by the threshold, which preserves the
guarantee, since sets only become larger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Conformal:
    """The rule that determines the classes in a prediction set.

    Attributes:
        level: The error level: the maximum share of each class whose set lacks the true class.
        quantiles: One quantile per class, in the order of the model's outputs: the set contains the
            class if one minus its probability is at most the quantile.
        n: Number of validation images of each class that the quantiles were determined on; 0 if
            unknown.
    """

    level: float
    quantiles: tuple[float, ...]
    n: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"its conformal level is {self.level!r}")
        if len(self.quantiles) < 2 or not all(0 <= value <= 1 for value in self.quantiles):
            raise ValueError(f"its conformal quantiles are {self.quantiles!r}")
        if not self.n:
            object.__setattr__(self, "n", (0,) * len(self.quantiles))
        if len(self.n) != len(self.quantiles):
            raise ValueError(f"its conformal quantiles come from {self.n!r} images")

    def holds(self, nonconformity: Sequence[float]) -> tuple[bool, ...]:
        """Return whether each class is in the set of one image.

        Args:
            nonconformity: One minus the probability of each class, [K]; (p, 1 - p) for two classes
                of which the second one has the probability p.
        """
        return tuple(far <= limit for far, limit in zip(nonconformity, self.quantiles, strict=True))

    def sets(self, probability: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which classes are in the sets of n images, [n, K].

        Args:
            probability: Probabilities of the second of two classes, [n], or of each class, [n, K].
        """
        import numpy as np  # noqa: PLC0415 - a single decision needs no numpy

        given = np.asarray(probability, np.float64)
        far = np.stack([given, 1 - given], axis=-1) if given.ndim == 1 else 1 - given
        found: NDArray[np.bool_] = far <= np.array(self.quantiles)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"level": self.level, "quantiles": list(self.quantiles), "n": list(self.n)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Conformal:
        """Return the rule written by ``to_dict``; other keys are informational.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or invalid.
        """
        return cls(
            float(values["level"]),
            tuple(float(value) for value in values["quantiles"]),
            tuple(int(count) for count in values.get("n", ())),
        )

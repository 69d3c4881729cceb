"""The classes of a task, and the positive ones among them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """The class names of a single-label task, in the order of the model's outputs.

    Attributes:
        names: At least two distinct names.
        positive: The names that count as positive, in the order of ``names``; at least one, and
            not all of them. With NORMAL, BACTERIA and VIRUS the positive group BACTERIA, VIRUS
            makes P(positive) the sum of both probabilities.
        group: Name of the positive group, such as PNEUMONIA; empty if it has none.

    Raises:
        ValueError: The names or the group are invalid.
    """

    names: tuple[str, ...]
    positive: tuple[str, ...]
    group: str = ""

    def __post_init__(self) -> None:
        if len(self.names) < 2 or len(set(self.names)) != len(self.names) or not all(self.names):
            raise ValueError(f"its classes must be two or more different names, got {self.names!r}")
        inside = tuple(name for name in self.names if name in self.positive)
        if inside != self.positive or not 0 < len(inside) < len(self.names):
            raise ValueError(
                f"its positive classes must be some of {self.names!r}, got {self.positive!r}"
            )

    @classmethod
    def of(cls, names: Iterable[str], positive: Iterable[str] = (), group: str = "") -> LabelSpace:
        """Return the label space of classes; by default the last one is positive.

        >>> LabelSpace.of(["NORMAL", "PNEUMONIA"]).positive
        ('PNEUMONIA',)
        """
        listed = tuple(names)
        inside = set(positive) or set(listed[-1:])
        missing = inside - set(listed)
        if missing:
            raise ValueError(f"its positive classes {sorted(missing)!r} are not in {listed!r}")
        return cls(listed, tuple(name for name in listed if name in inside), group)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def negative(self) -> tuple[str, ...]:
        """The names that do not count as positive, in the order of ``names``."""
        return tuple(name for name in self.names if name not in self.positive)

    @property
    def is_positive(self) -> tuple[bool, ...]:
        """Whether each class counts as positive, in the order of ``names``."""
        return tuple(name in self.positive for name in self.names)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, as accepted by ``of``."""
        found: dict[str, Any] = {"names": list(self.names), "positive": list(self.positive)}
        return {**found, "group": self.group} if self.group else found

    @property
    def pair(self) -> tuple[str, str]:
        """Names of the two groups, (negative, positive); several names are joined by `` or ``."""
        return " or ".join(self.negative), self.group or " or ".join(self.positive)

    def positive_probability(self, probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return P(positive), [...], the sum over the positive group.

        Args:
            probabilities: Probabilities of each class, [..., K].

        Raises:
            ValueError: The last axis does not have K values.
        """
        if probabilities.shape[-1] != len(self):
            raise ValueError(f"{probabilities.shape[-1]} probabilities for {len(self)} classes")
        found: NDArray[np.floating] = probabilities[..., list(self.is_positive)].sum(axis=-1)
        return found

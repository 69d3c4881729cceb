"""The positive group of readers with more than two classes.

Only loaded for models of more than two classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.labels import LabelSpace

_SMALLEST = 1e-45
"""Lower limit of probabilities before taking logarithms: the smallest positive float32."""


def of_group(
    probabilities: NDArray[np.float32], labels: LabelSpace
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log odds and probability of the positive group, [n] each.

    The odds are computed from the two sums, so that they are precise for probabilities near 0 or 1.

    Args:
        probabilities: Probabilities of each class, [n, K].
        labels: The classes.
    """
    exact = probabilities.astype(np.float64)
    inside = np.array(labels.is_positive)
    positive, negative = (np.maximum(exact[:, of].sum(1), _SMALLEST) for of in (inside, ~inside))
    return np.log(positive) - np.log(negative), exact[:, inside].sum(1).clip(0, 1)


def map_of(
    maps: NDArray[np.float32], labels: LabelSpace, name: str | None = None
) -> NDArray[np.float32]:
    """Return the evidence map of a class or of the positive group, [n, h, w].

    Args:
        maps: Maps of each class against the mean of the others, [n, K, h, w].
        labels: The classes.
        name: The class; None gives the mean of the positive classes against that of the others.

    Raises:
        ValueError: The class does not exist.
    """
    if name is not None:
        return maps[:, labels.names.index(name)]
    inside = np.array(labels.is_positive)
    count = len(labels)
    found: NDArray[np.float32] = maps[:, inside].mean(1) - maps[:, ~inside].mean(1)
    return found * np.float32((count - 1) / count)

"""The classes behind results of ``predict``: their probabilities, and which count as positive."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from pneumoscope.errors import DataError
from pneumoscope.labels import LabelSpace

_TRIED = 14  # maximum number of classes for which every group is tried
_ROWS = 500  # images are sufficient to determine the positive classes
_DIGITS = 2e-4  # results have six digits; maximum error of a sum of several


def probabilities_of(cell: str) -> dict[str, float]:
    """Return the probabilities by class in a cell of a table of results.

    Raises:
        DataError: The cell does not have the form written by ``predict``.

    >>> probabilities_of("NORMAL 0.1; NO FINDING 0.9")
    {'NORMAL': 0.1, 'NO FINDING': 0.9}
    """
    found = {}
    for text in cell.split("; "):
        name, _, value = text.rpartition(" ")
        try:
            found[name] = float(value)
        except ValueError as fault:
            raise DataError(
                f"the probabilities {cell!r} cannot be read; the expected format is "
                "'NORMAL 0.1; VIRUS 0.9', as written by `predict`."
            ) from fault
    return found


def label_space(
    probabilities: Sequence[dict[str, float]],
    probability: Sequence[float],
    conclusions: Collection[str],
) -> LabelSpace:
    """Return the classes of results, and the group whose probabilities sum to that of the results.

    Args:
        probabilities: The probabilities by class of each image.
        probability: Probability of the positive group for each image.
        conclusions: All conclusions; one that is not a class may be the name of the group.

    Raises:
        DataError: Images have different classes, or no group of them has these sums.
    """
    names = tuple(probabilities[0])
    if any(tuple(one) != names for one in probabilities):
        raise DataError("the images have probabilities of different classes.")
    each = np.array([list(one.values()) for one in probabilities])
    inside = _positive(each, np.asarray(probability, np.float64))
    if inside is None:
        raise DataError(
            f"the probability is not a sum of those of {', '.join(names)}, so the positive "
            "classes are unknown."
        )
    positive = [name for name, own in zip(names, inside, strict=True) if own]
    plain = LabelSpace.of(names, positive)
    others = set(conclusions) - {*names, *plain.pair}
    return LabelSpace.of(names, positive, others.pop() if len(others) == 1 else "")


def _positive(each: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.bool_] | None:
    """Return the classes [K] whose probabilities sum to ``total``; None if none do."""
    classes = each.shape[1]
    if classes <= _TRIED:
        rows = np.unique(np.linspace(0, len(each) - 1, _ROWS).astype(int))
        groups = np.array(list(product((False, True), repeat=classes)))[1:-1]
        missed = np.abs(groups.astype(np.float64) @ each[rows].T - total[rows]).mean(axis=1)
        inside = groups[int(missed.argmin())]
    else:
        inside = np.linalg.lstsq(each, total, rcond=None)[0] > 1 / 2
    right = np.abs(each[:, inside].sum(axis=1) - total).max() < _DIGITS
    return inside if right and 0 < inside.sum() < classes else None

"""Drift of the probabilities from those of the validation images.

Two measures between histograms over the same bins. The population stability index is the symmetric
Kullback-Leibler divergence (Jeffreys, 1946) of the shares; by the convention of credit scoring,
where it originates (Siddiqi, "Credit Risk Scorecards", 2006), values below 0.1 count as no drift
and above 0.25 as large. The Kolmogorov-Smirnov distance is the largest difference of the cumulative
shares at the edges of the bins, so it is at most that of the values themselves. Neither implies
that the reader is wrong: a higher prevalence than in validation is also a drift.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

BINS = 20
FEW = 100
"""Minimum number of images; with fewer, both measures are mostly chance and not given."""

SLIGHT, LARGE = 0.1, 0.25


@dataclass(frozen=True, slots=True)
class Drift:
    """The distance of new images from the reference.

    Attributes:
        psi: Population stability index, 0 if equal, unbounded.
        ks: Kolmogorov-Smirnov distance, 0 to 1.
        n: Number of new images.
        n_reference: Number of images of the reference.
    """

    psi: float
    ks: float
    n: int
    n_reference: int

    @property
    def verdict(self) -> str:
        """The size of the drift: ``none``, ``slight`` or ``large``."""
        return "none" if self.psi < SLIGHT else "slight" if self.psi < LARGE else "large"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the verdict as JSON values."""
        return {
            "psi": self.psi,
            "ks": self.ks,
            "n": self.n,
            "n_reference": self.n_reference,
            "verdict": self.verdict,
        }


def histogram(probabilities: Iterable[float], *, bins: int = BINS) -> list[int]:
    """Return counts in equal bins from 0 to 1, as stored under ``reference``."""
    counts = [0] * bins
    for probability in probabilities:
        counts[bin_of(probability, bins=bins)] += 1
    return counts


def bin_of(probability: float, *, bins: int = BINS) -> int:
    """Return the bin of a probability."""
    return min(int(probability * bins), bins - 1)


def drift(counts: Sequence[int], reference: Sequence[int]) -> Drift | None:
    """Return the drift between two histograms over the same bins; None with fewer than 100 images.

    Half an image is added to each bin, so that the result is finite even with empty bins.

    Raises:
        ValueError: The bins differ.
    """
    if len(counts) != len(reference):
        raise ValueError(f"{len(counts)} bins against {len(reference)}")
    n, n_reference = sum(counts), sum(reference)
    if n < FEW or n_reference < FEW:
        return None
    half = 0.5 * len(counts)
    shares = [
        ((new + 0.5) / (n + half), (old + 0.5) / (n_reference + half))
        for new, old in zip(counts, reference, strict=True)
    ]
    psi = math.fsum((new - old) * math.log(new / old) for new, old in shares)
    sums = zip(accumulate(counts), accumulate(reference), strict=True)
    ks = max(abs(new / n - old / n_reference) for new, old in sums)
    return Drift(psi, ks, n, n_reference)


def reference_distances(reference: Mapping[str, Any]) -> tuple[list[float], list[int]] | None:
    """Return edges and counts of a model's ``distance_histogram``; None if unusable.

    The bins are those between the increasing edges, and one at either end for all values beyond.
    """
    found = reference.get("distance_histogram")
    if not isinstance(found, Mapping):
        return None
    edges, counts = found.get("edges"), found.get("counts")
    if not (isinstance(edges, list) and isinstance(counts, list) and len(counts) > 1):
        return None
    sound = all(isinstance(count, int) and count >= 0 for count in counts)
    sound = sound and all(isinstance(edge, int | float) for edge in edges)
    if not sound or len(edges) != len(counts) - 1 or edges != sorted(edges):
        return None
    return [float(edge) for edge in edges], list(counts)


def distance_histogram(distances: Sequence[float], *, bins: int = BINS) -> dict[str, Any]:
    """Return the ``distance_histogram`` of validation images, with bins of equal mass."""
    import numpy as np  # noqa: PLC0415 - not needed by the service

    edges = np.quantile(np.array(distances, np.float64), np.arange(1, bins) / bins)
    counts = np.bincount(np.searchsorted(edges, distances, side="right"), minlength=bins)
    return {"edges": [float(edge) for edge in edges], "counts": [int(count) for count in counts]}


def reference_counts(reference: Mapping[str, Any]) -> list[int] | None:
    """Return the histogram in a model's ``reference``, or None if unusable."""
    counts = reference.get("probability_histogram")
    if not isinstance(counts, list) or not counts:
        return None
    sound = all(isinstance(count, int) and count >= 0 for count in counts)
    return list(counts) if sound else None

"""Statistics of how images were acquired and stored, and clusters of similar images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.data.prepared import PreparedData

STATISTICS: Final = (
    "log of the pixels as stored", "log of width / height", "log of bytes / pixel", "colour",
    "mean", "standard deviation", "5th percentile", "95th percentile", "mean of the border",
    "share of black", "log of the sharpness",
)  # fmt: skip
"""Names of the statistics, in the order of the columns."""

_BATCH = 64
_BLACK = 8
_FAR = 4.0  # standard deviations; values are clipped here, so that an outlier forms no own cluster


def acquisition_statistics(data: PreparedData, rows: Sequence[int]) -> NDArray[np.float64]:
    """Return facts of the headers and of the prepared pixels, [n, statistics].

    Args:
        data: The images.
        rows: The rows to use.
    """
    found = np.zeros((len(rows), len(STATISTICS)))
    entries = [data.catalog.entries[row] for row in rows]
    for place, entry in enumerate(entries):
        pixels = max(1, entry.width * entry.height)
        found[place, :4] = (
            np.log(pixels),
            np.log(max(1, entry.width) / max(1, entry.height)),
            np.log(max(1, entry.bytes) / pixels),
            entry.mode not in {"L", "I;16", "I", "1"},
        )
    for start in range(0, len(rows), _BATCH):
        batch = data.pixels(rows[start : start + _BATCH])
        found[start : start + len(batch), 4:] = _of_pixels(batch.astype(np.float32))
    return found


def _of_pixels(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the statistics of prepared pixels, float32 [n, height, width]."""
    n, height, width = pixels.shape
    flat = pixels.reshape(n, -1)
    edge = max(1, min(height, width) // 25)
    inside = np.zeros((height, width), bool)
    inside[edge:-edge, edge:-edge] = True
    low, high = np.percentile(flat, (5, 95), axis=1)
    steps = np.abs(np.diff(pixels, axis=1)).mean((1, 2)) + np.abs(np.diff(pixels)).mean((1, 2))
    return np.stack(
        [
            flat.mean(1),
            flat.std(1),
            low,
            high,
            pixels[:, ~inside].mean(1),
            (flat < _BLACK).mean(1),
            np.log(0.1 + steps),
        ],
        axis=1,
    ).astype(np.float64)


def clusters(
    statistics: NDArray[np.float64],
    labels: NDArray[np.int64],
    together: NDArray[np.int64],
    *,
    count: int,
    seed: int,
) -> NDArray[np.int64]:
    """Return the number of each image's cluster by k-means, [n].

    Statistics are standardised within each class, so that clusters reflect the acquisition and not
    the classes correlated with it; images that belong together share the mean of their statistics.

    Args:
        statistics: The result of ``acquisition_statistics``, [n, k].
        labels: The number of each image's class, [n].
        together: A number for images that belong together, such as those of a patient, [n].
        count: Number of clusters.
        seed: Seed of the initial centres.
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415 - of the training extra

    standard = np.zeros_like(statistics)
    for label in np.unique(labels):
        own = statistics[labels == label]
        scale = own.std(0)
        scale[scale < 1e-9] = 1.0
        standard[labels == label] = np.clip((own - own.mean(0)) / scale, -_FAR, _FAR)
    _, unit = np.unique(together, return_inverse=True)
    size = np.bincount(unit)
    means = np.stack([np.bincount(unit, column) / size for column in standard.T], axis=1)
    found = KMeans(count, n_init=10, random_state=seed).fit(means, sample_weight=size)
    numbers: NDArray[np.int64] = found.labels_.astype(np.int64)[unit]
    return numbers

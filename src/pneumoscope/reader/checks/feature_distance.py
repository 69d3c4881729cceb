"""Distance from the training images: a normal distribution of low rank.

Probabilistic principal components (Tipping and Bishop, "Probabilistic Principal Component
Analysis", 1999): along a few directions, the variance is that of the training images; along all
others, it is one small number. The distance is the Mahalanobis distance of this model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_NUMBERS = 1_000_000


class FeatureDistribution(NamedTuple):
    """The distribution of feature vectors of length d.

    Attributes:
        mean: float32 [d].
        directions: Orthonormal rows, float32 [k, d], rounded as in the file.
        variances: Along the directions, float32 [k], all positive.
        rest: The variance along all other directions, positive.
    """

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    variances: NDArray[np.float32]
    rest: float

    def distance(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the distances of vectors [n, d], float32 [n]; about 1 for training images."""
        centred = vectors - self.mean
        along = centred @ self.directions.T
        # The residual is computed explicitly, not as a difference of squares: the directions are
        # only orthonormal up to rounding, which a difference would amplify.
        beyond = centred - along @ self.directions
        squared = (along * along / self.variances).sum(1) + (beyond * beyond).sum(1) / self.rest
        found: NDArray[np.float32] = np.sqrt(squared / len(self.mean))
        return found

    @classmethod
    def fit(cls, vectors: NDArray[np.floating[Any]], *, rank: int) -> FeatureDistribution:
        """Fit the distribution to vectors [n, d].

        Args:
            vectors: Vectors of the training images.
            rank: The number of directions; fewer if there are fewer vectors.
        """
        n, d = vectors.shape
        mean = vectors.mean(0, dtype=np.float64)
        _, singular, directions = np.linalg.svd(vectors - mean, full_matrices=False)
        variances = singular**2 / max(n - 1, 1)
        kept = max(1, min(rank, n // 4, d - 1))
        rest = max(float(variances[kept:].sum() / (d - kept)), 1e-8)
        return cls(
            _rounded(mean),
            _rounded(directions[:kept]),
            np.maximum(variances[:kept], rest).astype(np.float32),
            rest,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; arrays are base64 of little-endian float16."""
        return {
            "mean": _packed(self.mean),
            "directions": _packed(self.directions),
            "variances": [float(value) for value in self.variances],
            "rest": self.rest,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FeatureDistribution:
        """Return the distribution written by ``to_dict``.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or invalid.
        """
        mean = _unpacked(values["mean"])
        variances = np.array(values["variances"], np.float32)
        directions = _unpacked(values["directions"]).reshape(len(variances), len(mean))
        rest = float(values["rest"])
        sound = all(np.isfinite(part).all() for part in (mean, variances, directions, rest))
        if not (sound and (variances > 0).all() and rest > 0):
            raise ValueError("its gate has invalid values")
        return cls(mean, directions, variances, rest)


def _rounded(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Round as in the file, so that distances are the same before and after writing."""
    return values.astype("<f2").astype(np.float32)


def _packed(values: NDArray[np.float32]) -> str:
    from binascii import b2a_base64  # noqa: PLC0415 - not needed without a gate

    return b2a_base64(values.astype("<f2").tobytes(), newline=False).decode("ascii")


def _unpacked(text: str) -> NDArray[np.float32]:
    from binascii import a2b_base64  # noqa: PLC0415 - the same

    content = a2b_base64(text, strict_mode=True)
    if not 0 < len(content) <= 2 * MAX_NUMBERS:
        raise ValueError("its gate has an invalid size")
    return np.frombuffer(content, "<f2").astype(np.float32)

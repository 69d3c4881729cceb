"""Whether an image can be assessed at all, by its pixels and features.

The rules return reasons in words, and their limits are stored in the model file. The simple rules
apply to any radiograph: large enough, grey, neither blank nor washed out. ``Look`` describes the
overall appearance of the training images, and so recognises images that are rotated, inverted, or
not chest X-rays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pneumoscope.reader.checks.feature_distance import FeatureDistribution

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.reader.preprocess import Shape

_WHITE, _BLACK = 250, 5
_LOW, _HIGH = 2, 98  # percentiles that define the range of grey levels of an image
_SIDE = 16
_UNLIKE = "the image does not look like the frontal chest X-rays this reader was trained on"
_TURNS = ("", "rotated by 90° to the left", "rotated by 180°", "rotated by 90° to the right")


class Rules(NamedTuple):
    """Limits for any radiograph.

    The defaults have a large margin around 5,352 paediatric radiographs of one hospital (the most
    extreme value is given in brackets), so that they apply to other radiographs as well.

    Attributes:
        side_px: Minimum of the shorter side in pixels, unless the model's input is smaller.
        aspect: Maximum ratio of the longer to the shorter side (2.9).
        chroma: Maximum of the mean difference between the strongest and the weakest colour, in grey
            levels (0).
        contrast: Minimum number of grey levels between the darkest and the brightest 2 % of the
            pixels (80).
        detail: Minimum of the mean difference between a pixel and the mean of its neighbours on
            both sides, along rows or columns, in grey levels (0.39); 0 for a gradient.
        white: Maximum share of nearly white pixels (0.08).
        black: Maximum share of nearly black pixels (0.35).
    """

    side_px: float = 64
    aspect: float = 4.0
    chroma: float = 8.0
    contrast: float = 25.0
    detail: float = 0.3
    white: float = 0.35
    black: float = 0.75


class Look(NamedTuple):
    """The distribution of training images at 16 x 16 pixels.

    Attributes:
        distribution: Distribution of images standardised to mean 0 and variance 1.
        turned: An image is refused if rotating or inverting it reduces its distance to less than
            this share.
        farthest: Maximum distance of an image that is not refused.
    """

    distribution: FeatureDistribution
    turned: float
    farthest: float

    def distances(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the distances of an image in its eight orientations, float32 [8].

        The order is: unchanged, rotated by 90°, 180° and 270° clockwise, then the same inverted.
        """
        found: NDArray[np.float32] = self._distances(_thumbnail(pixels)[np.newaxis])[0]
        return found

    def _distances(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the distances [n, 8] of thumbnails [n, 16, 16]."""
        turned = [np.rot90(images, -turns, (1, 2)).reshape(len(images), -1) for turns in range(4)]
        ways = [*turned, *(-way for way in turned)]
        return np.stack([self.distribution.distance(way) for way in ways], axis=1)

    def orientation(self, distances: NDArray[np.float32]) -> int | None:
        """Return the orientation that makes an image upright, 1 to 7; None if it is upright.

        Args:
            distances: The result of ``distances`` for the image.
        """
        way = int(distances[1:].argmin()) + 1
        near = distances[way] < self.turned * distances[0] and distances[way] <= self.farthest
        return way if near else None

    def is_unlike(self, distances: NDArray[np.float32]) -> bool:
        """Return whether an image is farther away than any training image."""
        return bool(distances[0] > self.farthest)

    def reasons(self, distances: NDArray[np.float32]) -> list[str]:
        """Return why an image does not look like the training images; empty if it does.

        Args:
            distances: The result of ``distances`` for the image.
        """
        way = self.orientation(distances)
        if way is not None:
            # The orientation that corrects it determines how it was rotated.
            faults = [_TURNS[way % 4]] if way % 4 else []
            faults += ["inverted (bone dark, air bright)"] if way >= 4 else []
            return [f"the image appears to be {' and '.join(faults)}"]
        if self.is_unlike(distances):
            return [f"{_UNLIKE}; it may be a photograph, a lateral view or another body part"]
        return []

    @classmethod
    def fit(
        cls, pixels: NDArray[np.uint8], *, rank: int = 32, allowed: float = 0.001, folds: int = 5
    ) -> Look:
        """Fit the distribution to prepared images, with limits that refuse almost none of them.

        The limits are determined by cross-validation: the distances of each fifth are computed with
        a distribution fitted to the others. Images of one patient should be adjacent, so that
        folds, which are contiguous rows, do not share patients.

        Args:
            pixels: uint8 [n, height, width], at least 200.
            rank: Number of directions of the distribution.
            allowed: Maximum share of images that each of the two limits may refuse.
            folds: Number of folds.

        Raises:
            ValueError: There are fewer than 200 images, which are too few for such limits.
        """
        if len(pixels) < 200:
            raise ValueError(f"at least 200 images are needed, got {len(pixels)}")
        images = np.stack([_thumbnail(image) for image in pixels])
        upright, best = [], []
        for part in np.array_split(np.arange(len(images)), folds):
            others = np.delete(images, part, axis=0).reshape(-1, _SIDE * _SIDE)
            judge = cls(FeatureDistribution.fit(others, rank=rank), 1.0, np.inf)
            found = judge._distances(images[part])
            upright.append(found[:, 0])
            best.append(found[:, 1:].min(1) / found[:, 0])
        flat = images.reshape(-1, _SIDE * _SIDE)
        return cls(
            FeatureDistribution.fit(flat, rank=rank),
            turned=min(0.95, float(np.quantile(np.concatenate(best), allowed))),
            farthest=float(np.quantile(np.concatenate(upright), 1 - allowed)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "likeness": self.distribution.to_dict(),
            "turned": self.turned,
            "farthest": self.farthest,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Look:
        """Return the look written by ``to_dict``.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or invalid.
        """
        distribution = FeatureDistribution.from_dict(values["likeness"])
        if len(distribution.mean) != _SIDE * _SIDE:
            raise ValueError("its gate expects another number of pixels")
        return cls(distribution, float(values["turned"]), float(values["farthest"]))


class PixelGate(NamedTuple):
    """The checks before the network."""

    rules: Rules = Rules()
    look: Look | None = None

    def reasons(self, pixels: NDArray[np.uint8], shape: Shape) -> tuple[str, ...]:
        """Return why an image cannot be assessed; empty if it can."""
        return self.judge(pixels, shape)[0]

    def judge(
        self, pixels: NDArray[np.uint8], shape: Shape
    ) -> tuple[tuple[str, ...], float | None]:
        """Return why an image cannot be assessed, and its distance.

        The reason is empty if it can be assessed. The distance is None if there is no look, or if a
        simple rule already refuses the image.

        Args:
            pixels: The result of ``prepare``, uint8 [height, width].
            shape: Further facts of the image.
        """
        found = [*self._of_shape(shape, pixels.shape), *self._of_levels(pixels)]
        # For a blank or coloured image, a description would add nothing.
        if found or self.look is None:
            return tuple(found), None
        distances = self.look.distances(pixels)
        return self._unlike(pixels, distances), float(distances[0])

    def _unlike(self, pixels: NDArray[np.uint8], distances: NDArray[np.float32]) -> tuple[str, ...]:
        """Return why an image is unlike the training images, and what it resembles."""
        if self.look is None:
            return ()
        way = self.look.orientation(distances)
        if way is None and not self.look.is_unlike(distances):
            return ()
        from pneumoscope.reader.checks.appearance import SCREEN, kind  # noqa: PLC0415 - rare

        instead = kind(pixels)
        # A page may resemble a chest rotated by 180°. A rotated chest may be smooth.
        if not instead or (instead == (SCREEN,) and way is not None):
            return tuple(self.look.reasons(distances))
        return (_UNLIKE, *instead)

    def _of_shape(self, shape: Shape, input_shape: tuple[int, ...]) -> list[str]:
        found = []
        short, long = sorted((shape.width, shape.height))
        least = min(self.rules.side_px, *input_shape)
        if short < least:
            found.append(
                f"the image has {shape.width:,} x {shape.height:,} pixels, too few to assess "
                f"the lungs (at least {least:g} in each direction)"
            )
        if long > self.rules.aspect * short:
            found.append(
                f"one side of the image is {long / short:,.1f} times the other "
                f"(limit {self.rules.aspect:g})"
            )
        if shape.chroma > self.rules.chroma:
            found.append(
                "the image is in colour, so it is not an X-ray but a photograph, a screenshot "
                "or a drawing"
            )
        return found

    def _of_levels(self, pixels: NDArray[np.uint8]) -> list[str]:
        step = max(1, min(pixels.shape) // 64)  # a few thousand pixels are sufficient
        some = pixels[::step, ::step]
        share = np.cumsum(np.bincount(some.ravel(), minlength=256)) / some.size
        darkest, brightest = np.searchsorted(share, (_LOW / 100, _HIGH / 100))
        found = []
        if brightest - darkest < self.rules.contrast:
            return ["the image is blank: its grey levels hardly differ"]
        if _detail(pixels) < self.rules.detail:
            return ["the image is blank: it has no detail, only a gradient"]
        white, black = 1 - share[_WHITE - 1], share[_BLACK]
        if white > self.rules.white:
            found.append(f"{white:.0%} of the image is pure white, without detail")
        if black > self.rules.black:
            found.append(f"{black:.0%} of the image is pure black, without detail")
        if not found:
            return []
        from pneumoscope.reader.checks.appearance import kind  # noqa: PLC0415 - rare

        return [*found, *kind(pixels)]

    def to_dict(self) -> dict[str, Any]:
        """Return the gate as JSON values, as stored in a model file under ``gate``."""
        look = {} if self.look is None else {"look": self.look.to_dict()}
        return {"rules": self.rules._asdict(), **look}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PixelGate:
        """Return the gate written by ``to_dict``; other keys belong to other gates.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or invalid.
        """
        rules = {name: float(values["rules"][name]) for name in Rules._fields}
        look = Look.from_dict(values["look"]) if "look" in values else None
        return cls(Rules(**rules), look)


class FeatureGate(NamedTuple):
    """The check of the features from the network's output ``features``.

    Attributes:
        distribution: Distribution of the features of training images.
        farthest: Maximum distance of features that are not refused.
    """

    distribution: FeatureDistribution
    farthest: float

    def reasons(self, distance: float) -> tuple[str, ...]:
        """Return why an image at this distance cannot be assessed; empty if it can."""
        if distance <= self.farthest:
            return ()
        reason = (
            "the image is unlike the chest X-rays this reader was trained on (distance "
            f"{distance:.2f}, limit {self.farthest:.2f})"
        )
        return (reason,)

    def to_dict(self) -> dict[str, Any]:
        """Return the gate as JSON values, as stored in a model file under ``gate.features``."""
        return {"likeness": self.distribution.to_dict(), "farthest": self.farthest}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FeatureGate:
        """Return the gate written by ``to_dict``.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or invalid.
        """
        return cls(FeatureDistribution.from_dict(values["likeness"]), float(values["farthest"]))


def _detail(pixels: NDArray[np.uint8]) -> float:
    """Return the mean difference of pixels from their neighbours, along rows or along columns.

    This is the smaller of the two values: a steep gradient, rounded to whole grey levels, has
    differences along one axis.
    """
    step = max(1, min(pixels.shape) // 16)
    across, down = pixels[::step].astype(np.int16), pixels[:, ::step].astype(np.int16)
    bent = np.abs(2 * across[:, 1:-1] - across[:, :-2] - across[:, 2:]).mean()
    return float(min(bent, np.abs(2 * down[1:-1] - down[:-2] - down[2:]).mean())) / 2


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return an image at 16 x 16 pixels with mean 0 and variance 1, float32."""
    from PIL import Image  # noqa: PLC0415 - so that importing the package stays light

    box = Image.Resampling.BOX
    small = np.asarray(Image.fromarray(pixels).resize((_SIDE, _SIDE), box), np.float32)
    centred: NDArray[np.float32] = small - small.mean()
    scaled: NDArray[np.float32] = centred / (centred.std() + np.float32(1e-3))
    return scaled

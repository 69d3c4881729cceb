"""The images of a site: their selection, and their distance from the training images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.adaptation.layers import SMALLEST_VARIANCE, Moments
from pneumoscope.adaptation.measure import Batch
from pneumoscope.errors import DataError, ImageError, OtherKindError
from pneumoscope.parallel import ordered_map
from pneumoscope.reader.archive.inputs import Unlisted
from pneumoscope.reader.preprocess import load_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.parallel import Progress
    from pneumoscope.reader.model_file.bundle import Bundle
    from pneumoscope.reader.preprocess import LoadedImage

FEWEST = 100
"""Minimum number of images for an adaptation."""

MOST = 2000
"""Maximum number of images used; more would change the moments by less than their error."""

ODD = 0.2
"""If the gate rejects a larger share of the images, they are outside the intended use."""

FARTHEST = 1.0
"""Maximum distance of a site's channels from training, in standard deviations."""

BATCH = 16
_NOISE = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class SiteImages:
    """The selected images.

    Attributes:
        pixels: uint8 [n, height, width].
        sha256: SHA-256 of their prepared pixels, in order.
        given: Number of files.
        unreadable: Number of unreadable files.
        copies: Number of images with the same pixels as another one.
        refused: Number of images that the gate rejects.
    """

    pixels: NDArray[np.uint8]
    sha256: str
    given: int
    unreadable: int
    copies: int
    refused: int

    def batches(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the images in small batches."""
        for start in range(0, len(self.pixels), BATCH):
            yield self.pixels[start : start + BATCH]

    def counts(self) -> dict[str, int]:
        """Return the numbers of files as JSON values."""
        return {
            "given": self.given,
            "used": len(self.pixels),
            "unreadable": self.unreadable,
            "copies": self.copies,
            "refused": self.refused,
        }


@dataclass(frozen=True, slots=True)
class Distance:
    """The distance of a site's channels from those of the training images.

    Attributes:
        mean: The root mean square, over channels, of the difference of the means in standard
            deviations of the training images.
        spread: The median, over channels, of the ratio of the standard deviations.
        by_chance: Expected value of ``mean`` without any difference, estimated from two halves of
            the images.
    """

    mean: float
    spread: float
    by_chance: float

    @property
    def verdict(self) -> str:
        """``none``, ``slight`` or ``large``: up to 2, up to 4, or more times the expected value."""
        # The statistics of the training images also have an error.
        ratio = self.mean / max(self.by_chance, _NOISE)
        return "none" if ratio < 2 else "slight" if ratio < 4 else "large"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the verdict as JSON values."""
        return {**asdict(self), "verdict": self.verdict}


def distance(halves: Sequence[Moments], reference: Moments) -> Distance:
    """Return the distance of a site from the training images.

    Args:
        halves: Moments of two halves of its images in the unchanged graph, as one class.
        reference: Moments of training images, with the class mixture of the site.
    """
    one, other = (Moments(half.mean[0], half.variance[0], half.weight) for half in halves)
    both = Moments(
        np.stack([one.mean, other.mean]), np.stack([one.variance, other.variance]), one.weight
    ).mixed(np.concatenate([one.weight, other.weight]))
    deviation = np.sqrt(reference.variance + SMALLEST_VARIANCE)
    moved = (both.mean - reference.mean) / deviation
    # Two halves differ by the noise of both, which is twice that of the overall mean.
    chance = (one.mean - other.mean) / deviation / 2
    ratio = np.sqrt((both.variance + SMALLEST_VARIANCE) / (reference.variance + SMALLEST_VARIANCE))
    return Distance(
        float(np.sqrt(np.mean(moved**2))),
        float(np.median(ratio)),
        float(np.sqrt(np.mean(chance**2))),
    )


def read_site(
    bundle: Bundle,
    sources: Iterable[str | Unlisted],
    *,
    gated: bool = True,
    progress: Progress | None = None,
) -> SiteImages:
    """Read the images of a site, without copies and images that the gate rejects.

    Args:
        bundle: The reader.
        sources: Image files; if there are more than ``MOST``, evenly spaced ones are used.
        gated: Whether to exclude images that the gate rejects.
        progress: Called as images are read.
    """
    files = list(sources)
    if len(files) > MOST:
        files = [files[place] for place in np.linspace(0, len(files) - 1, MOST).astype(int)]
    seen: set[bytes] = set()
    kept: list[NDArray[np.uint8]] = []
    unreadable = copies = refused = 0

    def load(source: str | Unlisted) -> LoadedImage | str:
        if isinstance(source, Unlisted):
            return "unreadable"
        try:
            return load_image(source, bundle.info.input, any_kind=not gated)
        except OtherKindError:
            return "refused"
        except ImageError:
            return "unreadable"

    for done, loaded in enumerate(ordered_map(load, files), start=1):
        if progress:
            progress(done, len(files))
        if isinstance(loaded, str):
            unreadable += loaded == "unreadable"
            refused += loaded == "refused"
            continue
        digest = hashlib.sha256(loaded.pixels.tobytes()).digest()
        if digest in seen:
            copies += 1
            continue
        seen.add(digest)
        gate = bundle.pixel_gate if gated else None
        if gate and gate.judge(loaded.pixels, loaded.shape)[0]:
            refused += 1
            continue
        kept.append(loaded.pixels)
    pixels = np.stack(kept) if kept else np.zeros((0, *bundle.info.input.shape), np.uint8)
    if gated and bundle.feature_gate is not None and len(pixels):
        passed = _known(bundle, pixels)
        refused += int((~passed).sum())
        pixels = pixels[passed]
    together = hashlib.sha256(pixels.tobytes()).hexdigest()
    return SiteImages(pixels, together, len(files), unreadable, copies, refused)


def check_site(images: SiteImages) -> None:
    """Reject too few images, or images outside the intended use.

    Raises:
        DataError: There are fewer than ``FEWEST`` images, or the gate rejects a share above
            ``ODD``.
    """
    known = images.given - images.unreadable - images.copies
    if known and images.refused > ODD * known:
        raise DataError(
            f"the reader's gate rejects {images.refused:,} of {known:,} images, more than "
            f"{ODD:.0%}: they are outside the intended use, so the reader is not adapted to "
            "them. Check its conclusions with: `predict`"
        )
    if len(images.pixels) < FEWEST:
        raise DataError(
            f"{len(images.pixels):,} distinct assessable images are too few for an adaptation "
            f"(at least {FEWEST}; {images.unreadable:,} could not be read, {images.copies:,} are "
            f"copies, {images.refused:,} are rejected by the gate)."
        )


def check_distance(found: Distance) -> None:
    """Reject a site that is too far from the training images.

    Raises:
        DataError: The distance is above ``FARTHEST``, or the channels vary too little or too much.
    """
    if found.mean > FARTHEST or not 0.25 < found.spread < 4:
        raise DataError(
            f"the images are too far from the training images ({found.mean:.2f} "
            f"standard deviations, at most {FARTHEST:g}; spread {found.spread:.2f} of theirs): "
            "adapting statistics cannot correct this. Train a reader on images of the site."
        )


def batches_of(
    pixels: NDArray[np.uint8], classes: NDArray[np.float64], *, size: int = BATCH
) -> list[Batch]:
    """Return batches of images in an order that only depends on their number.

    Neighbours in a folder are often of the same patient or class, but each batch must be
    representative.

    Args:
        pixels: uint8 [n, height, width].
        classes: Membership of each image in each class, [n, classes].
        size: Size of a batch.
    """
    order = np.random.default_rng(0).permutation(len(pixels))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    return [Batch(pixels[part], classes[part]) for part in parts]


def _batched(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]


def _known(bundle: Bundle, pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return whether each image passes the feature-distance gate."""
    gate = bundle.feature_gate
    assert gate is not None  # noqa: S101 - checked before
    far: Sequence[NDArray[np.float32]] = [
        gate.distribution.distance(bundle.run(some, ["features"])[0]) for some in _batched(pixels)
    ]
    known: NDArray[np.bool_] = np.concatenate(far) <= gate.farthest
    return known

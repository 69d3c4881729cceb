"""Find images that occur more than once: exactly, or shifted, rescaled, mirrored or re-encoded.

Near duplicates are found in two steps. The first step finds candidates: the logarithm of an image's
amplitude spectrum is invariant to shifts; its principal components, after subtracting the mean of
the data, are put into hash tables by random hyperplanes (Charikar, STOC 2002), so that no image is
compared with all others. In the second step, each pair of candidates is aligned (`registration`);
the pair is a duplicate if the structure that differs between chests correlates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pneumoscope.data.audit.registration import SAME_PICTURE, best_correlation, flatten
from pneumoscope.data.copies import Pair, equal_rows, tied
from pneumoscope.parallel import ordered_map

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from pneumoscope.data.audit.measures import Measured
    from pneumoscope.data.audit.store import PixelStore
    from pneumoscope.parallel import Progress

CANDIDATE: Final = 0.55
"""Minimum cosine of two spectra for a pair to be aligned."""

_TABLES = 64
_MEETS = 12  # number of images of its bucket that an image is compared with, in each table
_IN_BUCKET = 8  # average number of images in a bucket
_PAIRS_A_ROW = 4  # candidates that are kept, the most similar first
_SPECTRUM_PX = 56
_LOW = 12  # maximum frequency, in waves per image
_COMPONENTS = 96
_SAMPLE = 4096
_AT_ONCE = 256


def exact_groups(measured: Measured) -> list[list[int]]:
    """Return groups of rows with the same bytes, or with the same pixels in different files.

    Pixels are compared as they are prepared for a model, together with the size as stored.
    """
    keys = ([entry.sha256 for entry in measured.entries], measured.pixel_hash)
    return tied(len(measured), (pair for column in keys for pair in equal_rows(column)))


def near_pairs(
    store: PixelStore,
    *,
    skip: Sequence[Sequence[int]] = (),
    leave_out: Collection[int] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Pair]:
    """Return pairs of rows that show the same picture with different pixels.

    Args:
        store: The reduced images.
        skip: Groups of equal rows; only the first row of each is compared.
        leave_out: Rows of blank images.
        seed: Seed of the random hyperplanes.
        progress: Called as candidates are aligned.
    """
    left_out = {row for group in skip for row in group[1:]} | set(leave_out)
    rows = np.array([row for row in range(len(store)) if row not in left_out], np.int64)
    if len(rows) < 2:
        return []
    features = spectra(store, rows, seed=seed)
    candidates = alike(features, seed=seed)
    found: list[Pair] = []
    for start in range(0, len(candidates), _AT_ONCE):
        some = candidates[start : start + _AT_ONCE]
        found += _confirmed(store, rows, some)
        if progress:
            progress(start + len(some), len(candidates))
    return found


def _confirmed(
    store: PixelStore, rows: NDArray[np.int64], candidates: Sequence[tuple[int, int, bool]]
) -> Iterator[Pair]:
    """Yield the candidates that are confirmed by registration."""
    needed = sorted({row for first, second, _ in candidates for row in (first, second)})
    # Here and not in the threads: each matrix product already uses all cores.
    flat = dict(zip(needed, flatten(store.take(rows[needed])), strict=True))

    def compared(candidate: tuple[int, int, bool]) -> float:
        first, second, mirrored = candidate
        return best_correlation(flat[first], flat[second][:, ::-1] if mirrored else flat[second])

    for (first, second, mirrored), correlation in zip(
        candidates, ordered_map(compared, candidates), strict=True
    ):
        if correlation >= SAME_PICTURE:
            yield Pair(int(rows[first]), int(rows[second]), correlation, mirrored)


def spectra(store: PixelStore, rows: NDArray[np.int64], *, seed: int) -> NDArray[np.float32]:
    """Return the unit vectors to hash, of each image and its mirror image, [2, n, d].

    An image and its mirror image have the same spectrum with one axis reversed, so no second
    transform is needed. The mean and the principal components are those of a sample.
    """
    sample = np.random.default_rng(seed).permutation(len(rows))[:_SAMPLE]
    seen = np.concatenate(list(_spectra_of(store, rows[np.sort(sample)])), axis=1)
    seen = seen.reshape(-1, seen.shape[2])
    mean = seen.mean(axis=0)
    centred = (seen - mean).astype(np.float64)
    variance, axes = np.linalg.eigh(centred.T @ centred / len(seen))  # the smallest first
    kept = min(_COMPONENTS, max(1, len(rows) // 2), len(variance))
    spread = np.sqrt(np.maximum(variance[::-1][:kept], 0))
    project = (axes[:, ::-1][:, :kept] / np.sqrt(np.maximum(spread, 1e-6))).astype(np.float32)
    features = np.empty((2, len(rows), kept), np.float32)
    start = 0
    for part in _spectra_of(store, rows):
        found = (part - mean) @ project
        found /= np.maximum(np.linalg.norm(found, axis=2, keepdims=True), 1e-12)
        features[:, start : start + part.shape[1]] = found
        start += part.shape[1]
    return features


def _spectra_of(store: PixelStore, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    """Yield the spectra of blocks of rows and of their mirror images, [2, k, c]."""
    for start in range(0, len(rows), 512):
        found = _spectrum(store.take(rows[start : start + 512]))
        yield found.reshape(2, found.shape[1], -1)


def alike(features: NDArray[np.float32], *, seed: int) -> list[tuple[int, int, bool]]:
    """Return pairs of rows (first, second, mirrored) whose cosine similarity is at least 0.55.

    Random hyperplanes divide the space into buckets of a few images each, in 64 tables; an image is
    compared with at most 12 others of its bucket. The cost therefore grows as n log n, and a bucket
    of a thousand equal images costs no more than any other. For uniformly distributed vectors, a
    pair with cosine 0.8 shares a bucket in at least one table with probability 0.99 at 5,000 images
    and 0.87 at 100,000; a pair with cosine 0.9 always does.

    Args:
        features: Unit vectors of the images and of their mirror images, [2, n, d].
        seed: Seed of the hyperplanes.
    """
    _, n, d = features.shape
    points = features.reshape(2 * n, d)
    bits = int(np.clip(np.ceil(np.log2(max(2, 2 * n / _IN_BUCKET))), 1, 30))
    powers = 2.0 ** np.arange(bits)  # exact, and numpy multiplies floats five times as fast
    generator = np.random.default_rng(seed)
    kept_codes, kept_cosines = np.empty(0, np.int64), np.empty(0, np.float32)
    for _ in range(_TABLES):
        planes = generator.standard_normal((d, bits + 1)).astype(np.float32)
        projected = points @ planes
        keys = ((projected[:, :bits] > 0) @ powers).astype(np.int64)
        order = np.lexsort((projected[:, bits], keys))
        ordered, sorted_keys = points[order], keys[order]
        codes, cosines = [kept_codes], [kept_cosines]
        for step in range(1, min(_MEETS, 2 * n - 1) + 1):
            together = np.flatnonzero(sorted_keys[:-step] == sorted_keys[step:])
            if not len(together):
                break
            if len(together) > n // 2:  # contiguous rows are faster than indexed ones
                cosine = np.einsum("ij,ij->i", ordered[:-step], ordered[step:])[together]
            else:
                cosine = np.einsum("ij,ij->i", ordered[together], ordered[together + step])
            near = together[cosine >= CANDIDATE]
            codes.append(_codes(order[near], order[near + step], n))
            cosines.append(cosine[cosine >= CANDIDATE])
        kept_codes, kept_cosines = _most_alike(
            np.concatenate(codes), np.concatenate(cosines), most=max(1000, _PAIRS_A_ROW * n)
        )
    pairs = []
    for code in kept_codes[kept_codes >= 0].tolist():
        rest, mirrored = divmod(code, 2)
        first, second = divmod(rest, n)
        pairs.append((first, second, bool(mirrored)))
    return pairs


def _spectrum(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return log amplitudes of the low frequencies, of images and of their mirrors, [2, n, …]."""
    n, block = len(images), images.shape[1] // _SPECTRUM_PX
    small = images.reshape(n, _SPECTRUM_PX, block, _SPECTRUM_PX, block)
    small = small.mean(axis=(2, 4), dtype=np.float32)
    small -= small.mean(axis=(1, 2), keepdims=True)
    small /= small.std(axis=(1, 2), keepdims=True) + 1
    fade = np.hanning(_SPECTRUM_PX + 2)[1:-1].astype(np.float32)
    amplitude = np.abs(np.fft.rfft2(small * np.outer(fade, fade)))
    low = np.concatenate([amplitude[:, 1 - _LOW :, :_LOW], amplitude[:, :_LOW, :_LOW]], axis=1)
    logs = np.log1p(low).astype(np.float32)  # rows: frequencies -11 to 11
    return np.stack([logs, logs[:, ::-1]])


def _codes(a: NDArray[np.int64], b: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return a code for each pair; -1 for an image and its own mirror image."""
    mirrored = (a >= n) != (b >= n)
    low, high = np.minimum(a % n, b % n), np.maximum(a % n, b % n)
    return np.where(low == high, -1, (low * n + high) * 2 + mirrored)


def _most_alike(
    codes: NDArray[np.int64], cosines: NDArray[np.float32], *, most: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each pair once, at most ``most`` pairs."""
    unique, first = np.unique(codes, return_index=True)
    cosine = cosines[first]
    if len(unique) > most:
        best = np.sort(np.argpartition(-cosine, most)[:most])
        unique, cosine = unique[best], cosine[best]
    return unique, cosine

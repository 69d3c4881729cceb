"""Moved, rescaled, mirrored and re-encoded copies are found; other chests are not."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.data.audit.duplicates import alike, near_pairs, spectra
from pneumoscope.data.audit.registration import SAME_PICTURE, best_correlation, flatten
from pneumoscope.data.audit.store import SIDE_PX, PixelStore
from pneumoscope.data.copies import tied
from pneumoscope.data.phantom import render

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def chests() -> list[Picture]:
    """Return films of 40 generated patients at 224 px."""
    return [
        render(
            ("NORMAL", "PNEUMONIA")[k % 2], patient_seed=k, image_seed=1, size_px=(224, 224)
        ).pixels
        for k in range(40)
    ]


def half(picture: Picture) -> Picture:
    return np.asarray(Image.fromarray(picture).reduce(2))


def moved(
    picture: Picture, *, scale: float = 1.0, x: float = 0, y: float = 0, turn: float = 0
) -> Picture:
    """Return the picture seen through another frame; what comes in at the edges is real or 0."""
    c, s = np.cos(np.deg2rad(turn)) / scale, np.sin(np.deg2rad(turn)) / scale
    matrix = (c, -s, 112 - c * (112 + x) + s * (112 + y), s, c, 112 - s * (112 + x) - c * (112 + y))
    return np.asarray(
        Image.fromarray(picture).transform(
            picture.shape[::-1], Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
    )


def saved(picture: Picture) -> Picture:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=40)
    return np.asarray(Image.open(file))


def darker(picture: Picture) -> Picture:
    return (255 * (picture / 255) ** 1.4).astype(np.uint8)


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "saved anew": saved,
    "darker": darker,
    "moved": lambda p: moved(p, x=9, y=-6),
    "larger": lambda p: moved(p, scale=1.05),
    "smaller": lambda p: moved(p, scale=0.96),
    "all": lambda p: saved(darker(moved(p, scale=1.04, x=5, y=4))),
}


def like(first: Picture, second: Picture) -> float:
    flat = flatten(np.stack([half(first), half(second)]))
    return best_correlation(flat[0], flat[1])


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_picture_is_recognised(chests: list[Picture], change: str) -> None:
    for chest in chests[:8]:
        assert like(chest, CHANGES[change](chest)) >= SAME_PICTURE


def test_a_slight_turn_is_recognised(chests: list[Picture]) -> None:
    for chest in chests[:8]:
        assert like(chest, moved(chest, turn=1.5)) >= SAME_PICTURE


def test_two_patients_and_two_films_of_one_are_not_the_same_picture(chests: list[Picture]) -> None:
    found = [like(chests[a], chests[b]) for a in range(12) for b in range(a)]
    assert max(found) < SAME_PICTURE
    for k in range(6):
        again = render("NORMAL", patient_seed=2 * k, image_seed=2, size_px=(224, 224)).pixels
        assert like(chests[2 * k], again) < SAME_PICTURE


def store_of(pictures: list[Picture]) -> PixelStore:
    store = PixelStore()
    for picture in pictures:
        store.append(half(picture))
    return store


def test_pairs_are_found_among_others(chests: list[Picture]) -> None:
    changed = [CHANGES[name](chests[k]) for k, name in enumerate(CHANGES)]
    mirrored = chests[20][:, ::-1]
    with store_of([*chests, *changed, mirrored]) as store:
        found = {(pair.first, pair.second): pair for pair in near_pairs(store)}
    expected = {(k, 40 + k) for k in range(len(CHANGES))} | {(20, 46)}
    assert set(found) == expected
    assert [pair for pair in expected if found[pair].mirrored] == [(20, 46)]


def test_copies_are_passed_over_and_few_rows_are_no_fault(chests: list[Picture]) -> None:
    with store_of([chests[0], chests[0], chests[1]]) as store:
        assert [(p.first, p.second) for p in near_pairs(store)] == [(0, 1)]
        assert near_pairs(store, skip=[[0, 1]]) == []
        assert near_pairs(store, leave_out={0, 1}) == []


def test_the_spectrum_of_the_mirror_image_is_the_mirrored_spectrum(chests: list[Picture]) -> None:
    both = [*chests[:20], *[chest[:, ::-1] for chest in chests[:20]]]
    with store_of(both) as store:
        features = spectra(store, np.arange(40), seed=0)
    assert features[1, :20] == pytest.approx(features[0, 20:], abs=1e-3)


def test_many_images_take_bounded_memory_and_no_comparison_of_all() -> None:
    n, d, planted = 20_000, 32, 300
    generator = np.random.default_rng(0)
    points = generator.standard_normal((n, d), dtype=np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    noise = generator.standard_normal((planted, d), dtype=np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    twins = points[:planted] + 0.45 * noise  # cosines of about 0.9
    points[-planted:] = twins / np.linalg.norm(twins, axis=1, keepdims=True)
    points[10_000:12_000] = points[10_000]  # a bucket of 2,000 equal images
    other = generator.standard_normal((n, d), dtype=np.float32)
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    features = np.stack([points, other])
    tracemalloc.start()
    found = alike(features, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    pairs = {(first, second) for first, second, mirrored in found if not mirrored}
    hits = sum((k, n - planted + k) in pairs for k in range(planted))
    assert hits / planted > 0.97
    assert len(found) <= 4 * n
    assert peak < 100e6  # a comparison of all takes 800 MB for each set of features


def test_tied() -> None:
    assert tied(6, []) == []
    assert tied(6, [(4, 1), (1, 5), (0, 2)]) == [[0, 2], [1, 4, 5]]


def test_rows_of_the_store_come_back_and_its_file_goes() -> None:
    images = np.random.default_rng(0).integers(0, 256, (700, SIDE_PX, SIDE_PX), np.uint8)
    with PixelStore() as store:
        for image in images:
            store.append(image)
        assert (store.take(np.array([5, 3, 699])) == images[[5, 3, 699]]).all()
        assert len(store) == 700
        assert store.take(np.array([], np.int64)).shape == (0, SIDE_PX, SIDE_PX)

"""Generated radiographs: reproducible, consistent with their masks, and without a shortcut."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.data.phantom import LABELS, Phantom, render, write_folder
from pneumoscope.errors import OptionError, OutputError

SMALL = (64, 80)
NAME = re.compile(r"(NORMAL|BACTERIA|VIRUS)-(\d{7})-(\d{4})\.jpeg")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def split_label_name(path: str) -> tuple[str, str, str]:
    split, label, name = path.split("/")
    return split, label, name


def auc(ill: list[float], well: list[float]) -> float:
    """The share of pairs in the right order, ties counted by half (Mann and Whitney)."""
    a, b = np.array(ill)[:, None], np.array(well)[None]
    return float(((a > b) + 0.5 * (a == b)).mean())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("made"), patients=40, size_px=SMALL, workers=1)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Phantom, Phantom]]:
    """Patients without and with their pneumonia, in images that share everything else."""
    return [
        (
            render("NORMAL", patient_seed=seed, size_px=(96, 120)),
            render("PNEUMONIA", patient_seed=seed, size_px=(96, 120)),
        )
        for seed in range(50)
    ]


# --- one image


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("size_px", [(96, 96), (100, 150), (331, 257), (16, 16)])
def test_shapes_and_types(label: str, size_px: tuple[int, int]) -> None:
    phantom = render(label, patient_seed=3, size_px=size_px)
    assert phantom.label == label
    for plane in (phantom.pixels, phantom.lungs, phantom.opacity):
        assert plane.shape == size_px
    assert phantom.pixels.dtype == np.uint8
    assert phantom.lungs.dtype == phantom.opacity.dtype == np.bool_


def test_native_size_is_a_radiographs() -> None:
    shape = render("NORMAL", patient_seed=1).pixels.shape
    assert 500 <= shape[0] <= shape[1] <= 1.61 * shape[0]


@settings(max_examples=12, deadline=None)
@given(
    label=st.sampled_from(LABELS),
    patient_seed=st.integers(0, 2**40),
    image_seed=st.integers(0, 2**40),
)
def test_same_seeds_same_pixels(label: str, patient_seed: int, image_seed: int) -> None:
    first, again = (
        render(label, patient_seed=patient_seed, image_seed=image_seed, size_px=SMALL)
        for _ in range(2)
    )
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.lungs, again.lungs)
    assert np.array_equal(first.opacity, again.opacity)


def test_another_seed_is_another_image() -> None:
    images = [
        render("NORMAL", patient_seed=patient, image_seed=image, size_px=SMALL).pixels.tobytes()
        for patient, image in ((1, 0), (1, 1), (2, 0))
    ]
    assert len(set(images)) == 3


def test_a_small_image_is_a_large_one_made_smaller() -> None:
    small = render("PNEUMONIA", patient_seed=5, size_px=(96, 120))
    large = render("PNEUMONIA", patient_seed=5, size_px=(768, 960))
    reduced = np.asarray(Image.fromarray(large.pixels).reduce(8), dtype=np.float64)
    assert np.corrcoef(reduced.ravel(), small.pixels.ravel())[0, 1] > 0.97


def test_lungs_are_dark_two_and_of_a_plausible_size(pairs: list[tuple[Phantom, Phantom]]) -> None:
    for normal, _ in pairs:
        assert 0.1 < normal.lungs.mean() < 0.5
        left, right = np.array_split(normal.lungs, 2, axis=1)
        assert 0.3 < left.sum() / right.sum() < 4
        body = normal.pixels[~normal.lungs & (normal.pixels > 40)]
        assert normal.pixels[normal.lungs].mean() < body.mean() - 20


def test_opacity_lies_in_the_lungs_and_only_the_ill_have_one(
    pairs: list[tuple[Phantom, Phantom]],
) -> None:
    for normal, ill in pairs:
        assert not normal.opacity.any()
        assert np.array_equal(normal.lungs, ill.lungs)
        assert not (ill.opacity & ~ill.lungs).any()
        assert 0.02 < ill.opacity.sum() / ill.lungs.sum() < 0.95


def test_pneumonia_whitens_its_opacity_more_than_the_rest(
    pairs: list[tuple[Phantom, Phantom]],
) -> None:
    whiter = []
    for normal, ill in pairs:
        change = ill.pixels.astype(np.float64) - normal.pixels
        # The automatic exposure answers to what is in the lungs, so the rest may change a little.
        whiter.append(change[ill.opacity].mean() - change[~ill.lungs].mean())
    assert min(whiter) > 2
    # Some are faint and some are not: that is what makes the reading hard.
    assert np.quantile(whiter, 0.1) < 40
    assert np.quantile(whiter, 0.9) > 60


@pytest.mark.parametrize("seed", range(4))
def test_virus_lies_on_both_sides(seed: int) -> None:
    phantoms = [
        render("PNEUMONIA", patient_seed=10 * seed + k, size_px=SMALL, pathogen="VIRUS")
        for k in range(5)
    ]
    both = [
        all(half.any() for half in np.array_split(phantom.opacity, 2, axis=1))
        for phantom in phantoms
    ]
    assert sum(both) >= 3


# --- a folder


def test_names_say_class_and_patient(folder: Path) -> None:
    seen: dict[str, set[str]] = {}
    for path in contents(folder):
        split, label, name = split_label_name(path)
        assert split in {"train", "test"}
        match = NAME.fullmatch(name)
        assert match, name
        assert (match[1] == "NORMAL") == (label == "NORMAL")
        seen.setdefault(match[2], set()).add(f"{split}/{match[1]}")
    assert len(seen) == 40
    assert all(len(places) == 1 for places in seen.values())
    numbers = [int(name[-9:-5]) for _, _, name in map(split_label_name, contents(folder))]
    assert numbers.count(1) == 40
    assert set(numbers) <= {1, 2, 3, 4}
    assert len(numbers) > 40


def test_shares_of_splits_and_classes(folder: Path) -> None:
    patients = {
        (split, label, name.split("-")[1])
        for split, label, name in map(split_label_name, contents(folder))
    }
    count = {
        (split, label): sum(1 for place in patients if place[:2] == (split, label))
        for split in ("train", "test")
        for label in LABELS
    }
    assert count["train", "PNEUMONIA"] + count["test", "PNEUMONIA"] == 24
    assert count["test", "PNEUMONIA"] == 5
    assert count["test", "NORMAL"] == 3


def test_files_are_grey_jpegs_that_their_names_can_render_again(folder: Path) -> None:
    path = min(folder.glob("train/PNEUMONIA/VIRUS-*.jpeg"))
    match = NAME.fullmatch(path.name)
    assert match
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "L", SMALL[::-1])
        stored = np.asarray(image, dtype=np.float64)
    again = render(
        "PNEUMONIA",
        patient_seed=int(match[2]),
        image_seed=int(match[3]),
        size_px=SMALL,
        pathogen="VIRUS",
    )
    assert np.abs(stored - again.pixels).mean() < 6


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path, folder: Path) -> None:
    def progress(done: int, total: int) -> None:
        calls.append((done, total))

    calls: list[tuple[int, int]] = []
    other = write_folder(tmp_path / "new", patients=40, size_px=SMALL, workers=2, progress=progress)
    made = contents(other)
    assert made == contents(folder)
    assert calls == [(done, len(made)) for done in range(1, len(made) + 1)]


def test_another_seed_writes_other_patients(tmp_path: Path, folder: Path) -> None:
    other = write_folder(tmp_path, patients=5, seed=1, size_px=(32, 32), workers=1)
    names = {Path(path).name for path in contents(folder)}
    assert not names & {Path(path).name for path in contents(other)}


@pytest.mark.parametrize(("share", "ill"), [(0.0, 0), (1.0, 6)])
def test_one_class_alone(tmp_path: Path, share: float, ill: int) -> None:
    splits = {"train": 0.5, "val": 0.0, "test": 0.5}
    made = write_folder(
        tmp_path, patients=6, size_px=(32, 32), pneumonia_share=share, splits=splits, workers=1
    )
    assert {path.name for path in made.iterdir()} == set(splits)
    paths = [split_label_name(path) for path in contents(made)]
    assert len({n.split("-")[1] for _, label, n in paths if label == "PNEUMONIA"}) == ill
    assert "val" not in {split for split, _, _ in paths}


# --- no shortcut


def test_native_size_does_not_tell_the_class() -> None:
    # The size is drawn before anything is known of the class: same seeds, same size.
    for seed in range(3):
        normal, ill = (render(label, patient_seed=seed, image_seed=seed) for label in LABELS)
        assert normal.pixels.shape == ill.pixels.shape


@pytest.mark.parametrize("measure", ["mean", "std", "border", "detail", "bytes"])
def test_no_simple_measure_tells_the_class(
    measure: str, pairs: list[tuple[Phantom, Phantom]]
) -> None:
    def measured(pixels: NDArray[np.uint8]) -> float:
        match measure:
            case "mean":
                return float(pixels.mean())
            case "std":
                return float(pixels.std())
            case "border":
                return float(pixels[[0, 1, -2, -1]].mean() + pixels[:, [0, 1, -2, -1]].mean())
            case "detail":
                return float(np.abs(np.diff(pixels.astype(np.float64), axis=1)).mean())
            case "bytes":
                file = io.BytesIO()
                Image.fromarray(pixels).save(file, format="JPEG", quality=90)
                return float(file.tell())
            case _:
                raise AssertionError(measure)

    # The same patients twice would make the test too easy to pass: halves of different ones.
    well = [measured(normal.pixels) for normal, _ in pairs[::2]]
    ill = [measured(ill.pixels) for _, ill in pairs[1::2]]
    assert 0.25 < auc(ill, well) < 0.75


# --- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "PNEUMONA"}, "Did you mean 'PNEUMONIA'"),
        ({"pathogen": "VIRUSES"}, "Did you mean 'VIRUS'"),
        ({"patient_seed": -1}, "patient_seed must be a whole number"),
        ({"patient_seed": 1.5}, "patient_seed must be a whole number"),
        ({"image_seed": True}, "image_seed must be a whole number"),
        ({"size_px": 96}, "size_px must be"),
        ({"size_px": (96,)}, "size_px must be"),
        ({"size_px": (96, 8)}, "size_px must be"),
        ({"size_px": (96, 96.0)}, "size_px must be"),
        ({"size_px": (96, 10**6)}, "size_px must be at most"),
    ],
)
def test_render_refuses(arguments: Mapping[str, object], message: str) -> None:
    given_arguments: dict[str, object] = {"label": "PNEUMONIA", "patient_seed": 0, **arguments}
    with pytest.raises(OptionError, match=message):
        render(**given_arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patients": 0}, "patients must be a whole number, 1 or more"),
        ({"patients": 10**7}, "patients must be below"),
        ({"seed": -1}, "seed must be"),
        ({"workers": 0}, "workers must be"),
        ({"size_px": (0, 0)}, "size_px must be"),
        ({"pneumonia_share": 1.2}, "pneumonia_share must be from 0 to 1"),
        ({"pneumonia_share": float("nan")}, "pneumonia_share must be from 0 to 1"),
        ({"splits": {"trian": 1.0}}, "Did you mean 'train'"),
        ({"splits": {"train": 0.5, "test": 0.4}}, "splits must be shares that sum to 1"),
        ({"splits": {"train": 1.5, "test": -0.5}}, "must be from 0 to 1"),
        ({"splits": {}}, "splits must be shares that sum to 1"),
    ],
)
def test_folder_refuses(tmp_path: Path, arguments: Mapping[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        write_folder(tmp_path / "new", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_folder_must_be_empty_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(OutputError, match="not an empty folder"):
            write_folder(place, patients=2, size_px=(32, 32), workers=1)
    with pytest.raises(OutputError, match="cannot be written to"):
        write_folder(tmp_path / "mine.txt" / "new", patients=2, size_px=(32, 32), workers=1)
    assert (tmp_path / "mine.txt").read_text() == "mine"

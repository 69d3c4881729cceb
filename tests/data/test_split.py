"""No patient or identical image is in two sets, and the parts have the requested sizes."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pneumoscope.data.catalog import Catalog, Entry
from pneumoscope.data.copies import Copies, Pair, equal_rows, group_numbers, tied
from pneumoscope.data.patients import Patient, PatientKey, patient_of
from pneumoscope.data.split import (
    UNUSED,
    VALIDATIONS,
    Split,
    groups_of,
    parts_in_file,
    read_split,
    shared_between_parts,
    split_catalog,
)
from pneumoscope.errors import DataError, LeakError, OptionError

CLASSES = ("NORMAL", "PNEUMONIA")


def catalog_of(rows: list[tuple[int, int, str]], *, parts: list[str] | None = None) -> Catalog:
    """Return a catalog of rows (patient, content, label)."""
    parts = parts or [""] * len(rows)
    entries = tuple(
        Entry(f"{i}.png", label, Patient(f"p{patient}"), part, sha256=f"c{content}")
        for i, ((patient, content, label), part) in enumerate(zip(rows, parts, strict=True))
    )
    return Catalog(Path("data"), entries, CLASSES)


def simple(n: int = 200) -> Catalog:
    return catalog_of([(i, i, CLASSES[i % 4 > 0]) for i in range(n)])


def crossing(catalog: Catalog, parts: tuple[str, ...]) -> set[str]:
    where: dict[str, set[str]] = {}
    for entry, part in zip(catalog.entries, parts, strict=True):
        if part != UNUSED:
            where.setdefault(str(entry.patient), set()).add(part)
            where.setdefault(entry.sha256, set()).add(part)
    return {key for key, found in where.items() if len(found) > 1}


def leaky_catalog(chance: random.Random, *, folders: bool) -> Catalog:
    """Return patients with several images, twins of other patients, and folders that leak."""
    n = chance.randint(40, 120)
    rows = [
        (chance.randint(0, 60), chance.randint(0, 300), chance.choice(CLASSES)) for _ in range(n)
    ]
    parts = ["train", "train", "train", "val", "test"]
    return catalog_of(rows, parts=chance.choices(parts, k=n) if folders else None)


def copies_for(catalog: Catalog, chance: random.Random) -> Copies | None:
    if chance.random() < 0.5:
        return None
    keys = [
        -row if chance.random() < 0.5 else chance.randint(1, 200) for row in range(len(catalog))
    ]
    exact = tied(len(catalog), equal_rows(keys))
    near = [sorted(chance.sample(range(len(catalog)), 2)) for _ in range(chance.randint(0, 5))]
    return Copies(tuple(map(tuple, exact)), tuple(Pair(a, b, 0.9) for a, b in near))


def torn(parts: Sequence[str], copies: Copies | None) -> bool:
    numbers = group_numbers(len(parts), copies.ties() if copies else ())
    return bool(shared_between_parts(parts, numbers))


chances = st.integers(0, 2**32).map(random.Random)
"""Whole catalogs from one number: drawing them value by value takes hypothesis far longer."""

KINDS: list[dict[str, Any]] = [
    {"validation": "auto"},
    {"validation": "grouped"},
    {"validation": "folder"},
    {"validation": "block"},
    {"validation": "block", "block": "high"},
    {"validation": "block", "block": "2/3"},
    {"validation": "kfold", "folds": 3, "fold": 1},
    {"validation": "groups"},
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
@given(chances, st.booleans(), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_nothing_crosses(
    kind: dict[str, Any], chance: random.Random, folders: bool, seed: int
) -> None:
    catalog = leaky_catalog(chance, folders=folders or kind["validation"] == "folder")
    copies = copies_for(catalog, chance)
    try:
        split = split_catalog(catalog, seed=seed, fraction=0.3, copies=copies, **kind)
    except LeakError:
        raise
    except DataError:
        assume(False)
    assert not crossing(catalog, split.parts)
    assert not torn(split.parts, copies)
    for entry, part in zip(catalog.entries, split.parts, strict=True):
        assert entry.split != "test" or part in {"test", UNUSED}


@given(chances, st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_file_is_taken_only_if_nothing_crosses(chance: random.Random, sound: bool) -> None:
    catalog = leaky_catalog(chance, folders=False)
    n = len(catalog)
    parts = chance.choices(["train", "val", "test", UNUSED], k=n)
    copies = copies_for(catalog, chance)
    if sound:  # random ones nearly always leak
        firsts: dict[int, str] = {}
        for row, group in enumerate(groups_of(catalog, copies)):
            parts[row] = firsts.setdefault(group, parts[row])
    with TemporaryDirectory() as folder:
        file = Path(folder) / "split.csv"
        Split(tuple(parts)).save(file, catalog)
        try:
            found = read_split(file, catalog, copies=copies)
        except LeakError:
            assert not sound
            assert shared_between_parts(parts, groups_of(catalog, copies))
        except DataError:
            assume(False)
        else:
            assert list(found.parts) == parts
            assert not crossing(catalog, found.parts)
            assert not torn(parts, copies)


def test_every_kind_is_under_the_property() -> None:
    assert {kind["validation"] for kind in KINDS} == set(VALIDATIONS) - {"file"}


def test_each_class_gives_its_share() -> None:
    catalog = simple()
    split = split_catalog(catalog, fraction=0.1, test_fraction=0.2, seed=1)
    for part, share in (("test", 0.2), ("val", 0.08)):
        counts = Counter(catalog.entries[row].label for row in split.rows(part))
        assert counts == {"NORMAL": round(50 * share), "PNEUMONIA": round(150 * share)}


def test_the_seed_decides() -> None:
    assert split_catalog(simple(), seed=1) == split_catalog(simple(), seed=1)
    assert split_catalog(simple(), seed=1) != split_catalog(simple(), seed=2)


def test_a_small_validation_folder_is_set_aside_and_a_large_one_is_used() -> None:
    rows = [(i, i, CLASSES[i % 2]) for i in range(400)]
    small = catalog_of(rows, parts=["val"] * 16 + ["train"] * 384)
    split = split_catalog(small)
    assert split.parts[:16] == (UNUSED,) * 16
    assert len(split.rows("val")) == 38
    assert split_catalog(small, validation="folder").rows("val") == list(range(16))
    large = catalog_of(rows, parts=["val"] * 120 + ["train"] * 280)
    assert split_catalog(large).rows("val") == list(range(120))


def test_training_rows_tied_to_the_test_part_are_set_aside() -> None:
    rows = [(i, i, CLASSES[i % 2]) for i in range(100)]
    rows[50] = (0, 50, "NORMAL")  # the patient of test row 0
    rows[51] = (51, 1, "PNEUMONIA")  # the image of test row 1
    catalog = catalog_of(rows, parts=["test"] * 20 + ["train"] * 80)
    split = split_catalog(catalog)
    assert split.parts[50] == split.parts[51] == UNUSED
    assert split.rows("test") == list(range(20))


def test_a_split_survives_its_file(tmp_path: Path) -> None:
    catalog = simple()
    split = split_catalog(catalog)
    split.save(tmp_path / "split.csv", catalog)
    assert read_split(tmp_path / "split.csv", catalog) == split


def test_a_split_file_that_leaks_is_refused(tmp_path: Path) -> None:
    catalog = catalog_of([(i // 2, i, CLASSES[i % 4 > 1]) for i in range(40)])
    path = tmp_path / "split.csv"
    names = ["train"] * 20 + ["val"] * 20
    names[0] = "val"
    lines = [
        f"{e.path},{e.label},{e.patient},{n}" for e, n in zip(catalog.entries, names, strict=True)
    ]
    path.write_text("path,label,patient,split\n" + "\n".join(lines) + "\n")
    with pytest.raises(LeakError, match=r"1 patients .* 0\.png \(val\), 1\.png \(train\)"):
        read_split(path, catalog)


def test_a_file_that_is_no_split(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.write_text("path,split\n0.png,trian\n")
    with pytest.raises(DataError, match="Did you mean 'train'"):
        read_split(path, simple())
    path.write_text("name\nx\n")
    with pytest.raises(DataError, match="not a split file"):
        read_split(path, simple())
    path.write_text("path,split\nelsewhere.png,train\n")
    with pytest.raises(DataError, match="contains none of the images"):
        read_split(path, simple())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"validation": "groupd"}, "Did you mean 'grouped'"),
        ({"fraction": 0.0}, "val_fraction"),
        ({"fraction": 0.9}, "val_fraction"),
        ({"test_fraction": -0.1}, "test_fraction"),
        ({"validation": "file"}, "split_file"),
        ({"validation": "block", "block": "hihg"}, "Did you mean 'high'"),
        ({"validation": "block", "block": "0/3"}, "K from 1 to N"),
        ({"validation": "block", "block": "4/3"}, "K from 1 to N"),
        ({"validation": "kfold", "folds": 1}, "folds must be from 2"),
        ({"validation": "kfold", "folds": 4, "fold": 4}, "fold must be from 0 to 3"),
    ],
)
def test_wrong_options(options: dict[str, object], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        split_catalog(simple(), **options)  # type: ignore[arg-type]


def test_a_class_with_too_few_images_is_an_error() -> None:
    rows = [(i, i, "PNEUMONIA") for i in range(50)] + [(99, 99, "NORMAL")]
    with pytest.raises(DataError, match="lacks a class"):
        split_catalog(catalog_of(rows))


SERIES = {"IM": "NORMAL", "NORMAL2-IM": "NORMAL", "bacteria": "PNEUMONIA", "virus": "PNEUMONIA"}


def numbered(*, each: int = 60, images: int = 2) -> Catalog:
    """Return patients of four series that number apart, each with so many images."""
    entries = tuple(
        Entry(
            f"{series}-{n}-{i}.png",
            label,
            Patient(f"{series}-{n:04}"),
            "",
            sha256=f"{series}{n}-{i}",
        )
        for series, label in SERIES.items()
        for n in range(1, each + 1)
        for i in range(images)
    )
    return Catalog(Path("data"), entries, CLASSES)


def numbers_of(catalog: Catalog, split: Split, part: str) -> dict[str, set[int]]:
    found: dict[str, set[int]] = defaultdict(set)
    for row in split.rows(part):
        key = PatientKey.of(catalog.entries[row].patient)
        assert key is not None
        found[key.series].add(key.number)
    return found


def test_a_block_is_an_end_of_each_series() -> None:
    catalog = numbered()
    low = split_catalog(catalog, validation="block", fraction=0.1, seed=1)
    assert numbers_of(catalog, low, "val") == {key: set(range(1, 7)) for key in SERIES}
    assert low == split_catalog(catalog, validation="block", fraction=0.1, seed=2)
    high = split_catalog(catalog, validation="block", block="high", fraction=0.1)
    assert numbers_of(catalog, high, "val") == {key: set(range(55, 61)) for key in SERIES}


def test_numbered_blocks_cover_everything_once() -> None:
    catalog = numbered(each=50, images=3)
    taken = Counter(
        row
        for k in range(1, 8)
        for row in split_catalog(catalog, validation="block", block=f"{k}/7").rows("val")
    )
    assert taken == Counter(range(len(catalog)))


@given(chances, st.floats(0.02, 0.5))
@settings(max_examples=100, deadline=None)
def test_a_block_is_contiguous_and_as_near_as_its_patients_allow(
    chance: random.Random, fraction: float
) -> None:
    images = chance.choices(range(1, 31), k=chance.randint(20, 60))
    entries = tuple(
        Entry(f"{label}{n}-{i}.png", label, Patient(f"{label}-{n}"), "", sha256=f"{label}{n}-{i}")
        for label in CLASSES
        for n, count in enumerate(images)
        for i in range(count)
    )
    catalog = Catalog(Path("data"), entries, CLASSES)
    try:
        split = split_catalog(catalog, validation="block", fraction=fraction)
    except DataError:
        assert images[0] >= 2 * fraction * sum(images)  # the first patient would be too much
        return
    inside, outside = (numbers_of(catalog, split, part) for part in ("val", "train"))
    for label in CLASSES:
        assert max(inside[label]) < min(outside[label])
        got = sum(entries[row].label == label for row in split.rows("val"))
        assert abs(got - fraction * sum(images)) <= max(images) / 2


def test_rows_tied_to_a_block_are_set_aside_and_the_block_stays_whole() -> None:
    catalog = numbered()
    far = next(row for row, e in enumerate(catalog.entries) if e.patient.name == "virus-0060")
    copies = Copies(near=(Pair(0, far, 0.9),))  # a row of the block and one far from it
    split = split_catalog(catalog, validation="block", copies=copies)
    assert split.parts[0] == "val"
    assert split.parts[far] == split.parts[far + 1] == UNUSED  # with the patient's other image
    assert split.parts.count(UNUSED) == 2


def test_a_block_needs_numbers() -> None:
    entries = catalog_of([(i, i, CLASSES[i % 2]) for i in range(60)]).entries
    nameless = [
        *entries[:7],
        replace(entries[7], patient=Patient("7.png", known=False)),
        *entries[8:],
    ]
    with pytest.raises(
        DataError, match=r"1 training images have no number.*7\.png.*`patient_regex`"
    ):
        split_catalog(Catalog(Path("data"), tuple(nameless), CLASSES), validation="block")
    hashes = [
        replace(e, patient=Patient(f"{'abcdef'[i % 6]}{i}x{i}")) for i, e in enumerate(entries)
    ]
    with pytest.raises(DataError, match="consecutive numbers"):
        split_catalog(Catalog(Path("data"), tuple(hashes), CLASSES), validation="block")


def in_folds(catalog: Catalog, folds: int, *, seed: int) -> list[Split]:
    return [
        split_catalog(catalog, validation="kfold", folds=folds, fold=fold, seed=seed)
        for fold in range(folds)
    ]


@given(chances, st.booleans(), st.integers(2, 4), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_folds_cover_every_row_once(
    chance: random.Random, folders: bool, folds: int, seed: int
) -> None:
    catalog = leaky_catalog(chance, folders=folders)
    try:
        splits = in_folds(catalog, folds, seed=seed)
    except DataError:
        assume(False)
    taken = Counter(row for split in splits for row in split.rows("val"))
    for row, entry in enumerate(catalog.entries):
        never = entry.split in {"val", "test"} or splits[0].parts[row] == UNUSED
        assert taken[row] == (0 if never else 1)
    for split in splits:
        assert not crossing(catalog, split.parts)


def test_folds_and_draws_are_alike_in_class_and_series() -> None:
    catalog = numbered(each=50)
    for split in in_folds(catalog, 5, seed=3):
        found = numbers_of(catalog, split, "val")
        assert {name: len(numbers) for name, numbers in found.items()} == dict.fromkeys(SERIES, 10)
    drawn = numbers_of(catalog, split_catalog(catalog, fraction=0.1), "val")
    assert {name: len(numbers) for name, numbers in drawn.items()} == dict.fromkeys(SERIES, 5)


def test_many_small_series_are_drawn_together() -> None:
    rows = [
        Entry(f"{i}.png", CLASSES[i % 2], Patient(f"s{i}x-1"), "", sha256=f"{i}")
        for i in range(400)
    ]
    catalog = Catalog(Path("data"), tuple(rows), CLASSES)
    first = split_catalog(catalog, fraction=0.1, seed=1)
    assert len(first.rows("val")) == 40
    assert first != split_catalog(catalog, fraction=0.1, seed=2)


def test_what_is_shared_is_named() -> None:
    parts = ["train", "val", "test", "train", UNUSED, "", "test"]
    keys = ["a", "a", "b", "b", "c", "c", None]
    found = shared_between_parts(parts, keys)
    assert [(item.key, item.parts, item.rows) for item in found] == [
        ("a", ("train", "val"), (0, 1)),
        ("b", ("train", "test"), (2, 3)),
    ]
    with pytest.raises(ValueError, match="shorter"):
        shared_between_parts(parts, keys[:-1])


def test_what_is_shared_in_a_file_that_leaks(tmp_path: Path) -> None:
    catalog = catalog_of([(i // 2, i, CLASSES[i % 4 > 1]) for i in range(40)])
    names = ("val", *["train"] * 19, *["test"] * 20)
    Split(names).save(tmp_path / "split.csv", catalog)
    parts = parts_in_file(tmp_path / "split.csv", catalog).parts
    (leak,) = shared_between_parts(parts, [entry.patient for entry in catalog.entries])
    assert (leak.key, leak.parts, leak.rows) == (Patient("p0"), ("train", "val"), (0, 1))


OFFICIAL = {"IM": 597, "NORMAL2-IM": 744, "bacteria-person": 2530, "virus-person": 1345}
"""Images of each series in the official training folder, counted in its names."""


@pytest.fixture(scope="module")
def official(shared: Path) -> Catalog:
    """Return the official training and validation folders by their names alone."""
    root = shared / "data" / "chest_xray"
    entries = []
    for path in sorted(root.rglob("*.jpeg")):
        name = path.relative_to(root).as_posix()
        part, label, _ = name.split("/")
        entries.append(Entry(name, label, Patient.of(patient_of(name), name), part, sha256=name))
    return Catalog(root, tuple(entries), CLASSES)


def test_the_official_training_folder_in_blocks(official: Catalog) -> None:
    split = split_catalog(official, validation="block", fraction=0.1)
    counts = Counter(official.entries[row].label for row in split.rows("val"))
    assert counts == {"NORMAL": 134, "PNEUMONIA": 388}
    inside, outside = (numbers_of(official, split, part) for part in ("val", "train"))
    assert inside.keys() == outside.keys() == OFFICIAL.keys()
    for series in OFFICIAL:
        assert max(inside[series]) < min(outside[series])


def test_the_official_training_folder_in_folds(official: Catalog) -> None:
    splits = in_folds(official, 5, seed=0)
    assert sum(len(split.rows("val")) for split in splits) == 5216
    for split in splits:
        counts: Counter[str] = Counter()
        for row in split.rows("val"):
            key = PatientKey.of(official.entries[row].patient)
            assert key is not None
            counts[key.series] += 1
        for series, images in OFFICIAL.items():
            assert abs(counts[series] - images / 5) < 1.5

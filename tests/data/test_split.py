"""No patient and no identical image crosses; the sizes are as asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pneumoscope.data.catalog import Catalog, Entry
from pneumoscope.data.split import UNUSED, read_split, split_catalog
from pneumoscope.errors import DataError, LeakError, OptionError

CLASSES = ("NORMAL", "PNEUMONIA")


def catalog_of(rows: list[tuple[int, int, str]], *, parts: list[str] | None = None) -> Catalog:
    """Return a catalog of rows (patient, content, label)."""
    parts = parts or [""] * len(rows)
    entries = tuple(
        Entry(f"{i}.png", label, f"p{patient}", part, sha256=f"c{content}")
        for i, ((patient, content, label), part) in enumerate(zip(rows, parts, strict=True))
    )
    return Catalog(Path("data"), entries, CLASSES)


def simple(n: int = 200) -> Catalog:
    return catalog_of([(i, i, CLASSES[i % 4 > 0]) for i in range(n)])


def crossing(catalog: Catalog, parts: tuple[str, ...]) -> set[str]:
    where: dict[str, set[str]] = {}
    for entry, part in zip(catalog.entries, parts, strict=True):
        if part != UNUSED:
            where.setdefault(entry.patient, set()).add(part)
            where.setdefault(entry.sha256, set()).add(part)
    return {key for key, found in where.items() if len(found) > 1}


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 90), st.sampled_from(CLASSES)),
        min_size=20,
        max_size=120,
    ),
    st.integers(0, 5),
    st.data(),
)
@settings(max_examples=200)
def test_nothing_crosses(rows: list[tuple[int, int, str]], seed: int, data: st.DataObject) -> None:
    parts = data.draw(
        st.one_of(
            st.none(),
            st.lists(
                st.sampled_from(["train", "val", "test"]), min_size=len(rows), max_size=len(rows)
            ),
        )
    )
    catalog = catalog_of(rows, parts=parts)
    try:
        split = split_catalog(catalog, seed=seed, fraction=0.3)
    except DataError:
        assume(False)
    assert not crossing(catalog, split.parts)


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
    with pytest.raises(DataError, match="no split file"):
        read_split(path, simple())
    path.write_text("path,split\nelsewhere.png,train\n")
    with pytest.raises(DataError, match="names none of the images"):
        read_split(path, simple())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"validation": "groupd"}, "Did you mean 'grouped'"),
        ({"fraction": 0.0}, "--val-fraction"),
        ({"fraction": 0.9}, "--val-fraction"),
        ({"test_fraction": -0.1}, "--test"),
    ],
)
def test_wrong_options(options: dict[str, object], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        split_catalog(simple(), **options)  # type: ignore[arg-type]


def test_a_class_with_too_few_images_is_an_error() -> None:
    rows = [(i, i, "PNEUMONIA") for i in range(50)] + [(99, 99, "NORMAL")]
    with pytest.raises(DataError, match="lacks a class"):
        split_catalog(catalog_of(rows))

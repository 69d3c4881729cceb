"""Held-out groups: whole patients, all classes, and no overlap of the completing blocks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pneumoscope.data.acquisition import clusters
from pneumoscope.data.catalog import Catalog, Entry
from pneumoscope.data.patients import Patient, patient_of
from pneumoscope.data.split import groups_of
from pneumoscope.data.split.new_groups import (
    NewGroups,
    inner_split,
    new_groups,
    rest_of,
)
from pneumoscope.errors import DataError, OptionError

CLASSES = ("NORMAL", "PNEUMONIA")


def entry(path: str, label: str) -> Entry:
    return Entry(path, label, Patient.of(patient_of(path), path), "", sha256=path)


def four_series() -> Catalog:
    """Return images named as the public data set's: two series of each class."""
    entries = [entry(f"IM-{n:04d}-0001.jpeg", "NORMAL") for n in range(100, 160)]
    entries += [entry(f"NORMAL2-IM-{n:04d}-0001.jpeg", "NORMAL") for n in range(300, 440)]
    for n in range(1, 201):
        entries += [entry(f"person{n}_bacteria_{2 * n + k}.jpeg", "PNEUMONIA") for k in (0, 1)]
    entries += [entry(f"person{n}_virus_{n}.jpeg", "PNEUMONIA") for n in range(1, 201)]
    return Catalog(Path("data"), tuple(entries), CLASSES)


def made(catalog: Catalog, by: str = "auto", **more: object) -> NewGroups:
    pool = list(range(len(catalog)))
    return new_groups(catalog, pool, groups_of(catalog), by=by, **more)  # type: ignore[arg-type]


def test_series_of_one_class_are_completed_and_keep_the_shares() -> None:
    catalog = four_series()
    found = made(catalog)
    assert found.by == "series"
    assert [group.name for group in found.groups] == [
        "IM", "NORMAL2-IM", "bacteria-person", "virus-person",
    ]  # fmt: skip
    share = catalog.labels.mean()
    for group in found.groups:
        assert catalog.labels[list(group.rows)].mean() == pytest.approx(share, abs=0.03)
        assert group.completed
        patients = {catalog.entries[row].patient for row in group.rows}
        left = [row for row in range(len(catalog)) if row not in set(group.rows)]
        assert patients.isdisjoint(catalog.entries[row].patient for row in left)
    by_name = {group.name: group for group in found.groups}
    completing = [set(by_name[name].rows) - set(by_name[name].own) for name in ("IM", "NORMAL2-IM")]
    assert completing[0].isdisjoint(completing[1])
    assert len(by_name["IM"].own) == 60


def test_blocks_are_of_each_series_and_part_the_images() -> None:
    catalog = four_series()
    found = made(catalog, "blocks", count=4)
    assert [group.name for group in found.groups] == [f"block {k}/4" for k in (1, 2, 3, 4)]
    rows = [row for group in found.groups for row in group.rows]
    assert sorted(rows) == list(range(len(catalog)))
    assert not any(group.completed for group in found.groups)


def test_one_group_gives_its_blocks_and_says_so() -> None:
    entries = tuple(
        Entry(f"{n}.png", CLASSES[n % 2], Patient(f"p{n}"), "", sha256=str(n)) for n in range(200)
    )
    catalog = Catalog(Path("data"), entries, CLASSES)
    found = made(catalog, "series", count=3)
    assert found.by == "blocks"
    assert "one group" in found.note
    assert len(found.groups) == 3
    assert made(catalog).by == "blocks"


def test_a_group_with_all_images_of_a_class_is_never_new() -> None:
    entries = [entry(f"NORMAL-{n:07d}-0001.jpeg", "NORMAL") for n in range(1, 101)]
    entries += [entry(f"BACTERIA-{n:07d}-0001.jpeg", "PNEUMONIA") for n in range(1, 121)]
    entries += [entry(f"VIRUS-{n:07d}-0001.jpeg", "PNEUMONIA") for n in range(1, 81)]
    catalog = Catalog(Path("data"), tuple(entries), CLASSES)
    found = made(catalog, "series")
    assert [group.name for group in found.groups] == ["BACTERIA", "VIRUS"]
    assert "NORMAL cannot be held out" in found.note
    for group in found.groups:
        left = {one.label for row, one in enumerate(entries) if row not in set(group.rows)}
        assert left == set(CLASSES)


def test_patients_without_numbers_are_drawn() -> None:
    entries = tuple(
        Entry(f"{n}.png", CLASSES[n % 2], Patient(f"{n}.png", known=False), "", sha256=str(n))
        for n in range(200)
    )
    found = made(Catalog(Path("data"), entries, CLASSES), "blocks", count=4)
    assert [len(group.rows) for group in found.groups] == [50] * 4
    assert found.groups[0].name == "drawn 1/4"


def test_a_column_makes_groups_and_small_ones_go_together() -> None:
    catalog = four_series()
    sites = {}
    for number, one in enumerate(catalog.entries):
        sites[one.path] = "abc"[number % 3] if number % 40 else f"tiny {number % 7}"
    found = made(catalog, columns={"site": sites})
    assert found.by == "site"
    assert [group.name for group in found.groups] == ["a", "b", "c"]
    with pytest.raises(OptionError, match="series, blocks, acquisition, site"):
        made(catalog, "sites", columns={"site": sites})


def test_what_is_left_shares_no_patient_and_holds_validation() -> None:
    catalog = four_series()
    together = groups_of(catalog)
    group = made(catalog).groups[2]
    rows = rest_of(range(len(catalog)), group.rows, together)
    split = inner_split(catalog, rows, together, block="low", fraction=0.2, seed=0)
    assert set(split.rows("train")) | set(split.rows("val")) <= set(rows)
    for part in ("train", "val"):
        assert set(Counter(catalog.entries[row].label for row in split.rows(part))) == set(CLASSES)
    taught = {together[row] for row in split.rows("train")}
    assert taught.isdisjoint(together[row] for row in [*split.rows("val"), *group.rows])


def test_a_class_that_only_one_group_has_is_missed() -> None:
    catalog = four_series()
    rows = [row for row, one in enumerate(catalog.entries) if one.label == "NORMAL"]
    with pytest.raises(DataError, match="PNEUMONIA"):
        inner_split(catalog, rows, groups_of(catalog), block="low", fraction=0.2, seed=0)


def test_clusters_are_of_acquisition_and_keep_patients_together() -> None:
    generator = np.random.default_rng(0)
    site, label = np.repeat([0, 1], 100), np.tile([0, 1], 100)
    # One statistic tells the class, the other the site.
    statistics = generator.normal(0, 0.1, (200, 2))
    statistics[:, 0] += 50 * label
    statistics[:, 1] += site
    together = np.arange(200) // 2
    found = clusters(statistics, label, together, count=2, seed=0)
    assert len(set(zip(site.tolist(), found.tolist(), strict=True))) == 2
    assert (found[0::2] == found[1::2]).all()

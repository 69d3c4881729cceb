"""Copies of a picture among images to be split."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.copies import write_copies
from pneumoscope.data.audit.audit import audit_data
from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import Catalog, read_catalog
from pneumoscope.data.copies import Copies, Pair, group_numbers
from pneumoscope.data.lookalikes import find_copies
from pneumoscope.data.split import UNUSED, split_catalog
from pneumoscope.images.prepare import InputSpec

CLASSES = ("NORMAL", "PNEUMONIA")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_copies(tmp_path_factory.mktemp("copies") / "data")


def names(copies: Copies, paths: list[str]) -> set[frozenset[str]]:
    numbers = group_numbers(len(paths), copies.ties())
    members: dict[int, set[str]] = {}
    for path, number in zip(paths, numbers, strict=True):
        members.setdefault(number, set()).add(Path(path).stem)
    return {frozenset(group) for group in members.values() if len(group) > 1}


FOUND = {
    frozenset({"film0", "twin", "other"}),
    frozenset({"film1", "mirrored"}),
    frozenset({"film2", "moved"}),
}


@pytest.mark.parametrize("side", [224, 160, 32])
def test_what_an_audit_finds_is_tied(folder: Path, tmp_path: Path, side: int) -> None:
    catalog = read_catalog(folder)
    cache, catalog = build_cache(catalog, InputSpec(side, side), home=tmp_path)
    said: list[tuple[int, int]] = []
    copies = find_copies(catalog, cache, progress=lambda done, total: said.append((done, total)))
    assert names(copies, [entry.path for entry in catalog.entries]) == FOUND
    assert said[-1][0] == said[-1][1] == len({entry.sha256 for entry in catalog.entries})
    exact = find_copies(catalog, cache, near=False)
    assert exact.exact == copies.exact
    assert exact.near == ()


def test_what_was_found_is_kept_with_the_pixels(folder: Path, tmp_path: Path) -> None:
    catalog = read_catalog(folder)
    cache, catalog = build_cache(catalog, InputSpec(224, 224), home=tmp_path)
    looked: list[int] = []

    def found(of: Catalog = catalog) -> Copies:
        looked.append(0)
        return find_copies(of, cache, progress=lambda *_: looked.append(1))

    first = found()
    assert sum(looked) > 0
    looked.clear()
    assert found() == first
    assert sum(looked) == 0
    turned = catalog.select(range(len(catalog) - 1, -1, -1))
    paths = [entry.path for entry in turned.entries]
    assert names(found(turned), paths) == FOUND
    assert sum(looked) == 0
    (kept,) = tmp_path.rglob("lookalikes.json")
    for text in ("{", kept.read_text().replace('"contents": "', '"contents": "x')):
        kept.write_text(text)
        looked.clear()
        assert found() == first
        assert sum(looked) > 0
    part = catalog.select(range(30))  # other contents with the same cache
    assert all(row < 30 for tie in found(part).ties() for row in tie)


def test_the_audit_finds_the_same(folder: Path) -> None:
    audit = audit_data(folder)
    paths = [entry.path for entry in audit.measured.entries]
    assert names(audit.cohort.copies, paths) == FOUND
    assert len({leak.key for leak in audit.cohort.crossing}) == 3


def test_a_split_keeps_copies_together(folder: Path) -> None:
    catalog = read_catalog(folder)
    cache, catalog = build_cache(catalog, InputSpec(224, 224))
    part = dict(
        zip(
            (Path(entry.path).stem for entry in catalog.entries),
            split_catalog(catalog, copies=find_copies(catalog, cache)).parts,
            strict=True,
        )
    )
    for inside, twin in (("film0", "other"), ("film1", "mirrored"), ("film2", "moved")):
        assert (part[inside], part[twin]) == (UNUSED, "test")
    assert part["twin"] == UNUSED
    by_bytes = split_catalog(catalog).parts
    assert list(by_bytes).count(UNUSED) == 0


def test_copies_of_some_rows() -> None:
    copies = Copies(((0, 4, 6), (2, 3)), (Pair(0, 2, 0.9), Pair(1, 5, 0.8)))
    assert copies.select([6, 4, 3]) == Copies(((0, 1),), (Pair(1, 2, 0.9),))
    assert copies.select([5, 0, 1]) == Copies((), (Pair(0, 2, 0.8),))
    assert copies.select([]) == Copies()

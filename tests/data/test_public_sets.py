"""Public data sets in their own layouts → the table."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

import pytest

from helpers.public_sets import MAKERS, Made
from pneumoscope.cli import parser
from pneumoscope.cli.arguments import data_options_of
from pneumoscope.cli.flags import in_flags, speak_of
from pneumoscope.data.catalog import Catalog, read_catalog
from pneumoscope.data.layouts import data_options, list_data
from pneumoscope.errors import DataError


def read(place: Path, *options: str) -> Catalog:
    """Return the catalog that ``train`` would make with some options."""
    asked = parser().parse_args(["train", str(place), "--out", "x", *options])
    return read_catalog(
        place, positive=asked.positive, options=data_options(**data_options_of(asked))
    )


@pytest.fixture(scope="module", params=sorted(MAKERS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return MAKERS[request.param](tmp_path_factory.mktemp(request.param) / "data")


def test_each_layout_is_read(made: Made) -> None:
    catalog = read(made.place, *made.options)
    labels = Counter(entry.label for entry in catalog.entries)
    assert tuple(labels[name] for name in catalog.classes) == made.counts
    for start, number in made.left_out.items():
        (item,) = [item for item in catalog.left_out if item.reason.startswith(start)]
        assert item.n == number, item
    assert len(catalog.left_out) == len(made.left_out), catalog.left_out
    if made.patients:
        assert catalog.patients_known
        assert len({entry.patient for entry in catalog.entries}) == made.patients
    else:
        assert not catalog.patients_known
    assert all(entry.study for entry in catalog.entries) == made.studies
    assert {entry.split for entry in catalog.entries} == set(made.splits) or {""} == {
        entry.split for entry in catalog.entries
    }
    assert not catalog.unreadable
    for entry in catalog.entries[:3]:
        assert catalog.file(entry).is_file()


def test_the_table_does_as_well_as_the_folder(made: Made) -> None:
    if made.table is None:
        pytest.skip("no table of its own")
    if "stage_2" in made.table.name:
        catalog = read(
            made.table, "--map", "PNEUMONIA=Lung Opacity", "--map", "NORMAL=no lung opacity"
        )
        assert tuple(Counter(e.label for e in catalog.entries).values()) == (48, 24)
        return
    assert (
        read(made.table, *made.options).fingerprint == read(made.place, *made.options).fingerprint
    )


def test_without_a_map_the_error_shows_one_that_works(made: Made) -> None:
    if "--map" not in made.options:
        pytest.skip("two classes as it is")
    with pytest.raises(DataError, match=r"two classes are needed|the positive class of") as caught:
        read(made.place)
    speak_of(parser("inspect").parse_args(["inspect", "data"]).parser)
    text = in_flags(caught.value)
    assert "--map PNEUMONIA=" in text
    assert "--map NORMAL=" in text
    if "two classes are needed" in text:
        assert ": 24" in text or ": 28" in text  # counts
    words = shlex.split(text.splitlines()[-1].partition("for example: ")[2])
    catalog = read(made.place, *words)
    assert catalog.classes == ("NORMAL", "PNEUMONIA")


def test_the_listing_keeps_every_class_for_inspection(made: Made) -> None:
    listing = list_data(made.place, keep_unlabelled=True)
    assert len(listing.entries) >= sum(made.counts)

"""The images of a study, with held-out patients that no run uses.

The rows of the data's own test set are dropped first, so that a study cannot use them. The
held-out images of a study are the test set in the splits of its runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.lookalikes import find_copies
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import UNUSED, Split, groups_of, parts_in_file, split_catalog
from pneumoscope.data.split.draw import draw_share
from pneumoscope.errors import DataError, LeakError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pneumoscope.data.catalog import Catalog
    from pneumoscope.data.copies import Copies
    from pneumoscope.images.prepare import InputSpec
    from pneumoscope.study.plan import Division
    from pneumoscope.training.parts import DataRecipe
    from pneumoscope.training.recipe import Recipe
    from pneumoscope.watch import Watcher

HELD_OUT = "test"
"""The part, in the splits of a study's runs, of the rows used to answer questions."""

DIVIDING = ("validation", "val_fraction", "block", "folds", "fold")
"""Fields of the recipe that determine the rows that choose the epoch."""


def read_images(data: Path, recipe: Recipe, *, watcher: Watcher) -> Catalog:
    """Return the images that a study may use: all except the data's own test set.

    Raises:
        PneumoscopeError: The data are invalid.
    """
    with watcher.progress("Reading the folder") as progress:
        catalog = read_catalog(
            data,
            positive=recipe.data.positive,
            patient_regex=recipe.data.patient_regex,
            options=recipe.data.options(),
            progress=progress,
        )
    rows = [row for row, entry in enumerate(catalog.entries) if entry.split != "test"]
    if not rows:
        raise DataError(f"{data}: contains only test images, which a study does not use.")
    return catalog.select(rows)


@dataclass(frozen=True, slots=True, eq=False)
class StudyImages:
    """The images of a study with their held-out part.

    Attributes:
        catalog: The participating images, of which the held-out ones have the part ``test``.
        copies: Images that show the same picture.
        division: The division of the images.
    """

    catalog: Catalog
    copies: Copies
    division: Division

    @classmethod
    def of(cls, catalog: Catalog, recipe: Recipe, division: Division, *, watcher: Watcher
    ) -> StudyImages:  # fmt: skip
        """Draw the participating and the held-out patients.

        Args:
            catalog: The result of ``read_images``.
            recipe: The base recipe of the study.
            division: The division.
            watcher: Receives progress reports.

        Raises:
            LeakError: The catalog has test rows.
        """
        refuse_test_rows(catalog)
        with watcher.progress("Preparing the images") as progress:
            cache, catalog = build_cache(catalog, recipe.data.input, progress=progress)
        with watcher.progress("Looking for copies") as progress:
            near = recipe.data.near_copies == "tie"
            copies = find_copies(catalog, cache, near=near, progress=progress)
        parts = [entry.split or "train" for entry in catalog.entries]
        groups = groups_of(catalog, copies)
        if division.patients < 1:
            share = 1 - division.patients
            draw_share(
                catalog, parts, groups, into=UNUSED, fraction=share, seed=division.seed + 1000
            )
        draw_share(
            catalog, parts, groups, into=HELD_OUT, fraction=division.held_out,
            seed=division.seed + 2000,
        )  # fmt: skip
        rows = [row for row, part in enumerate(parts) if part != UNUSED]
        entries = [dataclasses.replace(catalog.entries[row], split=parts[row]) for row in rows]
        chosen = dataclasses.replace(catalog, entries=tuple(entries))
        with watcher.progress("Looking for copies") as progress:
            copies = find_copies(chosen, cache, near=near, progress=progress)
        return cls(chosen, copies, division)

    def split(self, data: DataRecipe) -> Split:
        """Return the split of a recipe; the held-out part is always the same.

        Raises:
            DataError: A part would be empty or contain only one class.
        """
        return split_catalog(
            self.catalog,
            copies=self.copies,
            validation=data.validation,
            fraction=data.val_fraction,
            block=data.block,
            folds=data.folds,
            fold=data.fold,
            seed=self.division.seed,
        )


def refuse_test_rows(catalog: Catalog) -> None:
    """Raise an error for images of the data's own test set.

    Raises:
        LeakError: There are such images.
    """
    count = sum(entry.split == "test" for entry in catalog.entries)
    if count:
        raise LeakError(
            f"{catalog.root}: {count:,} test images would be used in a study, whose results "
            "choose between recipes; `read_images` leaves them out."
        )


def digest_of(catalog: Catalog, split: Split) -> str:
    """Return an identifier of a split: 12 hexadecimal digits of a hash."""
    pairs = zip(catalog.entries, split.parts, strict=True)
    lines = sorted(f"{entry.sha256} {part}" for entry, part in pairs)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def open_split(
    catalog: Catalog, spec: InputSpec, split_file: Path, *, without: Sequence[str] = ()
) -> PreparedData:
    """Return the images of a run with their pixels.

    Args:
        catalog: The result of ``read_images``.
        spec: The input of the network.
        split_file: The split; rows that are not listed are excluded.
        without: Parts that are not needed.

    Raises:
        LeakError: The catalog has test rows.
        DataError: The split lists a missing image.
    """
    refuse_test_rows(catalog)
    parts = parts_in_file(split_file, catalog).parts
    rows = [row for row, part in enumerate(parts) if part not in {UNUSED, *without}]
    chosen = catalog.select(rows)
    cache, kept = build_cache(chosen, spec)
    if len(kept) < len(chosen):
        raise DataError(f"{split_file}: {len(chosen) - len(kept)} of its images cannot be read.")
    return PreparedData(chosen, cache, Split(tuple(parts[row] for row in rows)))

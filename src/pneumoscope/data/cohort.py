"""Cohorts: images with their patients, sets, copies and relation to a reader's training.

Training, evaluation, comparison, recalibration and inspection need the same information about
images: the part of each, which of them belong together, and whether a reader was trained on them. A
``Cohort`` contains it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.data.catalog import PARTS, Catalog
from pneumoscope.data.copies import Copies, equal_rows, tied
from pneumoscope.data.patients import Patient
from pneumoscope.data.relation import Relation
from pneumoscope.data.split.groups import Shared, groups_of, shared_between_parts
from pneumoscope.data.split.make import ENOUGH_TO_DECIDE, enough_to_decide
from pneumoscope.data.split.parts import UNUSED, Split
from pneumoscope.errors import DataError, OptionError
from pneumoscope.runs import name_digest, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pneumoscope.runs import RunFolder

ALL = "all"
"""The name of all rows, regardless of their set."""

_HEAVIEST = {UNUSED: 0, "train": 1, "val": 2, "test": 3}


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """The images that a reader was made from, by content.

    Attributes:
        part_of: SHA-256 of a file, or its first digits, → its part. If a content is in several
            parts, which a valid split excludes, the part used for evaluation takes precedence.
        trained_on: Known patients of the training set.
        root: The folder that the paths of the images are relative to; None if unknown.
        digits: Number of digits of the SHA-256 in the keys.
        whole: Whether all images of the data are included, also those used for evaluation; a model
            file only contains the hashes of its training images.
        names: The first digits of the hashes of the names of training files, as computed by
            ``reader.model_file.training_hashes``; empty if unknown.
    """

    part_of: Mapping[str, str]
    trained_on: frozenset[Patient] = frozenset()
    root: Path | None = None
    digits: int = 64
    whole: bool = True
    names: frozenset[str] = frozenset()

    def part(self, sha256: str) -> str:
        """Return the set of a file, or an empty string if it is not among these images."""
        return self.part_of.get(sha256[: self.digits], "")

    @classmethod
    def of_run(cls, run: RunFolder) -> Origin | None:
        """Return the images that a run was made from; None if its folder does not contain them.

        Raises:
            DataError: The files of the run cannot be read.
        """
        if not (run.catalog.is_file() and run.split.is_file()):
            return None
        try:
            parts = {row["path"]: row["split"] for row in rows_of(run.split)}
            part_of: dict[str, str] = {}
            trained_on = set()
            for row in rows_of(run.catalog):
                part = parts.get(row["path"], UNUSED)
                before = part_of.get(row["sha256"], part)
                part_of[row["sha256"]] = max(before, part, key=lambda p: _HEAVIEST.get(p, 0))
                if part == "train":
                    trained_on.add(Patient.of(row["patient"], row["path"]))
            return cls(part_of, frozenset(p for p in trained_on if p.known), _root_of(run))
        except (KeyError, ValueError) as fault:
            raise DataError(
                f"{run.root}: a table of this run cannot be read ({fault!r})."
            ) from fault

    def relation(
        self,
        sha256: Sequence[str],
        patients: Sequence[Patient],
        *,
        root: Path | None = None,
        paths: Sequence[str] = (),
    ) -> Relation:
        """Return the relation of images to the reader.

        File contents identify images in any place. Names of patients do not, since other data may
        number their patients in the same way. Names are only compared if the images are from the
        same source: if most of them belong to the run, or some of them do and they are in the same
        folder.

        Args:
            sha256: SHA-256 of the file of each image, [n].
            patients: The patient of each image, [n].
            root: The folder of the images.
            paths: Paths of the images, [n], to detect copies in another size or format: if few
                contents but most names are known, names are compared.
        """
        parts = [self.part(digest) for digest in sha256]
        shared = sum(map(bool, parts))
        named = tuple(name_digest(path)[: self.digits] in self.names for path in paths)
        if 2 * sum(named) > len(sha256) and 2 * shared < len(sha256):
            return Relation(known=True, trained_on=(False,) * len(sha256), named=named)
        own = self.whole and 2 * shared > len(sha256)
        same = own or (shared > 0 and root is not None and root.resolve() == self.root)
        return Relation(
            known=True,
            own=own,
            trained_on=tuple(
                part == "train" or (same and patient in self.trained_on)
                for part, patient in zip(parts, patients, strict=True)
            ),
        )


def _root_of(run: RunFolder) -> Path | None:
    if not run.provenance.is_file():
        return None
    root = json.loads(run.provenance.read_text(encoding="utf-8")).get("data_root")
    return Path(root) if root else None


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Images with their patients, parts and relation to a reader.

    Attributes:
        catalog: The images with their patients.
        split: The part of each: ``train``, ``val``, ``test``, ``unused``, or empty if there are no
            parts.
        relation: Relation to the reader, unknown without a reader.
        copies: Images that show the same picture, as far as copies were searched.
    """

    catalog: Catalog
    split: Split
    relation: Relation = field(default_factory=Relation)
    copies: Copies = field(default_factory=Copies)

    def __len__(self) -> int:
        return len(self.catalog)

    @classmethod
    def of(cls, catalog: Catalog, origin: Origin | None = None) -> Cohort:
        """Return a catalog with the sets of a run if most images are the run's, otherwise its own.

        Args:
            catalog: The images.
            origin: The images that the reader was made from; None if unknown.
        """
        own = Split(tuple(entry.split for entry in catalog.entries))
        if origin is None:
            return cls(catalog, own)
        entries = catalog.entries
        relation = origin.relation(
            [entry.sha256 for entry in entries],
            [entry.patient for entry in entries],
            root=catalog.root,
            paths=[entry.path for entry in entries],
        )
        if relation.own:
            own = Split(tuple(origin.part(entry.sha256) or UNUSED for entry in entries))
        return cls(catalog, own, relation)

    @property
    def patients(self) -> int:
        """Number of patients; each image of an unknown patient counts separately."""
        return len({entry.patient for entry in self.catalog.entries})

    @property
    def groups(self) -> list[int]:
        """The group number of each row: rows of a patient or picture, which belong to one set."""
        return groups_of(self.catalog, self.copies)

    @property
    def pictures(self) -> list[list[int]]:
        """The rows of each picture that is stored more than once, including identical files."""
        same = equal_rows(entry.sha256 for entry in self.catalog.entries)
        return tied(len(self), chain(same, self.copies.ties()))

    @property
    def crossing(self) -> tuple[Shared, ...]:
        """The groups in more than one set; none in a valid split."""
        return shared_between_parts(self.split.parts, self.groups)

    def rows(self, part: str) -> list[int]:
        """Return the rows of ``train``, ``val``, ``test``, ``unused`` or ``all``."""
        return list(range(len(self))) if part == ALL else self.split.rows(part)

    def too_few(self, part: str) -> str:
        """Return why a set has too few images for decisions; empty if it has enough or none."""
        entries = self.catalog.select(self.rows(part)).entries
        labels = Counter(entry.label for entry in entries)
        if not entries or enough_to_decide(list(labels.elements()), self.catalog.classes):
            return ""
        counts = ", ".join(f"{labels[name]:,} {name}" for name in self.catalog.classes)
        return (
            f"{len(entries):,} images of {len({entry.patient for entry in entries}):,} patients "
            f"({counts}) are too few to base decisions on; at least {ENOUGH_TO_DECIDE} images "
            f"are needed, {ENOUGH_TO_DECIDE // 5} of each class"
        )

    def select(self, rows: Iterable[int]) -> Cohort:
        """Return the cohort of some rows, in their order."""
        wanted = list(rows)
        trained_on, named = self.relation.trained_on, self.relation.named
        return replace(
            self,
            catalog=self.catalog.select(wanted),
            split=Split(tuple(self.split.parts[row] for row in wanted)),
            relation=replace(
                self.relation,
                trained_on=tuple(trained_on[row] for row in wanted) if trained_on else (),
                named=tuple(named[row] for row in wanted) if named else (),
            ),
            copies=self.copies.select(wanted),
        )

    def part(self, name: str | None) -> tuple[str, Cohort]:
        """Return the name and the images of a set; by default ``test``, if present.

        Raises:
            OptionError: The part does not exist.
            DataError: The part has no images.
        """
        name = name or ("test" if self.rows("test") else ALL)
        if name not in {*PARTS, ALL}:
            raise OptionError("part", must="one of train, val, test, all", was=name)
        rows = self.rows(name)
        if not rows:
            counts = ((part, len(self.rows(part))) for part in (*PARTS, ALL))
            there = ", ".join(f"{part} ({count})" for part, count in counts if count)
            raise DataError(
                f"{self.catalog.root}: no images in the set {name!r}; available: {there}."
            )
        return name, self.select(rows)

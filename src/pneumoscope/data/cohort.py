"""Whose images a number speaks of: catalog, parts, and what a reader has learnt from them.

Training, evaluation, comparison, recalibration and inspection ask the same questions of images:
which part each is of, which of them belong together, and whether a reader has seen them. The
answers stand in one value, a ``Cohort``.
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
"""What every row is of, whatever its part."""

_HEAVIEST = {UNUSED: 0, "train": 1, "val": 2, "test": 3}


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """The images that a reader was made from, by content.

    Attributes:
        part_of: SHA-256 of a file, or its first digits, → its part. Where a content stands in
            several parts, which a sound split does not have, it is the one that judges.
        taught: The known patients of the training part.
        root: The folder that the paths of the images begin at; None where that is not known.
        digits: How many digits of a SHA-256 the keys have.
        whole: Whether every image of the data is there, those that judge too; a model file knows
            what it learnt from alone.
        names: The first digits of the digests of the names of the files that it learnt from, as
            ``reader.model_file.training_hashes`` makes them; empty where they are not known.
    """

    part_of: Mapping[str, str]
    taught: frozenset[Patient] = frozenset()
    root: Path | None = None
    digits: int = 64
    whole: bool = True
    names: frozenset[str] = frozenset()

    def part(self, sha256: str) -> str:
        """Return the part of a file, empty where it is none of these."""
        return self.part_of.get(sha256[: self.digits], "")

    @classmethod
    def of_run(cls, run: RunFolder) -> Origin | None:
        """Return what a run was made from; None where its folder does not tell.

        Raises:
            DataError: Its files cannot be read.
        """
        if not (run.catalog.is_file() and run.split.is_file()):
            return None
        try:
            parts = {row["path"]: row["split"] for row in rows_of(run.split)}
            part_of: dict[str, str] = {}
            taught = set()
            for row in rows_of(run.catalog):
                part = parts.get(row["path"], UNUSED)
                before = part_of.get(row["sha256"], part)
                part_of[row["sha256"]] = max(before, part, key=lambda p: _HEAVIEST.get(p, 0))
                if part == "train":
                    taught.add(Patient.of(row["patient"], row["path"]))
            return cls(part_of, frozenset(p for p in taught if p.known), _root_of(run))
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
        """Return what images have to do with the reader.

        Contents are the same wherever they lie. Names of patients are not: other data may number
        their patients alike. They count only where the images are of the same source: most of them
        are the run's, or some of them are and they lie in the same folder.

        Args:
            sha256: Of the file of each image, [n].
            patients: Whose they are, [n].
            root: The folder that they lie in.
            paths: Their paths, [n], for copies in another size or format: where few contents are
                known and most names are, the names count.
        """
        parts = [self.part(digest) for digest in sha256]
        shared = sum(map(bool, parts))
        named = tuple(name_digest(path)[: self.digits] in self.names for path in paths)
        if 2 * sum(named) > len(sha256) and 2 * shared < len(sha256):
            return Relation(known=True, taught=(False,) * len(sha256), named=named)
        own = self.whole and 2 * shared > len(sha256)
        same = own or (shared > 0 and root is not None and root.resolve() == self.root)
        return Relation(
            known=True,
            own=own,
            taught=tuple(
                part == "train" or (same and patient in self.taught)
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
    """Images, their patients, the part of each, and what a reader has to do with them.

    Attributes:
        catalog: The images and whose they are.
        split: The part of each: ``train``, ``val``, ``test``, ``unused``, or empty where nothing
            tells parts.
        relation: To the reader that is asked; nothing is known where none is.
        copies: Which images show the same picture, as far as that was looked for.
    """

    catalog: Catalog
    split: Split
    relation: Relation = field(default_factory=Relation)
    copies: Copies = field(default_factory=Copies)

    def __len__(self) -> int:
        return len(self.catalog)

    @classmethod
    def of(cls, catalog: Catalog, origin: Origin | None = None) -> Cohort:
        """Return a catalog with the parts of a run if most of it is the run's, else with its own.

        Args:
            catalog: The images.
            origin: What the reader that is asked was made from; None where that is not known.
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
        """How many patients there are; an image of an unknown one counts as one of its own."""
        return len({entry.patient for entry in self.catalog.entries})

    @property
    def groups(self) -> list[int]:
        """A group number a row: rows of one patient or picture, which belong into one part."""
        return groups_of(self.catalog, self.copies)

    @property
    def pictures(self) -> list[list[int]]:
        """The rows of each picture that is stored more than once, identical files included."""
        same = equal_rows(entry.sha256 for entry in self.catalog.entries)
        return tied(len(self), chain(same, self.copies.ties()))

    @property
    def crossing(self) -> tuple[Shared, ...]:
        """The groups that stand in more than one part; none in a sound split."""
        return shared_between_parts(self.split.parts, self.groups)

    def rows(self, part: str) -> list[int]:
        """Return the rows of ``train``, ``val``, ``test``, ``unused`` or ``all``."""
        return list(range(len(self))) if part == ALL else self.split.rows(part)

    def too_few(self, part: str) -> str:
        """Return why the images of a part can decide nothing, empty where they can or are none."""
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
        taught, named = self.relation.taught, self.relation.named
        return replace(
            self,
            catalog=self.catalog.select(wanted),
            split=Split(tuple(self.split.parts[row] for row in wanted)),
            relation=replace(
                self.relation,
                taught=tuple(taught[row] for row in wanted) if taught else (),
                named=tuple(named[row] for row in wanted) if named else (),
            ),
            copies=self.copies.select(wanted),
        )

    def part(self, name: str | None) -> tuple[str, Cohort]:
        """Return the name and the images of a part; of ``test`` where there is one, if None.

        Raises:
            OptionError: There is no such part.
            DataError: It has no images.
        """
        name = name or ("test" if self.rows("test") else ALL)
        if name not in {*PARTS, ALL}:
            raise OptionError("part", must="one of train, val, test, all", was=name)
        rows = self.rows(name)
        if not rows:
            counts = ((part, len(self.rows(part))) for part in (*PARTS, ALL))
            there = ", ".join(f"{part} ({count})" for part, count in counts if count)
            raise DataError(
                f"{self.catalog.root}: no images in the part {name!r}; available: {there}."
            )
        return name, self.select(rows)

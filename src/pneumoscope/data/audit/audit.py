"""Run all checks of the audit on a folder of images."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.data.audit.duplicates import exact_groups, near_pairs
from pneumoscope.data.audit.findings import SEVERITIES, Finding
from pneumoscope.data.audit.findings_classes import shortcut_findings, size_findings
from pneumoscope.data.audit.findings_images import (
    copy_findings,
    label_findings,
    leak_findings,
    left_out_findings,
    odd_findings,
    unreadable_findings,
)
from pneumoscope.data.audit.leaks import crossings
from pneumoscope.data.audit.measures import Measured, measure_files, same_pixels
from pneumoscope.data.audit.oddities import odd_images
from pneumoscope.data.audit.result import Audit
from pneumoscope.data.audit.shortcuts import Shortcuts, probe
from pneumoscope.data.audit.store import PixelStore
from pneumoscope.data.catalog import Catalog, is_useless
from pneumoscope.data.classes import POSITIVE, find_class, names_in, positive_group
from pneumoscope.data.cohort import Cohort
from pneumoscope.data.copies import Copies, Pair, tied
from pneumoscope.data.layouts import DataOptions, Listing, list_data
from pneumoscope.data.layouts.findings import UNLABELLED, list_findings
from pneumoscope.data.patients import PatientPattern, settle_patients
from pneumoscope.data.split import Split, parts_in_file
from pneumoscope.errors import OptionError
from pneumoscope.labels import LabelSpace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pneumoscope.data.audit.suspicious import Suspect
    from pneumoscope.parallel import Progress

Bar = Callable[[str], AbstractContextManager["Progress"]]
"""Returns the progress function of a stage."""

_SHOWN = 12
_NEARLY_ONE = 0.99


def audit_data(
    data: Path,
    *,
    positive: str | None = None,
    options: DataOptions | None = None,
    patient_regex: str | None = None,
    split_file: Path | None = None,
    suspects: Sequence[Suspect] = (),
    seed: int = 0,
    workers: int | None = None,
    bar: Bar | None = None,
) -> Audit:
    """Audit a data set.

    Every file is read once. Unreadable files are reported as findings and never end an audit. The
    number of classes is arbitrary, including one and none.

    Args:
        data: A folder with folders of sets or classes, a CSV manifest, or a folder of images.
        positive: The positive class, or several separated by commas; PNEUMONIA if present.
        options: The class map, and how to read a table.
        patient_regex: Regular expression that extracts the patient from a path; see
            ``PatientPattern``.
        split_file: Parts to check instead of those of the folders: CSV with ``path`` and ``split``.
        suspects: Images whose label a reader contradicts.
        seed: Seed of random choices: images shown, hyperplanes, folds.
        workers: Number of decoding threads; one per core if None.
        bar: Shows the progress of each stage.

    Raises:
        DataError: There is no such folder, or a table cannot be read.
        OptionError: ``positive`` is not a class of the data, or ``patient_regex`` is invalid.
        OutputError: The disk of temporary files is full.
    """
    bar = bar or _no_bar
    listing = _listing(data, options, positive)
    root, found = listing.root, listing.entries
    pattern = PatientPattern(patient_regex) if patient_regex is not None else None
    if pattern is not None:
        is_useless(pattern, found)  # raises
    with PixelStore() as store:
        with bar("Reading the images") as progress:
            measured = measure_files(
                root, found, store=store, seed=seed, workers=workers,
                pattern=pattern, header_patients=listing.header_patients, progress=progress,
            )  # fmt: skip
        settled, warnings = settle_patients(measured.entries)
        measured = replace(measured, entries=type(measured.entries)(settled))
        entries = measured.entries
        classes = classes_of([entry.label for entry in entries], positive)
        catalog = Catalog(root, entries, classes or ("", ""), measured.unreadable)
        split = Split(tuple(entry.split for entry in entries))
        if any(split.parts):  # an empty part counts as training, as in training itself
            split = Split(tuple(part or "train" for part in split.parts))
        if split_file is not None:
            split = parts_in_file(split_file, catalog)
        odd = odd_images(measured)
        blank = {item.row for item in odd if item.kind == "blank"}
        exact = [group for group in exact_groups(measured) if not blank.issuperset(group)]
        with bar("Comparing similar images") as progress:
            near = near_pairs(store, skip=exact, leave_out=blank, seed=seed, progress=progress)
        copies = _equal_after_all(root, measured, exact, near)
        audit = Audit(
            root,
            measured,
            Cohort(catalog, split, copies=copies),
            classes,
            tuple(crossings(entries, split.parts, exact=copies.exact, near=copies.near)),
            tuple(odd),
            _shortcuts(measured, positive, seed=seed),
            tuple(suspects),
            {},
            (),
            seed,
            listing.left_out,
            (*listing.notes, *warnings),
        )
        shown = _shown(audit)
        pictures = dict(zip(shown, store.take(np.array(shown, np.int64)), strict=True))
    return replace(audit, pictures=pictures, findings=_findings(audit))


def _listing(data: Path, options: DataOptions | None, positive: str | None) -> Listing:
    """Return the images of a data set; of a table of findings, with and without any of them."""
    if options is None or options.findings is None:
        return list_data(data, options, positive=names_in(positive), keep_unlabelled=True)
    if positive is not None:
        raise OptionError("positive", must="omitted if `findings` is given", was=positive)
    table = list_findings(data, options)
    counts = []
    for place, name in enumerate(table.names):
        own = [entry.findings[place] for entry in table.listing.entries]
        counts.append(f"{name} {own.count(1):,} of {len(own) - own.count(UNLABELLED):,}")
    note = f"Images with each finding, among those that have a label for it: {', '.join(counts)}."
    compared = (
        "Label shortcuts are measured between images with any of the findings and images "
        "without findings."
    )
    return replace(table.listing, notes=(*table.listing.notes, note, compared))


def _findings(audit: Audit) -> tuple[Finding, ...]:
    """Return all findings of an audit, errors first."""
    found = [
        *unreadable_findings(audit),
        *left_out_findings(audit),
        *leak_findings(audit),
        *copy_findings(audit),
        *size_findings(audit),
        *odd_findings(audit),
        *shortcut_findings(audit),
        *label_findings(audit),
    ]
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))


def _equal_after_all(
    root: Path, measured: Measured, exact: list[list[int]], near: list[Pair]
) -> Copies:
    """Move near copies whose files decode to the same pixels to the exact copies.

    A JPEG is decoded at a fraction of its size, so the prepared pixels of the same image differ
    slightly between JPEG and PNG.
    """
    entries = measured.entries

    def equal(pair: Pair) -> bool:
        a, b = entries[pair.first], entries[pair.second]
        return (
            pair.correlation > _NEARLY_ONE
            and not pair.mirrored
            and (a.width, a.height) == (b.width, b.height)
            and same_pixels(root / a.path, root / b.path)
        )

    same = {(pair.first, pair.second) for pair in near if equal(pair)}
    tie = [(group[0], row) for group in exact for row in group[1:]]
    return Copies(
        tuple(map(tuple, tied(len(measured), [*tie, *sorted(same)]))),
        tuple(pair for pair in near if (pair.first, pair.second) not in same),
    )


def classes_of(labels: Sequence[str], positive: str | None) -> tuple[str, str] | None:
    """Return (negative, positive) if there are exactly two labels, otherwise None.

    Raises:
        OptionError: ``positive`` is not one of them.
    """
    names = sorted(set(labels))
    named = positive_group(positive, names)[0] if positive is not None and len(names) > 1 else None
    if len(names) != 2:
        return None
    chosen = named[0] if named else find_class(POSITIVE, names) or names[1]
    return (names[0] if names[1] == chosen else names[1]), chosen


def compared(
    labels: Sequence[str], positive: str | None
) -> tuple[tuple[str, str], set[str]] | None:
    """Return names for the negative and the positive labels, and the positive labels.

    Two labels are compared as they are, more only if ``positive`` names some of them; None if there
    is nothing to compare.

    Raises:
        OptionError: ``positive`` is not one of the labels.
    """
    pair = classes_of(labels, positive)
    if pair is not None:
        return pair, {pair[1]}
    names = sorted(set(labels))
    if positive is None or len(names) < 2:
        return None
    chosen, group = positive_group(positive, names)
    return LabelSpace.of(names, chosen, group).pair, set(chosen)


def _shortcuts(measured: Measured, positive: str | None, *, seed: int) -> Shortcuts | None:
    """Return how well properties of the images predict whether a label is positive."""
    found = compared([entry.label for entry in measured.entries], positive)
    if found is None:
        return None
    pair, inside = found
    entries = tuple(replace(entry, label=pair[entry.label in inside]) for entry in measured.entries)
    return probe(replace(measured, entries=entries), pair, seed=seed)


def _shown(audit: Audit) -> list[int]:
    """Return the rows whose images are shown on the page: copies, odd images, suspects."""
    row_of = {entry.path: row for row, entry in enumerate(audit.measured.entries)}
    rows = [row for pair in audit.near[:_SHOWN] for row in (pair.first, pair.second)]
    rows += [row for group in audit.exact[:_SHOWN] for row in group[:2]]
    rows += [item.row for item in audit.odd[: 2 * _SHOWN]]
    rows += [row_of[s.path] for s in audit.suspects[:_SHOWN] if s.path in row_of]
    return sorted(set(rows))


class _NoBar(AbstractContextManager["Progress"]):
    def __enter__(self) -> Progress:
        return lambda done, total: None  # noqa: ARG005 - no progress is shown

    def __exit__(self, *_: object) -> None:
        return None


def _no_bar(title: str) -> AbstractContextManager[Progress]:
    del title
    return _NoBar()

"""Findings about files and images: unreadable, duplicated, odd or mislabelled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pneumoscope.data.audit.findings import Finding, count
from pneumoscope.data.catalog import UNREADABLE_SHARE

if TYPE_CHECKING:
    from pneumoscope.data.audit.result import Audit

_ODD: Final[dict[str, tuple[str, str]]] = {
    "blank": ("is blank", "are blank"),
    "colour": ("is a colour picture", "are colour pictures"),
    "document": ("looks like a document", "look like documents"),
    "inverted": ("looks inverted (white air)", "look inverted (white air)"),
    "turned": (
        "is rotated",
        "are rotated",
    ),
    "unlike": ("does not resemble the others", "do not resemble the others"),
}


def _paths_of(audit: Audit, groups: Iterable[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
    """Return the files of groups of rows."""
    return tuple(tuple(audit.measured.entries[row].path for row in group) for group in groups)


def unreadable_findings(audit: Audit) -> Iterator[Finding]:
    """Yield findings about unreadable files, and about a folder without any image."""
    bad, total = audit.measured.unreadable, len(audit.measured) + len(audit.measured.unreadable)
    if not len(audit.measured):
        yield Finding(
            "no-images",
            "error",
            "No image can be read",
            "There are no images to train or evaluate with.",
            "Give the folder that contains the images; the documentation lists the readable "
            "formats.",
        )
    if bad:
        share = len(bad) / total
        many = share > UNREADABLE_SHARE
        yield Finding(
            "unreadable",
            "error" if many else "warning",
            f"{count(len(bad), 'file')} of {total:,} cannot be read",
            "They are missing from all results below. "
            + (
                f"Above {UNREADABLE_SHARE:.0%}, training and evaluation refuse the data."
                if many
                else "Training and evaluation skip them."
            ),
            "Copy them again from their source, or remove them.",
            tuple((item.path,) for item in bad),
            {"reasons": {item.path: item.reason for item in bad}},
        )


def left_out_findings(audit: Audit) -> Iterator[Finding]:
    """Yield findings about skipped files and about how the layout was interpreted."""
    for note in audit.notes:
        yield Finding(
            "understood",
            "note",
            note,
            "The results depend on which images are used and how they are labelled.",
            "If this is not intended, see docs/how-to/public-data-sets.md.",
        )
    for item in audit.left_out:
        yield Finding(
            "left-out",
            "note",
            str(item),
            "Images that are left out are used neither for training nor for evaluation.",
            "To include them, change the class map, the treatment of uncertain labels, or the "
            "layout.",
            details=item.to_dict(),
        )


def leak_findings(audit: Audit) -> Iterator[Finding]:
    """Yield findings about patients and images that occur in two sets."""
    entries = audit.measured.entries
    for crossing in audit.crossings:
        a, b = crossing.parts
        if crossing.patients:
            by_patient: dict[str, list[str]] = defaultdict(list)
            for entry, part in zip(entries, audit.parts, strict=True):
                if part in crossing.parts:
                    by_patient[str(entry.patient)].append(entry.path)
            yield Finding(
                f"patients-shared-{a}-{b}",
                "error",
                f"{count(len(crossing.patients), 'patient')} in both {a} and {b}",
                f"Images of one patient are similar, so results on {b} are too optimistic.",
                "Put all images of a patient into one set. `pneumoscope train` draws such a "
                "split automatically.",
                tuple(tuple(by_patient[patient]) for patient in crossing.patients),
                {"patients": list(crossing.patients)},
            )
        for kind, groups in (
            ("exact", [[entries[row].path for row in group] for group in crossing.exact]),
            ("near", [[entries[p.first].path, entries[p.second].path] for p in crossing.near]),
        ):
            if groups:
                same = "the same image" if kind == "exact" else "the same picture, re-encoded"
                yield Finding(
                    f"{kind}-duplicates-shared-{a}-{b}",
                    "error",
                    f"{count(len(groups), 'image')} in both {a} and {b} ({same})",
                    f"Results on {b} are too optimistic, because {a} contains the same images.",
                    "Keep one copy, or put all copies into one set.",
                    tuple(map(tuple, groups)),
                )


def copy_findings(audit: Audit) -> Iterator[Finding]:
    """Yield findings about images that occur more than once, or under two labels."""
    entries = audit.measured.entries
    groups = audit.exact
    labels = [group for group in groups if len({entries[row].label for row in group}) > 1]
    near_labels = [
        [pair.first, pair.second]
        for pair in audit.near
        if entries[pair.first].label != entries[pair.second].label
    ]
    if labels or near_labels:
        both = [*labels, *near_labels]
        yield Finding(
            "duplicates-with-two-labels",
            "error",
            f"{count(len(both), 'image')} under two labels",
            "One of the two labels is wrong, and a reader learns both.",
            "Look at them, and remove the copy with the wrong label, or both.",
            _paths_of(audit, both),
        )
    patients = [
        group
        for group in groups
        if len({entries[row].patient for row in group if entries[row].patient.known}) > 1
    ]
    if groups:
        files = sum(map(len, groups))
        under = f"; {len(patients)} with different patients" if patients else ""
        yield Finding(
            "exact-duplicates",
            "warning",
            f"{count(len(groups), 'image')} stored more than once ({files} files{under})",
            "Copies count several times in training and in every metric"
            + (
                ", and if their patients differ, a split by patient alone can separate them."
                if patients
                else "."
            ),
            "Remove the copies. `pneumoscope train` keeps images with equal pixels in one "
            "set, even if their patients differ.",
            _paths_of(audit, groups),
            {
                "groups": len(groups),
                "files": files,
                "groups_with_two_patients": len(patients),
                "two_patients": [list(group) for group in _paths_of(audit, patients)],
            },
        )
    if audit.near:
        yield Finding(
            "near-duplicates",
            "warning",
            f"{count(len(audit.near), 'pair')} of files "
            f"{'contains' if len(audit.near) == 1 else 'contain'} the same image",
            "A shifted, rescaled, mirrored or re-encoded image is still the same image. A "
            "split by file can put it into two sets.",
            "Look at the pairs and keep one of each. By default, `pneumoscope train` keeps "
            "both in one set.",
            _paths_of(audit, [[pair.first, pair.second] for pair in audit.near]),
            {
                "pairs": [
                    {
                        "files": [entries[pair.first].path, entries[pair.second].path],
                        "correlation": round(pair.correlation, 4),
                        "mirrored": pair.mirrored,
                    }
                    for pair in audit.near
                ]
            },
        )


def odd_findings(audit: Audit) -> Iterator[Finding]:
    """Yield findings about images that do not look like upright frontal chest X-rays."""
    for kind, (one, many) in _ODD.items():
        odd = [item for item in audit.odd if item.kind == kind]
        if not odd:
            continue
        yield Finding(
            f"odd-{kind}",
            "note" if kind == "unlike" else "warning",
            f"{count(len(odd), 'image')} {one if len(odd) == 1 else many}",
            "They would be used for training or evaluation although they are not upright "
            "frontal chest radiographs.",
            "Look at them, and remove, rotate or invert those that are wrong.",
            tuple((audit.measured.entries[item.row].path,) for item in odd),
            {"reasons": {audit.measured.entries[item.row].path: item.why for item in odd}},
        )


def label_findings(audit: Audit) -> Iterator[Finding]:
    """Yield findings about labels that a reader contradicts."""
    if audit.suspects:
        sure = sum(suspect.probability < 0.1 for suspect in audit.suspects)
        yield Finding(
            "suspicious-labels",
            "note",
            f"A reader contradicts the label of {count(len(audit.suspects), 'image')}, "
            f"{sure} of them with a probability above 90%",
            "Either the reader or the label is wrong; a radiologist should check the first "
            "images of the list.",
            "Have the images read again without showing the label. Change labels of the test set "
            "only if all its images are read again.",
            tuple((suspect.path,) for suspect in audit.suspects),
            {"ranked": [suspect.to_dict() for suspect in audit.suspects]},
        )

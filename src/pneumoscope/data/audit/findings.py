"""What is wrong with the data: each finding with its files, why it matters and what to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from pneumoscope.data.audit.statistics import wilson
from pneumoscope.data.catalog import UNREADABLE_SHARE
from pneumoscope.data.split import ENOUGH_TO_DECIDE

if TYPE_CHECKING:
    from pneumoscope.data.audit.audit import Audit

Severity = Literal["error", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")

TELLING: Final = 0.75
"""A clue whose area reaches this is a warning; from 0.65 on it is a note."""

_HINT = 0.65
_FEW_MODES = 3
_IMBALANCE = 1.5
_GRAVE_IMBALANCE = 10.0
_WIDE = 0.1


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        id: A word for programs, ``patients-shared`` say.
        severity: ``error`` (results from these data would be wrong), ``warning`` (they may be) or
            ``note``.
        title: What was found, with its number.
        why: Why it matters.
        action: What to do.
        files: The files concerned, in groups that belong together.
        details: Numbers for programs.
    """

    id: str
    severity: Severity
    title: str
    why: str
    action: str
    files: tuple[tuple[str, ...], ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "id": self.id,
            "severity": self.severity,
            "title": self.title,
            "why": self.why,
            "action": self.action,
            "files": [list(group) for group in self.files],
            "details": self.details,
        }


def findings_of(audit: Audit) -> tuple[Finding, ...]:
    """Return all findings of an audit, errors first."""
    found = [
        *_reading(audit),
        *_leaks(audit),
        *_copies(audit),
        *_sizes(audit),
        *_oddities(audit),
        *_shortcuts(audit),
        *_labels(audit),
    ]
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))


def count(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> count(1, "image"), count(1200, "image"), count(2, "copy", "copies")
    ('1 image', '1,200 images', '2 copies')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _reading(audit: Audit) -> Iterator[Finding]:
    bad, total = audit.measured.unreadable, len(audit.measured) + len(audit.measured.unreadable)
    if not len(audit.measured):
        yield Finding(
            "no-images",
            "error",
            "No image can be read",
            "There is nothing to learn from or to measure on.",
            "Name the folder that holds the images; readable formats are in the documents.",
        )
    if bad:
        share = len(bad) / total
        many = share > UNREADABLE_SHARE
        yield Finding(
            "unreadable",
            "error" if many else "warning",
            f"{count(len(bad), 'file')} of {total:,} cannot be read",
            "They are missing from everything that follows. "
            + (
                f"Above {UNREADABLE_SHARE:.0%} training and evaluation refuse the data as a whole."
                if many
                else "Training and evaluation skip them."
            ),
            "Copy them again from where they came from, or remove them.",
            tuple((item.path,) for item in bad),
            {"reasons": {item.path: item.reason for item in bad}},
        )


def _leaks(audit: Audit) -> Iterator[Finding]:
    entries = audit.measured.entries
    for crossing in audit.crossings:
        a, b = crossing.parts
        if crossing.patients:
            by_patient: dict[str, list[str]] = defaultdict(list)
            for entry, part in zip(entries, audit.parts, strict=True):
                if part in crossing.parts:
                    by_patient[entry.patient].append(entry.path)
            yield Finding(
                f"patients-shared-{a}-{b}",
                "error",
                f"{count(len(crossing.patients), 'patient')} in both {a} and {b}",
                f"A reader that was trained on a patient knows the lungs it is judged on in {b}: "
                "its score there is too good.",
                "Put all images of a patient into one part. `pneumoscope train` draws such a split "
                "by itself.",
                tuple(tuple(by_patient[patient]) for patient in crossing.patients),
                {"patients": list(crossing.patients)},
            )
        for kind, groups in (
            ("exact", [[entries[row].path for row in group] for group in crossing.exact]),
            ("near", [[entries[p.first].path, entries[p.second].path] for p in crossing.near]),
        ):
            if groups:
                same = "the same image" if kind == "exact" else "the same picture, saved anew"
                yield Finding(
                    f"{kind}-duplicates-shared-{a}-{b}",
                    "error",
                    f"{count(len(groups), 'image')} in both {a} and {b} ({same})",
                    f"The answer to a question of {b} was seen in {a}.",
                    "Keep one copy, or put all copies into one part.",
                    tuple(map(tuple, groups)),
                )


def _copies(audit: Audit) -> Iterator[Finding]:
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
            "One of the two labels is wrong, and the reader is taught both.",
            "Look at them, and remove the wrong copy or both.",
            _paths(audit, both),
        )
    patients = [
        group
        for group in groups
        if len({entries[row].patient for row in group if entries[row].patient}) > 1
    ]
    if groups:
        files = sum(map(len, groups))
        under = f", {len(patients)} of them under two patients" if patients else ""
        yield Finding(
            "exact-duplicates",
            "warning",
            f"{count(len(groups), 'image')} stored more than once ({files} files{under})",
            "Copies count twice in training and in every score"
            + (
                ", and where the patient differs, a split by patient alone would tear them apart."
                if patients
                else "."
            ),
            "Remove the copies. `pneumoscope train` keeps equal images in one part, whoever they "
            "are said to belong to.",
            _paths(audit, groups),
            {
                "groups": len(groups),
                "files": files,
                "groups_with_two_patients": len(patients),
                "two_patients": [list(group) for group in _paths(audit, patients)],
            },
        )
    if audit.near:
        yield Finding(
            "near-duplicates",
            "warning",
            f"{count(len(audit.near), 'pair')} of files show the same picture",
            "Moved, rescaled, mirrored or saved anew, a picture stays the same picture. A split by "
            "file would put it on both sides.",
            "Look at the pairs; keep one of each, or see that both stay in one part.",
            _paths(audit, [[pair.first, pair.second] for pair in audit.near]),
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


def _sizes(audit: Audit) -> Iterator[Finding]:
    entries = audit.measured.entries
    by_part: dict[str, Counter[str]] = defaultdict(Counter)
    for entry, part in zip(entries, audit.parts, strict=True):
        by_part[part][entry.label] += 1
    names = sorted({entry.label for entry in entries})
    for part in ("val", "test"):
        if part in by_part:
            yield from _too_small(part, by_part[part], names)
    if "train" in by_part:
        for name in names:
            if not by_part["train"][name]:
                elsewhere = [part for part in ("val", "test") if by_part[part][name]]
                yield Finding(
                    "class-not-in-train",
                    "error",
                    f"The class {name} is in {_and(elsewhere or ['unused'])} but not in train",
                    "Nothing can be learnt of it. Often a folder is misspelt.",
                    f"Rename the folder if it is one of {', '.join(by_part['train'])}; else remove "
                    "it, or move some of its patients into train.",
                    tuple((entry.path,) for entry in entries if entry.label == name),
                )
    counts = by_part.get("train") or Counter(entry.label for entry in entries)
    if len(counts) > 1:
        (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
        ratio = many / few
        if ratio >= _IMBALANCE:
            yield Finding(
                "imbalance",
                "warning" if ratio >= _GRAVE_IMBALANCE else "note",
                f"{ratio:.1f} times as many {most} as {least} images to learn from",
                f"Calling everything {most} is right in {many / (many + few):.0%} of cases, so "
                "accuracy alone says little, and the probabilities fit this mixture only.",
                "Judge by sensitivity, specificity and AUC; weight or resample the classes if one "
                "of the first two suffers.",
                details={"counts": dict(counts)},
            )
    if len(names) > 2:
        yield Finding(
            "many-classes",
            "note",
            f"{len(names)} classes: {', '.join(names)}",
            "Training takes two; how well a class can be guessed from its files is only judged "
            "between two.",
            "Lay two of them out in a folder of their own, and inspect that.",
        )
    if len(names) == 1:
        label = names[0]
        yield Finding(
            "one-class",
            "note",
            f"All images are of one class ({label})" if label else "The images have no labels",
            "Nothing can be learnt or compared without a second class; copies and damaged or odd "
            "images are found all the same.",
            "To train, lay the images out in two class folders.",
        )
    yield from _patients(audit)


def _too_small(part: str, counts: Counter[str], names: Sequence[str]) -> Iterator[Finding]:
    n = counts.total()
    fewest = min(names, key=lambda name: counts[name])
    if n >= ENOUGH_TO_DECIDE and counts[fewest] >= ENOUGH_TO_DECIDE // 5:
        return
    what, judged = "image", n
    if n >= ENOUGH_TO_DECIDE:  # one class alone is small
        what, judged = f"{fewest} image", counts[fewest]
    low, high = wilson(0.9, judged)
    yield Finding(
        f"small-{part}",
        "warning",
        f"The part {part} has {count(judged, what)}: 90% right on them may truly be {low:.0%} to "
        f"{high:.0%}",
        f"That is the 95% interval (Wilson) of an accuracy of 90% on {count(judged, what)}. Such "
        "a part cannot tell a good reader from a poor one, nor a good epoch from a lucky one.",
        (
            "Draw a larger part from the training images, patient by patient; `pneumoscope train` "
            "does so by itself for validation."
            if part == "val"
            else "Set more images aside for test, or report the interval with every number."
        ),
        details={
            "images": judged,
            "accuracy": 0.9,
            "low": round(low, 4),
            "high": round(high, 4),
        },
    )


def _patients(audit: Audit) -> Iterator[Finding]:
    entries = audit.measured.entries
    unknown = [entry.path for entry in entries if not entry.patient]
    if unknown:
        yield Finding(
            "patients-unknown",
            "note",
            f"Whose images they are is not known for {len(unknown):,} of {len(entries):,}",
            "Two images of one patient could stand in two parts, and nobody would see it.",
            "Name the patients in a manifest (column `patient`).",
            details={"images": len(unknown)},
        )
    per_patient = Counter(entry.patient for entry in entries if entry.patient)
    several = {patient: n for patient, n in per_patient.items() if n > 1}
    if several:
        share = sum(several.values()) / sum(per_patient.values())
        yield Finding(
            "patients-with-several-images",
            "note",
            f"{count(len(several), 'patient')} of {len(per_patient):,} "
            f"{'has' if len(several) == 1 else 'have'} several images, up to "
            f"{max(several.values())}",
            f"{share:.0%} of the images are theirs. A split that is drawn by image puts such a "
            "patient on both sides.",
            "Split by patient, as `pneumoscope train` does.",
            details={"patients": len(several), "most_images": max(several.values())},
        )


_ODD: Final[dict[str, tuple[str, str]]] = {
    "blank": ("is blank", "are blank"),
    "colour": ("is a colour picture", "are colour pictures"),
    "document": ("looks like a document", "look like documents"),
    "inverted": ("looks inverted (white air)", "look inverted (white air)"),
    "turned": (
        "lies on its side or stands on its head",
        "lie on their side or stand on their head",
    ),
    "unlike": ("looks like none of the others", "look like none of the others"),
}


def _oddities(audit: Audit) -> Iterator[Finding]:
    for kind, (one, many) in _ODD.items():
        odd = [item for item in audit.odd if item.kind == kind]
        if not odd:
            continue
        yield Finding(
            f"odd-{kind}",
            "note" if kind == "unlike" else "warning",
            f"{count(len(odd), 'image')} {one if len(odd) == 1 else many}",
            "A reader is taught or judged on something that is no upright frontal chest "
            "radiograph.",
            "Look at them; remove, turn or invert what is wrong.",
            tuple((audit.measured.entries[item.row].path,) for item in odd),
            {"reasons": {audit.measured.entries[item.row].path: item.why for item in odd}},
        )


def _shortcuts(audit: Audit) -> Iterator[Finding]:
    yield from _modes(audit)
    if audit.shortcuts is None:
        return
    telling = [c for c in audit.shortcuts.clues if c.area.value >= TELLING and c.area.low > 0.5]
    hints = [
        clue
        for clue in audit.shortcuts.clues
        if _HINT <= clue.area.value < TELLING and clue.area.low > 0.5
    ]
    for severity, clues in (("warning", telling), ("note", hints)):
        for kind in ("file", "pixels", "periphery"):
            chosen = [clue for clue in clues if clue.kind == kind]
            if not chosen:
                continue
            advice = _CLUES[kind]
            named = [f"{clue.name} (AUC {clue.area.value:.2f})" for clue in chosen]
            yield Finding(
                f"shortcut-{kind}" if severity == "warning" else f"shortcut-{kind}-weak",
                "warning" if severity == "warning" else "note",
                f"The class can be guessed from {_and(named)}",
                f"Judged on patients that the guess was not fitted on, 0.5 being a coin toss. "
                f"{advice.why}",
                advice.action,
                details={"clues": [clue.to_dict() for clue in chosen]},
            )


@dataclass(frozen=True, slots=True)
class _Advice:
    """Why a kind of clue matters, and what to do."""

    why: str
    action: str


_CLUES: Final = {
    "file": _Advice(
        why="These are facts of the file, not of the lungs: they tell which machine or which hand "
        "a file comes from.",
        action="See that a model cannot see them: one size, one mode, one encoding for all. "
        "`pneumoscope` hands a model grey pixels of one size alone; traces that resizing and "
        "compression left in the pixels stay.",
    ),
    "pixels": _Advice(
        why="They tell exposure, framing and processing. Disease can change them too, so this is a "
        "reason to look and no proof.",
        action="Vary brightness, contrast and crops in training; test on another hospital's "
        "images.",
    ),
    "periphery": _Advice(
        why="This is the outer eighth of the picture alone, where there is hardly any lung: arms, "
        "markers, collimation and posture tell the classes apart.",
        action="Look where the evidence of a reader lies; crop to the lungs, or vary crops in "
        "training. Test on another hospital's images.",
    ),
}


def _modes(audit: Audit) -> Iterator[Finding]:
    entries = audit.measured.entries
    totals = Counter(entry.label for entry in entries)
    by_mode: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in entries:
        by_mode[entry.mode][entry.label] += 1
    if len(totals) < 2 or len(by_mode) < 2:
        return
    for mode, counts in sorted(by_mode.items()):
        if len(counts) > 1 or counts.total() < _FEW_MODES:
            continue
        (label, n), total = counts.most_common(1)[0], totals.total()
        chance = 1.0
        for taken in range(n):
            chance *= max(0, totals[label] - taken) / (total - taken)
        if chance > _WIDE:
            continue
        yield Finding(
            f"mode-only-in-class-{mode}",
            "warning",
            f"{mode} files occur only in {label} ({count(n, 'file')})",
            "A model that sees the kind of file knows the class of these without looking at a "
            f"lung. By chance this would happen with probability {chance:.2g}.",
            "Turn all files into one mode before anything else reads them; `pneumoscope` reads all "
            "as grey.",
            tuple((entry.path,) for entry in entries if entry.mode == mode),
            {"mode": mode, "label": label, "files": n, "chance": chance},
        )


def _labels(audit: Audit) -> Iterator[Finding]:
    if audit.suspects:
        sure = sum(suspect.probability < 0.1 for suspect in audit.suspects)
        yield Finding(
            "suspicious-labels",
            "note",
            f"A reader contradicts the label of {count(len(audit.suspects), 'image')}, "
            f"{sure} of them with more than 90%",
            "Either the reader errs or the label does; the first ones of the list are worth a "
            "second look by someone who reads X-rays.",
            "Have them read again, without showing the label. Change labels of the test part only "
            "if all of it is read again.",
            tuple((suspect.path,) for suspect in audit.suspects),
            {"ranked": [suspect.to_dict() for suspect in audit.suspects]},
        )


def _paths(audit: Audit, groups: Iterable[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(audit.measured.entries[row].path for row in group) for group in groups)


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

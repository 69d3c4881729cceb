"""Findings about classes and sets: size, patients and label shortcuts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pneumoscope.data.audit.findings import Finding, count, enumerated
from pneumoscope.data.audit.statistics import wilson
from pneumoscope.data.split import ENOUGH_TO_DECIDE

if TYPE_CHECKING:
    from pneumoscope.data.audit.result import Audit

_TELLING = 0.75  # AUC of a clue from which it is a warning
_HINT = 0.65  # AUC from which it is a note
_FEW_MODES = 3
_IMBALANCE = 1.5
_GRAVE_IMBALANCE = 10.0
_WIDE = 0.1


@dataclass(frozen=True, slots=True)
class _Advice:
    """Relevance of a kind of shortcut, and the recommended action."""

    why: str
    action: str


_CLUES: Final = {
    "file": _Advice(
        why="These are properties of the file, not of the lungs: they reflect the device or "
        "the person a file comes from.",
        action="Remove these differences: use the same size, mode and encoding for all files. "
        "The input of a `pneumoscope` model has only grey pixels of one size, but traces "
        "of earlier resizing and compression remain in the pixels.",
    ),
    "pixels": _Advice(
        why="They reflect exposure, framing and processing. Disease can change them too, so "
        "this does not prove that there is a problem.",
        action="Vary brightness, contrast and crops in training; test on another hospital's "
        "images.",
    ),
    "periphery": _Advice(
        why="This is the outer eighth of the image, which shows hardly any lung: arms, "
        "markers, collimation and posture differ between the classes.",
        action="Check where the evidence of a reader lies; crop to the lungs, or vary crops in "
        "training. Test on another hospital's images.",
    ),
}


def size_findings(audit: Audit) -> Iterator[Finding]:
    """Yield findings about small sets, class imbalance and unknown patients."""
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
                    f"The class {name} is in {enumerated(elsewhere or ['unused'])} "
                    "but not in train",
                    "A model cannot learn this class. A common cause is a misspelt folder name.",
                    f"Rename the folder if it should be one of {', '.join(by_part['train'])}; "
                    "otherwise remove it, or move some of its patients into train.",
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
                f"{ratio:.1f} times as many {most} as {least} training images",
                f"Always predicting {most} is right in {many / (many + few):.0%} of cases, so "
                "accuracy alone says little, and the probabilities are valid only for this "
                "class ratio.",
                "Evaluate by sensitivity, specificity and AUC; weight or resample the classes "
                "if sensitivity or specificity is too low.",
                details={"counts": dict(counts)},
            )
    if len(names) > 2:
        yield Finding(
            "many-classes",
            "note",
            f"{len(names)} classes: {', '.join(names)}",
            "Label shortcuts are searched for between two groups of classes"
            + (f": {' and '.join(audit.shortcuts.classes)}." if audit.shortcuts else "."),
            "Check that `--positive` names all positive classes."
            if audit.shortcuts
            else "To search for them, name the positive classes with `--positive`, or combine the "
            "classes into two with a class map.",
        )
    if len(names) == 1:
        label = names[0]
        yield Finding(
            "one-class",
            "note",
            f"All images are of one class ({label})" if label else "The images have no labels",
            "Training and comparison need a second class; copies and damaged or unusual images "
            "are found nevertheless.",
            "To train, put the images into two class folders.",
        )
    yield from _patients(audit)


def _too_small(part: str, counts: Counter[str], names: Sequence[str]) -> Iterator[Finding]:
    n = counts.total()
    fewest = min(names, key=lambda name: counts[name])
    if n >= ENOUGH_TO_DECIDE and counts[fewest] >= ENOUGH_TO_DECIDE // 5:
        return
    what, counted = "image", n
    if n >= ENOUGH_TO_DECIDE:  # one class alone is small
        what, counted = f"{fewest} image", counts[fewest]
    low, high = wilson(0.9, counted)
    yield Finding(
        f"small-{part}",
        "warning",
        f"The {part} set has {count(counted, what)}: an accuracy of 90% would have a 95% "
        f"interval of {low:.0%} to {high:.0%}",
        f"That is the 95% interval (Wilson) of an accuracy of 90% on {count(counted, what)}. "
        "Such a set is too small to distinguish good readers from poor ones, or to choose an "
        "epoch reliably.",
        (
            "Draw a larger set from the training images, by patient; `pneumoscope "
            "train` does this automatically for validation."
            if part == "val"
            else "Use more images for testing, or report the interval with every number."
        ),
        details={
            "images": counted,
            "accuracy": 0.9,
            "low": round(low, 4),
            "high": round(high, 4),
        },
    )


def _patients(audit: Audit) -> Iterator[Finding]:
    entries = audit.measured.entries
    unknown = [entry.path for entry in entries if not entry.patient.known]
    if unknown:
        yield Finding(
            "patients-unknown",
            "note",
            f"The patient is unknown for {len(unknown):,} of {len(entries):,} images",
            "Images of one patient could be in two sets without being noticed.",
            "Give the patients in a manifest (column `patient`).",
            details={"images": len(unknown)},
        )
    per_patient = Counter(entry.patient for entry in entries if entry.patient.known)
    several = {patient: n for patient, n in per_patient.items() if n > 1}
    if several:
        share = sum(several.values()) / sum(per_patient.values())
        yield Finding(
            "patients-with-several-images",
            "note",
            f"{count(len(several), 'patient')} of {len(per_patient):,} "
            f"{'has' if len(several) == 1 else 'have'} several images, up to "
            f"{max(several.values())}",
            f"They have {share:.0%} of the images. A split by image puts such patients into "
            "several sets.",
            "Split by patient, as `pneumoscope train` does.",
            details={"patients": len(several), "most_images": max(several.values())},
        )


def shortcut_findings(audit: Audit) -> Iterator[Finding]:
    """Yield findings about label shortcuts."""
    yield from _modes(audit)
    if audit.shortcuts is None:
        return
    strong = [c for c in audit.shortcuts.clues if c.area.value >= _TELLING and c.area.low > 0.5]
    hints = [
        clue
        for clue in audit.shortcuts.clues
        if _HINT <= clue.area.value < _TELLING and clue.area.low > 0.5
    ]
    for severity, clues in (("warning", strong), ("note", hints)):
        for kind in ("file", "pixels", "periphery"):
            chosen = [clue for clue in clues if clue.kind == kind]
            if not chosen:
                continue
            advice = _CLUES[kind]
            named = [f"{clue.name} (AUC {clue.area.value:.2f})" for clue in chosen]
            yield Finding(
                f"shortcut-{kind}" if severity == "warning" else f"shortcut-{kind}-weak",
                "warning" if severity == "warning" else "note",
                f"The class can be predicted from {enumerated(named)}",
                f"Evaluated on patients not used for fitting; 0.5 is chance level. {advice.why}",
                advice.action,
                details={"clues": [clue.to_dict() for clue in chosen]},
            )


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
            "The mode of these files alone identifies their class. By chance this would happen "
            f"with probability {chance:.2g}.",
            "Convert all files to one mode before other software reads them; `pneumoscope` "
            "converts all images to grey.",
            tuple((entry.path,) for entry in entries if entry.mode == mode),
            {"mode": mode, "label": label, "files": n, "chance": chance},
        )

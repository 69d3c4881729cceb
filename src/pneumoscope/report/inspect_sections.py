"""The sections of an audit's page: what was found, as text, tables and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pneumoscope.data.audit.audit import counts, numeric_columns
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.figures.audit import ClueAreas, Distributions, ImagesPerPatient
from pneumoscope.report.figures.images import MeanImages, PictureSheet
from pneumoscope.report.figures.training import ClassCounts
from pneumoscope.report.page import Panel, Section

if TYPE_CHECKING:
    from pneumoscope.data.audit.audit import Audit
    from pneumoscope.data.entries import Entry

_PICTURES: Final = 12
_UNITS: Final = {
    "width_px": "Width, px",
    "height_px": "Height, px",
    "aspect": "Width / height",
    "bytes": "File size, bytes",
    "brightness": "Brightness, 0-255",
    "contrast": "Contrast, grey levels",
}


def audit_sections(canvas: Canvas, audit: Audit) -> tuple[Section, ...]:
    """Return the sections that have something to show, in the order of the page.

    Args:
        canvas: Takes the figures and their tables.
        audit: What was found.

    Raises:
        OutputError: The canvas cannot be written to.
    """
    found = (
        _counts(canvas, audit),
        _leaks(audit),
        _pictures(canvas, audit),
        _copies(canvas, audit),
        _odd(canvas, audit),
        _suspects(canvas, audit),
        _shortcuts(canvas, audit),
        _means(canvas, audit),
        _distributions(canvas, audit),
        _pixels(canvas, audit),
    )
    return tuple(section for section in found if section is not None)


def _counts(canvas: Canvas, audit: Audit) -> Section | None:
    if not len(audit.measured):
        return None
    found = counts(audit)
    header = ["part", "images", "patients", *(name or "(no label)" for name in found["labels"])]
    etiologies = sorted({e for own in found["parts"].values() for e in own["etiologies"]})
    header += [*etiologies, "if 90% were right"]
    rows = []
    for part, own in found["parts"].items():
        low, high = own["interval_of_90_percent"]
        rows.append(
            (
                part,
                f"{own['images']:,}",
                f"{own['patients']:,}" if own["patients"] else "",
                *(f"{own['labels'].get(label, 0):,}" for label in found["labels"]),
                *(f"{own['etiologies'].get(name, 0):,}" for name in etiologies),
                f"{low:.0%} to {high:.0%}",
            )
        )
    named = [
        (part or "all", entry.label or "no label")
        for entry, part in zip(audit.measured.entries, audit.parts, strict=True)
    ]
    named.sort(key=lambda item: list(found["parts"]).index(item[0]))
    figure = ClassCounts.from_labels([part for part, _ in named], [label for _, label in named])
    panels = [canvas.panel(figure, "classes", title="Images of each class")]
    if found["images_per_patient"]:
        per = ImagesPerPatient.from_counts(
            {int(n): m for n, m in found["images_per_patient"].items()}
        )
        panels.append(canvas.panel(per, "patients", title="Images per patient"))
    return Section(
        "What is there",
        text="The last column is the 95% interval (Wilson) of an accuracy of 90% measured on that "
        "part: how much a number from it can be trusted.",
        panels=tuple(panels),
        table=(tuple(header), tuple(rows)),
    )


def _leaks(audit: Audit) -> Section | None:
    if not audit.crossings:
        return None
    known = any(entry.patient.known for entry in audit.measured.entries)
    return Section(
        "What the parts share",
        text="Patients are those of the file names or the manifest. Equal images have the same "
        "pixels, near copies show the same picture moved, rescaled, mirrored or saved anew.",
        table=(
            ("parts", "patients", "equal images", "near copies"),
            tuple(
                (
                    " and ".join(crossing.parts),
                    f"{len(crossing.patients):,}" if known else "unknown",
                    f"{len(crossing.exact):,}",
                    f"{len(crossing.near):,}",
                )
                for crossing in audit.crossings
            ),
        ),
    )


def _pictures(canvas: Canvas, audit: Audit) -> Section | None:
    samples = audit.measured.samples
    if not samples:
        return None
    rows = sorted(samples, key=lambda row: (audit.measured.entries[row].label, row))
    entries = [audit.measured.entries[row] for row in rows]
    sheet = PictureSheet(
        np.stack([samples[row] for row in rows]),
        tuple(entry.label or "no label" for entry in entries),
        tuple(entry.path for entry in entries),
        columns=4,
    )
    panel = canvas.panel(
        sheet,
        "samples",
        title="Drawn at random",
        caption=f"Up to eight images of each class, drawn with seed {audit.seed}, as a model sees "
        "them. Look for markers, borders, tubes and postures that occur in one class only.",
    )
    return Section("What they look like", panels=(panel,))


def _sheet(audit: Audit, rows: list[int], titles: list[str], *, columns: int) -> PictureSheet:
    return PictureSheet(
        np.stack([audit.pictures[row] for row in rows]),
        tuple(titles),
        tuple(audit.measured.entries[row].path for row in rows),
        columns=columns,
    )


def _whose(entry: Entry) -> str:
    return entry.patient.name if entry.patient.known else entry.label or "copy"


def _copies(canvas: Canvas, audit: Audit) -> Section | None:
    pairs = [(p.first, p.second, f"{p.correlation:.2f}") for p in audit.near[:_PICTURES]]
    pairs += [(group[0], group[1], "equal") for group in audit.exact[:_PICTURES]]
    pairs = pairs[:_PICTURES]
    if not pairs:
        return None
    entries = audit.measured.entries
    rows = [row for a, b, _ in pairs for row in (a, b)]
    titles = [
        text
        for a, b, how in pairs
        for text in (
            _whose(entries[a]),
            f"{_whose(entries[b])} ({how})",
        )
    ]
    panel = canvas.panel(
        _sheet(audit, rows, titles, columns=4),
        "copies",
        title="Stored more than once",
        caption="Pairs, two to a row, under their patients. In brackets: equal pixels, or the "
        "correlation of what is left when the anatomy that all chests share is taken away; "
        "different films of one patient reached 0.72 at most where this was measured.",
    )
    return Section("Copies", panels=(panel,))


def _odd(canvas: Canvas, audit: Audit) -> Section | None:
    odd = [item for item in audit.odd if item.row in audit.pictures][: 2 * _PICTURES]
    if not odd:
        return None
    panel = canvas.panel(
        _sheet(audit, [item.row for item in odd], [item.kind for item in odd], columns=6),
        "odd",
        title="No upright frontal chest, as far as pixels tell",
        caption="Each under what it was taken for. The judgement is made from 16x16 pixels and "
        "colour; look before you remove.",
    )
    return Section(
        "Odd images",
        panels=(panel,),
        table=(
            ("file", "taken for", "because"),
            tuple((audit.measured.entries[i.row].path, i.kind, i.why) for i in audit.odd),
        ),
    )


def _suspects(canvas: Canvas, audit: Audit) -> Section | None:
    if not audit.suspects:
        return None
    row_of = {entry.path: row for row, entry in enumerate(audit.measured.entries)}
    shown = [s for s in audit.suspects[:_PICTURES] if row_of.get(s.path) in audit.pictures]
    panels: tuple[Panel, ...] = ()
    if shown:
        sheet = _sheet(
            audit,
            [row_of[s.path] for s in shown],
            [f"{s.label}? {s.probability:.3f}" for s in shown],
            columns=4,
        )
        panels = (
            canvas.panel(
                sheet,
                "suspects",
                title="Labels that a reader contradicts",
                caption="The label in the data, and the probability that the reader gives it; the "
                "least likely first.",
            ),
        )
    return Section(
        "Suspicious labels",
        panels=panels,
        table=(
            ("file", "label", "probability of the label"),
            tuple((s.path, s.label, f"{s.probability:.4f}") for s in audit.suspects),
        ),
    )


def _shortcuts(canvas: Canvas, audit: Audit) -> Section | None:
    found = audit.shortcuts
    if found is None:
        return None
    figure = ClueAreas(
        tuple(clue.name for clue in found.clues),
        tuple(clue.kind for clue in found.clues),
        np.array([[c.area.value, c.area.low, c.area.high] for c in found.clues]).reshape(-1, 3),
    )
    panels = (
        (canvas.panel(figure, "shortcuts", title="The class, guessed without looking"),)
        if found.clues
        else ()
    )
    same = (
        f" {_capitalised(', '.join(found.constant))}: the same in all images, so nothing can be "
        "guessed from it."
        if found.constant
        else ""
    )
    negative, positive = found.classes
    return Section(
        "Shortcuts",
        text=(
            f"Logistic regressions on {found.images:,} images of {found.patients:,} patients, each "
            "judged on a fifth of the patients that it was not fitted on; intervals count "
            "patients. Squares are facts of the file, circles facts of the picture, the diamond "
            f"is its outer eighth alone, triangles are several together.{same}"
        ),
        panels=panels,
        table=(
            ("clue", "AUC", f"median {negative}", f"median {positive}"),
            tuple(
                (
                    clue.name,
                    clue.area.text(),
                    _median(clue.medians.get(negative), clue.unit),
                    _median(clue.medians.get(positive), clue.unit),
                )
                for clue in found.clues
            ),
        ),
    )


def _median(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:,.4g} {unit}".strip()


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _means(canvas: Canvas, audit: Audit) -> Section | None:
    if audit.classes is None:
        return None
    first, second = (audit.measured.sums[label] for label in audit.classes)
    spread = np.sqrt((first.deviation**2 + second.deviation**2) / 2)
    figure = MeanImages(
        audit.classes,
        np.stack([first.mean, second.mean]),
        (second.mean - first.mean) / np.maximum(spread, 1.0),
        (first.count, second.count),
    )
    return Section(
        "The mean image",
        panels=(canvas.panel(figure, "means", title="Mean of each class, and difference"),),
    )


def _distributions(canvas: Canvas, audit: Audit) -> Section | None:
    if not len(audit.measured):
        return None
    names = tuple(audit.measured.sums)
    columns = {_UNITS[k]: v for k, v in numeric_columns(audit.measured).items()}
    labels = [entry.label for entry in audit.measured.entries]
    figure = Distributions.from_columns(
        columns, labels, logarithmic=(_UNITS["bytes"], _UNITS["width_px"], _UNITS["height_px"])
    )
    return Section(
        "Sizes and files",
        panels=(canvas.panel(figure, "distributions", title="Sizes and files by class"),),
        table=(
            ("kind of file", *(name or "(no label)" for name in names)),
            tuple(
                (mode, *(f"{by_label.get(name, 0):,}" for name in names))
                for mode, by_label in counts(audit)["modes"].items()
            ),
        ),
    )


def _pixels(canvas: Canvas, audit: Audit) -> Section | None:
    if not len(audit.measured):
        return None
    names = tuple(audit.measured.sums)
    levels = np.stack([audit.measured.sums[name].histogram for name in names]).astype(np.float64)
    levels = levels.reshape(len(names), 64, 4).sum(axis=2)
    pixels = Distributions(
        ("Grey level of a pixel, 0-255",),
        names,
        np.linspace(0, 256, 65)[None],
        (levels / levels.sum(axis=1, keepdims=True))[None],
        (False,),
    )
    return Section(
        "Pixels",
        panels=(
            canvas.panel(
                pixels,
                "pixels",
                title="Pixel values by class",
                caption="How often each grey level occurs among all pixels of a class. A peak at 0 "
                "is the black border around the film.",
            ),
        ),
    )

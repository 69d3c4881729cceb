"""The sections of an audit's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pneumoscope.data.audit.result import counts, numeric_columns
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.figures.audit import (
    clue_areas,
    distributions,
    distributions_of,
    images_per_patient,
)
from pneumoscope.report.figures.pictures import mean_images, picture_sheet
from pneumoscope.report.figures.training import class_counts_of
from pneumoscope.report.page import Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pneumoscope.data.audit.result import Audit
    from pneumoscope.data.entries import Entry
    from pneumoscope.report.figures.drawing import Drawing

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
    """Return the non-empty sections in the order of the page.

    Args:
        canvas: Takes the figures and their tables.
        audit: What was found.

    Raises:
        OutputError: The canvas cannot be written to.
    """
    makers = (
        _counts, _leaks, _pictures, _copies, _odd, _suspects, _shortcuts, _means, _distributions,
        _pixels,
    )  # fmt: skip
    return tuple(section for make in makers for section in make(canvas, audit))


def _counts(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    if not len(audit.measured):
        return
    found = counts(audit)
    names = [(entry.label or "no label") for entry in audit.measured.entries]
    order = list(found["parts"])
    shown = sorted(
        zip((part or "all" for part in audit.parts), names, strict=True),
        key=lambda row: order.index(row[0]),
    )
    figure = class_counts_of([part for part, _ in shown], [label for _, label in shown])
    panels = [canvas.panel(figure, "classes")]
    if found["images_per_patient"]:
        several = {int(n): patients for n, patients in found["images_per_patient"].items()}
        per = images_per_patient(several)
        panels.append(canvas.panel(per, "patients"))
    yield Section(
        "Contents",
        text="The last column is the 95% interval (Wilson) of a measured accuracy of 90% on "
        "that part; it shows how precise results can be.",
        panels=tuple(panels),
        table=_parts_table(found),
    )


def _parts_table(found: dict[str, Any]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return one row per part: images, patients, classes and etiologies."""
    parts = found["parts"]
    etiologies = sorted({name for own in parts.values() for name in own["etiologies"]})
    labels = [name or "(no label)" for name in found["labels"]]
    header = ("part", "images", "patients", *labels, *etiologies, "interval of 90%")
    return header, tuple(
        (
            part,
            f"{own['images']:,}",
            f"{own['patients']:,}" if own["patients"] else "",
            *(f"{own['labels'].get(label, 0):,}" for label in found["labels"]),
            *(f"{own['etiologies'].get(name, 0):,}" for name in etiologies),
            "{:.0%} to {:.0%}".format(*own["interval_of_90_percent"]),
        )
        for part, own in parts.items()
    )


def _leaks(_: Canvas, audit: Audit) -> Iterator[Section]:
    if not audit.crossings:
        return
    known = any(entry.patient.known for entry in audit.measured.entries)
    rows = tuple(
        (
            " and ".join(crossing.parts),
            f"{len(crossing.patients):,}" if known else "unknown",
            f"{len(crossing.exact):,}",
            f"{len(crossing.near):,}",
        )
        for crossing in audit.crossings
    )
    yield Section(
        "Overlap between parts",
        text="Patients are taken from file names or the manifest. Equal images have the same "
        "pixels; near copies show the same picture shifted, rescaled, mirrored or "
        "re-encoded.",
        table=(("parts", "patients", "equal images", "near copies"), rows),
    )


def _pictures(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    samples, entries = audit.measured.samples, audit.measured.entries
    if not samples:
        return
    rows = sorted(samples, key=lambda row: (entries[row].label, row))
    sheet = picture_sheet(
        np.stack([samples[row] for row in rows]),
        tuple(entries[row].label or "no label" for row in rows),
        tuple(entries[row].path for row in rows),
        "samples",
    )
    yield Section("Examples", panels=(canvas.panel(sheet, "samples", seed=audit.seed),))


def _sheet(
    audit: Audit, rows: Sequence[int], titles: Sequence[str], kind: str, *, columns: int = 4
) -> Drawing:
    """Return some of the pictures kept by the audit."""
    return picture_sheet(
        np.stack([audit.pictures[row] for row in rows]),
        tuple(titles),
        tuple(audit.measured.entries[row].path for row in rows),
        kind,
        columns=columns,
    )


def _whose(entry: Entry) -> str:
    return entry.patient.name if entry.patient.known else entry.label or "copy"


def _copies(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    pairs = [(pair.first, pair.second, f"{pair.correlation:.2f}") for pair in audit.near]
    pairs = pairs[:_PICTURES] + [(first, second, "equal") for first, second, *_ in audit.exact]
    pairs = pairs[:_PICTURES]
    if not pairs:
        return
    entries = audit.measured.entries
    rows = [row for first, second, _ in pairs for row in (first, second)]
    titles = [
        title
        for first, second, how in pairs
        for title in (_whose(entries[first]), f"{_whose(entries[second])} ({how})")
    ]
    sheet = _sheet(audit, rows, titles, "copies")
    yield Section("Copies", panels=(canvas.panel(sheet, "copies"),))


def _odd(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    odd = [item for item in audit.odd if item.row in audit.pictures][: 2 * _PICTURES]
    if not odd:
        return
    rows, kinds = [item.row for item in odd], [item.kind for item in odd]
    sheet = _sheet(audit, rows, kinds, "odd", columns=6)
    entries = audit.measured.entries
    yield Section(
        "Odd images",
        panels=(canvas.panel(sheet, "odd"),),
        table=(
            ("file", "taken for", "because"),
            tuple((entries[item.row].path, item.kind, item.why) for item in audit.odd),
        ),
    )


def _suspects(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    if not audit.suspects:
        return
    row_of = {entry.path: row for row, entry in enumerate(audit.measured.entries)}
    shown = [s for s in audit.suspects[:_PICTURES] if row_of.get(s.path) in audit.pictures]
    panels = []
    if shown:
        titles = [f"{s.label}? {s.probability:.3f}" for s in shown]
        sheet = _sheet(audit, [row_of[s.path] for s in shown], titles, "suspects")
        panels.append(canvas.panel(sheet, "suspects"))
    yield Section(
        "Suspicious labels",
        panels=tuple(panels),
        table=(
            ("file", "label", "probability of the label"),
            tuple((s.path, s.label, f"{s.probability:.4f}") for s in audit.suspects),
        ),
    )


def _shortcuts(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    found = audit.shortcuts
    if found is None:
        return
    panels = []
    if found.clues:
        panels.append(canvas.panel(clue_areas(found.clues), "shortcuts"))
    same = ", ".join(found.constant)
    if same:
        same = f" {same[0].upper()}{same[1:]}: the same in all images, so not predictive."
    rows = tuple(
        (
            clue.name,
            clue.area.text(),
            *(_median(clue.medians.get(label), clue.unit) for label in found.classes),
        )
        for clue in found.clues
    )
    yield Section(
        "Shortcuts",
        text=(
            f"Logistic regressions on {found.images:,} images of {found.patients:,} patients, "
            "evaluated by five-fold cross-validation over patients; intervals are based on "
            "patients. Squares are properties of the file, circles properties of the image, "
            f"the diamond is its outer eighth, triangles are combinations.{same}"
        ),
        panels=tuple(panels),
        table=(("clue", "AUC", *(f"median {label}" for label in found.classes)), rows),
    )


def _median(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:,.4g} {unit}".strip()


def _means(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    if audit.classes is None:
        return
    first, second = (audit.measured.sums[label] for label in audit.classes)
    spread = np.sqrt((first.deviation**2 + second.deviation**2) / 2)
    figure = mean_images(
        audit.classes,
        np.stack([first.mean, second.mean]),
        (second.mean - first.mean) / np.maximum(spread, 1.0),
        (first.count, second.count),
    )
    panel = canvas.panel(figure, "means")
    yield Section("Mean images", panels=(panel,))


def _distributions(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    if not len(audit.measured):
        return
    names = tuple(audit.measured.sums)
    columns = {_UNITS[k]: v for k, v in numeric_columns(audit.measured).items()}
    labels = [entry.label for entry in audit.measured.entries]
    logarithmic = (_UNITS["bytes"], _UNITS["width_px"], _UNITS["height_px"])
    figure = distributions_of(columns, labels, logarithmic=logarithmic)
    rows = tuple(
        (mode, *(f"{by_label.get(name, 0):,}" for name in names))
        for mode, by_label in counts(audit)["modes"].items()
    )
    yield Section(
        "Sizes and files",
        panels=(canvas.panel(figure, "distributions"),),
        table=(("kind of file", *(name or "(no label)" for name in names)), rows),
    )


def _pixels(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    if not len(audit.measured):
        return
    names = tuple(audit.measured.sums)
    levels = np.stack([audit.measured.sums[name].histogram for name in names]).astype(np.float64)
    levels = levels.reshape(len(names), 64, 4).sum(axis=2)
    shares = levels / levels.sum(axis=1, keepdims=True)
    edges = np.linspace(0, 256, 65)[None]
    figure = distributions(("Grey level of a pixel, 0-255",), names, edges, shares[None])
    yield Section("Pixels", panels=(canvas.panel(figure, "pixels", kind="pixels"),))

"""The page of an audit: data, result, findings and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from pneumoscope.data.audit.findings import SEVERITIES
from pneumoscope.data.audit.result import Audit, counts, numeric_columns
from pneumoscope.data.entries import Entry
from pneumoscope.data.generated import GENERATED
from pneumoscope.installation import install_command
from pneumoscope.report.canvas import Canvas, can_draw
from pneumoscope.report.figures.audit import (
    clue_areas,
    distributions,
    distributions_of,
    images_per_patient,
)
from pneumoscope.report.figures.drawing import Drawing
from pneumoscope.report.figures.pictures import mean_images, picture_sheet
from pneumoscope.report.figures.training import class_counts_of
from pneumoscope.report.opening import words_of
from pneumoscope.report.page import Report, Section, footer_of, write_report
from pneumoscope.report.rendering import read_yaml
from pneumoscope.report.tables import Pixels, Table

_PICTURES: Final = 12
_UNITS: Final = read_yaml("names.yaml")["properties"]
_LOGARITHMIC: Final = tuple(_UNITS[name] for name in ("bytes", "width_px", "height_px"))
_FILES_SHOWN: Final = 12


def write_inspect_page(
    path: Path,
    audit: Audit,
    *,
    name: str,
    facts: dict[str, Any],
    generated: bool = False,
) -> None:
    """Write the page of an audit, with its figures in ``figures/``.

    Args:
        path: Of the page.
        audit: What was found.
        name: Of the data, for the heading.
        facts: What `pneumoscope.runs.provenance` returned.
        generated: Whether a program drew the images.

    Raises:
        OutputError: They cannot be written.
    """
    opening = words_of(
        "inspect",
        audit=audit,
        held=counts(audit),
        patients_known=_patients_known(audit),
        note=GENERATED if generated else "",
    )
    footer = [footer_of(facts), f"seed {audit.seed}", *([] if can_draw() else [without_figures()])]
    report = Report(
        title=f"Audit of {name}",
        headline=(),
        sections=_sections(Canvas(path.parent / "figures"), audit),
        footer=" · ".join(footer),
        **opening,
    )
    groups = {
        f"{severity.capitalize()}s": [one for one in audit.findings if one.severity == severity]
        for severity in SEVERITIES
    }
    write_report(
        path,
        report,
        template="inspect.html",
        groups={title: findings for title, findings in groups.items() if findings},
        files_shown=_FILES_SHOWN,
    )


def without_figures() -> str:
    """Explain why a page has no drawings, and how to get them."""
    return (
        "no figures, since matplotlib is not installed; it comes with the extra 'train': "
        f"{install_command('train')}"
    )


def _sections(canvas: Canvas, audit: Audit) -> tuple[Section, ...]:
    """Return the non-empty sections in the order of the page."""
    makers = (
        _counts, _leaks, _pictures, _copies, _odd, _suspects, _shortcuts, _means, _distributions,
        _pixels,
    )  # fmt: skip
    return tuple(section for make in makers for section in make(canvas, audit))


def _patients_known(audit: Audit) -> bool:
    """Return whether the patient of any image is known."""
    return any(entry.patient.known for entry in audit.measured.entries)


def _counts(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    if not len(audit.measured):
        return
    found = counts(audit)
    order = list(found["parts"])
    labels = [entry.label or "no label" for entry in audit.measured.entries]
    rows = zip((part or "all" for part in audit.parts), labels, strict=True)
    shown = sorted(rows, key=lambda row: order.index(row[0]))
    several = {int(n): patients for n, patients in found["images_per_patient"].items()}
    yield canvas.section(
        "contents",
        figures={
            "classes": class_counts_of(*zip(*shown, strict=True)),
            "patients": images_per_patient(several) if several else None,
        },
        table=_parts_table(found),
    )


def _parts_table(found: dict[str, Any]) -> Table:
    """Return one row per part: images, patients, classes and etiologies."""
    parts = found["parts"]
    etiologies = sorted({name for own in parts.values() for name in own["etiologies"]})
    labels = [name or "(no label)" for name in found["labels"]]
    header = ("set", "images", "patients", *labels, *etiologies, "interval of 90%")
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


def _leaks(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    if audit.crossings:
        known = _patients_known(audit)
        yield canvas.section("overlap", rows=audit.crossings, patients_known=known)


def _pictures(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    samples, entries = audit.measured.samples, audit.measured.entries
    rows = sorted(samples, key=lambda row: (entries[row].label, row))
    if rows:
        titles = [entries[row].label or "no label" for row in rows]
        sheet = _sheet(audit, samples, rows, titles, "samples")
        yield canvas.section("samples", figures={"samples": sheet}, seed=audit.seed)


def _sheet(
    audit: Audit, pictures: Mapping[int, Pixels], rows: Sequence[int], titles: Sequence[str],
    kind: str, *, columns: int = 4,
) -> Drawing:  # fmt: skip
    """Return some of the pictures kept by the audit, by their rows."""
    pixels = np.stack([pictures[row] for row in rows])
    names = [audit.measured.entries[row].path for row in rows]
    return picture_sheet(pixels, titles, names, kind, columns=columns)


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
    sheet = _sheet(audit, audit.pictures, rows, titles, "copies")
    yield canvas.section("copies", figures={"copies": sheet})


def _odd(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    odd = [item for item in audit.odd if item.row in audit.pictures][: 2 * _PICTURES]
    if not odd:
        return
    rows, kinds = [item.row for item in odd], [item.kind for item in odd]
    sheet = _sheet(audit, audit.pictures, rows, kinds, "odd", columns=6)
    entries = audit.measured.entries
    yield canvas.section("odd", figures={"odd": sheet}, rows=audit.odd, entries=entries)


def _suspects(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    if not audit.suspects:
        return
    row_of = {entry.path: row for row, entry in enumerate(audit.measured.entries)}
    shown = [s for s in audit.suspects[:_PICTURES] if row_of.get(s.path) in audit.pictures]
    rows = [row_of[s.path] for s in shown]
    titles = [f"{s.label}? {s.probability:.3f}" for s in shown]
    sheet = _sheet(audit, audit.pictures, rows, titles, "suspects") if shown else None
    yield canvas.section("suspects", figures={"suspects": sheet}, rows=audit.suspects)


def _shortcuts(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    found = audit.shortcuts
    if found is None:
        return
    rows = tuple(
        (
            clue.name,
            clue.area.text(),
            *(_median(clue.medians.get(label), clue.unit) for label in found.classes),
        )
        for clue in found.clues
    )
    yield canvas.section(
        "shortcuts",
        figures={"shortcuts": clue_areas(found.clues) if found.clues else None},
        table=(("clue", "AUC", *(f"median {label}" for label in found.classes)), rows),
        found=found,
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
    yield canvas.section("means", figures={"means": figure})


def _distributions(canvas: Canvas, audit: Audit) -> Iterator[Section]:
    if not len(audit.measured):
        return
    names = tuple(audit.measured.sums)
    columns = {_UNITS[k]: v for k, v in numeric_columns(audit.measured).items()}
    labels = [entry.label for entry in audit.measured.entries]
    rows = tuple(
        (mode, *(f"{by_label.get(name, 0):,}" for name in names))
        for mode, by_label in counts(audit)["modes"].items()
    )
    yield canvas.section(
        "distributions",
        figures={"distributions": distributions_of(columns, labels, logarithmic=_LOGARITHMIC)},
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
    yield canvas.section("pixels", figures={"pixels": replace(figure, kind="pixels")})

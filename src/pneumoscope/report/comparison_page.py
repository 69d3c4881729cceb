"""The page of a comparison of readers on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pneumoscope.data.generated import is_generated
from pneumoscope.evaluation.compare import Comparison
from pneumoscope.reader.prediction import probability_text
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.figures.compare import (
    NUMBERS,
    Spread,
    class_differences,
    differences,
    seed_dots_of,
    short_names,
)
from pneumoscope.report.figures.roc import roc_curves
from pneumoscope.report.opening import words_of
from pneumoscope.report.page import Report, Section, Statement, footer_of, write_report
from pneumoscope.report.pictures import Case, Pictures
from pneumoscope.report.rendering import texts
from pneumoscope.report.settings import environment_section
from pneumoscope.report.words import CLASS_NAMES, NAMES, PARTS
from pneumoscope.runs import files_written_whole

_PAGE = "report.html"

SHOWN = 8
ALIKE = 1e-12
"""The standard deviation up to which runs count as equal."""

_COMPARED = ("auc", "accuracy", "sensitivity", "specificity", "average_precision", "brier", "ece")

REPORT_SPREAD: Spread = (0.81, 0.87, "student report")
"""Accuracies between runs in the student report, on the 624 test images of the public data set."""

REPORT_NETWORK = "seed-cnn"
"""The network of these runs."""


def write_comparison_page(
    folder: Path,
    found: Comparison,
    *,
    facts: dict[str, Any],
    classes: tuple[str, str] = ("negative", "positive"),
    pictures: Pictures | None = None,
    known: Spread | None = None,
    part: str = "",
) -> Path:
    """Write ``report.html`` and ``figures/`` of a comparison; return the page's path.

    All of it appears, or nothing: a report that stood there stays if this one cannot be written.

    Args:
        folder: Where they go; made if it is missing.
        found: What ``compare`` gave.
        facts: What ``provenance`` gave.
        classes: (negative, positive).
        pictures: Where the images are, for the sheet of those that readers disagree on.
        known: A spread of accuracies from run to run to show beside these runs, with its source.
        part: Which part of the data the images are; empty where that is not known.

    Raises:
        OutputError: The folder cannot be written to.
    """
    short = dict(zip(found.names, short_names(found.names), strict=True))
    areas = {name: numbers["auc"].value for name, numbers in found.numbers.items()}
    rated = {name: area for name, area in areas.items() if area is not None}
    opening = words_of(
        "comparison",
        generated=pictures is not None and is_generated(pictures.root),
        found=found,
        short=short,
        part=part,
        parts=PARTS,
        best=max(rated, key=lambda name: rated[name], default=""),
    )
    with files_written_whole(folder) as new:
        canvas = Canvas(new / "figures", level=found.level).about(
            found=found, short=short, positive=classes[1]
        )
        sections = (
            _numbers(found, short, canvas),
            canvas.section("pairs", figures={"differences": differences(found)}, rows=found.pairs),
            *class_comparison_sections(found, short, canvas),
            *_seeds(found, canvas, known),
            _disagreements(found, short, canvas, classes, pictures),
            environment_section(canvas, facts, kind="environment_of_readers"),
        )
        report = Report(
            headline=_headline(found, short), sections=sections, footer=footer_of(facts), **opening
        )
        write_report(new / _PAGE, report)
    return folder / _PAGE


def _headline(found: Comparison, short: Mapping[str, str]) -> tuple[Statement, ...]:
    """Return the differences between two readers; empty for several pairs."""
    if len(found.pairs) != 1:
        return ()
    (pair,) = found.pairs
    return tuple(
        Statement(
            f"Difference in {title if key == 'auc' else title.lower()}",
            pair.differences[key].signed(),
            found.n,
            f"{short[pair.first]} minus {short[pair.second]}",
        )
        for key, title in NUMBERS
    )


def _numbers(found: Comparison, short: Mapping[str, str], canvas: Canvas) -> Section:
    rows = tuple(
        (NAMES[key], *(found.numbers[name][key].with_range() for name in short))
        for key in _COMPARED
    )
    all_rated = all(found.numbers[name]["auc"].value is not None for name in short)
    return canvas.section(
        "readers",
        figures={"roc": roc_curves(found) if all_rated else None},
        table=(("number", *short.values()), rows),
    )


def class_comparison_sections(
    found: Comparison, short: Mapping[str, str], canvas: Canvas
) -> list[Section]:
    """Return the sections about each class; none for two classes, or if the classes differ.

    Args:
        found: The comparison.
        short: Name → what to call the reader.
        canvas: Takes the files of figures and tables.
    """
    own = found.by_class
    if own is None:
        return []
    canvas, names, numbers = canvas.about(short=short), own.labels.names, own.numbers
    pairs = [
        (pair, name, one)
        for pair in own.pairs
        for name, one in zip(names, pair.by_class, strict=True)
    ]
    titles = [f"{short[pair.first]} minus {short[pair.second]}" for pair in own.pairs]
    overall = tuple(
        (CLASS_NAMES[key], *(pair.overall[key].signed() for pair in own.pairs))
        for key in own.pairs[0].overall
    )
    return [
        canvas.section(
            "class_readers",
            rows=[(name, reader, n.of(name)) for name in names for reader, n in numbers.items()],
        ),
        canvas.section(
            "class_pairs",
            figures={"class-differences": class_differences(own, short)},
            rows=pairs,
            verdicts=" ".join(own.verdict(pair, short) for pair in own.pairs),
            tests=own.tests,
        ),
        canvas.section("class_overall", table=(("number", *titles), overall)),
    ]


def spread_text(known: Spread | None, network: str) -> str:
    """Return the description of the grey band of the dots; empty if there is none."""
    if known is None:
        return ""
    names = dict(zip(("low", "high", "source"), known, strict=True))
    return texts("sections.yaml", "known_spread", network=network, **names)["text"]


def _seeds(found: Comparison, canvas: Canvas, known: Spread | None) -> Iterator[Section]:
    """Yield the variation between runs of one recipe, if there are at least two."""
    if not found.seeds:
        return
    rows = [
        (place, group, key, title)
        for place, group in enumerate(found.seeds, 1)
        for key, title in NUMBERS
    ]
    figures = {"seeds": seed_dots_of(found, known=known)}
    band = spread_text(known, "its")
    yield canvas.section("alike_runs", figures=figures, rows=rows, band=band, alike=ALIKE)


def _disagreements(
    found: Comparison,
    short: Mapping[str, str],
    canvas: Canvas,
    classes: tuple[str, str],
    pictures: Pictures | None,
) -> Section:
    if not found.disagreements:
        return canvas.section("agreement")
    said = [[probability_text(p) for p in item.probabilities] for item in found.disagreements]
    rows = tuple(
        (
            item.path,
            classes[item.label],
            *(f"{p} {'+' if yes else '-'}" for p, yes in zip(own, item.conclusions, strict=True)),
        )
        for item, own in zip(found.disagreements, said, strict=True)
    )
    cases = [
        Case(
            item.path,
            classes[item.label],
            "\n".join(f"{n[-22:]} {p}" for n, p in zip(short.values(), own, strict=True)),
        )
        for item, own in zip(found.disagreements[:SHOWN], said, strict=False)
    ]
    sheet = pictures.sheet(cases, "disagreements") if pictures else None
    return canvas.section(
        "disagreements",
        figures={"disagreements-images": sheet},
        table=(("image", "label", *short.values()), rows),
    )

"""The page of a comparison of readers on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.data.generated import GENERATED, is_generated
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.reader.prediction import probability_text
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.class_comparison import class_comparison_sections
from pneumoscope.report.figures.compare import (
    NUMBERS,
    Spread,
    differences,
    seed_dots_of,
    short_names,
)
from pneumoscope.report.figures.roc import roc_curves
from pneumoscope.report.page import Report, Section, Statement, footer_of, write_report
from pneumoscope.report.pictures import Case
from pneumoscope.report.settings import environment_section
from pneumoscope.report.words import NAMES, PARTS
from pneumoscope.runs import files_written_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pneumoscope.evaluation.compare import Comparison
    from pneumoscope.evaluation.seeds import SeedGroup
    from pneumoscope.report.pictures import Pictures

_PAGE = "report.html"

SHOWN = 8
ALIKE = 1e-12
"""Below this standard deviation runs are alike to the last digit."""

_COMPARED = ("auc", "accuracy", "sensitivity", "specificity", "average_precision", "brier", "ece")

REPORT_SPREAD: Spread = (0.81, 0.87, "student report")
"""What the student report saw from run to run on the 624 test images of the public data set."""

REPORT_NETWORK = "seed-cnn"
"""The network that it saw this of."""


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
    generated = pictures is not None and is_generated(pictures.root)
    with files_written_whole(folder) as new:
        canvas = Canvas(new / "figures", level=found.level)
        sections = (
            _numbers(found, short, canvas),
            _differences(found, short, canvas),
            *class_comparison_sections(found, short, canvas),
            *_seeds(found, short, canvas, known),
            _disagreements(found, short, canvas, classes, pictures),
            environment_section(canvas, facts, table_title="Versions, readers and settings"),
        )
        report = Report(
            title="Readers compared",
            question=_question(list(short.values())),
            data=_data_line(found, part),
            answer=_answer(found, short),
            caveats=(*([GENERATED] if generated else []), *_caveats(found, part)),
            headline=_headline(found, short),
            sections=sections,
            footer=footer_of(facts),
        )
        write_report(new / _PAGE, report)
    return folder / _PAGE


def _question(names: list[str]) -> str:
    if len(names) == 2:
        return f"Is {names[0]} better than {names[1]}?"
    return f"Which of {len(names)} readers is best?"


def _data_line(found: Comparison, part: str) -> str:
    images = f"{PARTS[part]} images" if part in PARTS else "images"
    text = f"{found.n:,} {images} of {found.patients:,} patients, the same for all readers"
    if found.left_out:
        text += f"; {found.left_out:,} images not scored by all of them were left out"
    if found.unreadable:
        text += f"; {len(found.unreadable):,} files could not be read"
    return text


def _answer(found: Comparison, short: dict[str, str]) -> str:
    if len(found.pairs) == 1:
        return found.verdicts(short)[0]
    areas = {name: numbers["auc"].value for name, numbers in found.numbers.items()}
    known = {name: area for name, area in areas.items() if area is not None}
    if not known:
        return "The images are all of one class, so AUCs cannot be compared."
    best = max(known, key=lambda name: known[name])
    apart = sum(pair.apart for pair in found.pairs)
    return (
        f"{short[best]} has the highest AUC, {found.numbers[best]['auc'].with_range()}. "
        f"{apart or 'None'} of the {len(found.pairs)} pairs {'differ' if apart > 1 else 'differs'} "
        f"in AUC beyond chance ({1 - found.level:.3g}, after Holm's correction)."
    )


def _caveats(found: Comparison, part: str) -> tuple[str, ...]:
    """Return the three most severe caveats."""
    grouped = {name for group in found.seeds for name in group.members}
    notes = {
        "These are validation images, which were also used to choose epochs, calibrations and "
        "thresholds: the results are optimistic.": part == "val",
        "No significant difference does not mean no difference; the intervals show how large "
        "it may be.": True,
        "The best of several readers looks better than it is, because it was selected on these "
        "images; confirm it on others.": len(found.pairs) > 1,
        "With only one seed per recipe, chance and merit cannot be separated.": len(grouped)
        < len(found.names),
        "Intervals apply to other patients from the same source, not to other hospitals.": True,
    }
    return tuple(note for note, holds in notes.items() if holds)[:3]


def _headline(found: Comparison, short: dict[str, str]) -> tuple[Statement, ...]:
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


def _numbers(found: Comparison, short: dict[str, str], canvas: Canvas) -> Section:
    rows = tuple(
        (NAMES[key], *(found.numbers[name][key].with_range() for name in short))
        for key in _COMPARED
    )
    panels = []
    if all(found.numbers[name]["auc"].value is not None for name in short):
        figure = roc_curves(found)
        panels.append(canvas.panel(figure, "roc"))
    return Section(
        "Each reader",
        text="On the same images, each at its own threshold, with "
        f"{level_text(found.level)} intervals.",
        panels=tuple(panels),
        table=canvas.table("readers", (("number", *short.values()), rows)),
    )


def _differences(found: Comparison, short: dict[str, str], canvas: Canvas) -> Section:
    figure = differences(found)
    header = (
        "pair", "difference in AUC", "p of AUC", "detectable difference", "only first correct",
        "only second correct", "p of right",
    )  # fmt: skip
    rows = tuple(
        (
            f"{short[pair.first]} minus {short[pair.second]}",
            pair.differences["auc"].signed(),
            "none" if pair.auc_p_holm is None else f"{pair.auc_p_holm:.3g}",
            "none" if pair.detectable_auc is None else f"{pair.detectable_auc:.4f}",
            f"{pair.only_first_right:,}",
            f"{pair.only_second_right:,}",
            f"{pair.mcnemar_p_holm:.3g}",
        )
        for pair in found.pairs
    )
    return Section(
        "Paired comparison",
        text=(
            "Both readers are resampled on the same patients, so the difficulty of an image "
            "cancels out. The table shows the difference in AUC, the p-value of DeLong's test, "
            "and the smallest true difference it would detect with a power of 80% (detectable "
            "difference); then the images that only one of the two classified correctly, and "
            "the p-value of McNemar's test (mid-p). Both p-values are Holm-corrected for all "
            "pairs."
        ),
        panels=(canvas.panel(figure, "differences"),),
        table=canvas.table("pairs", (header, rows)),
    )


def detectable(group: SeedGroup, key: str) -> str:
    """Return the smallest detectable difference between runs, if they vary at all."""
    return f"{group.detectable[key]:.4f}" if group.deviation[key] > ALIKE else "not known"


def spread_text(known: Spread, network: str) -> str:
    """Return the description of the grey band of the dots."""
    low, high, source = known
    return (
        f"The grey band is the range that the {source} found between runs of {network} network: "
        f"{low:.0%} to {high:.0%} accuracy on the 624 test images of the public data set."
    )


def _seeds(
    found: Comparison, short: dict[str, str], canvas: Canvas, known: Spread | None
) -> Iterator[Section]:
    """Yield the spread of runs of one recipe, for two such readers."""
    if not found.seeds:
        return
    figure = seed_dots_of(found, known=known)
    header = ("recipe", "runs", "number", "mean", "standard deviation", "detectable difference")
    rows = tuple(
        (
            f"recipe {place}: {', '.join(short[name] for name in group.members)}",
            str(len(group.members)),
            title,
            f"{group.mean[key]:.4f}",
            f"{group.deviation[key]:.4f}",
            detectable(group, key),
        )
        for place, group in enumerate(found.seeds, 1)
        for key, title in NUMBERS
    )
    text = (
        "Runs of one recipe that differ only in the seed. The last column is the smallest "
        "difference in means, compared with as many runs of another recipe, that a t test at "
        "the 5% level detects with a power of 80%."
    )
    yield Section(
        "Variation between runs",
        text=f"{text} {spread_text(known, 'its')}" if known is not None else text,
        panels=(canvas.panel(figure, "seeds"),),
        table=canvas.table("seeds-table", (header, rows)),
    )


def _disagreements(
    found: Comparison,
    short: dict[str, str],
    canvas: Canvas,
    classes: tuple[str, str],
    pictures: Pictures | None,
) -> Section:
    if not found.disagreements:
        return Section("Disagreements", text="All conclusions agree.")
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
    return Section(
        "Disagreements",
        text=(
            f"The conclusions differ for {len(found.disagreements):,} of {found.n:,} images; + "
            "means positive. The largest differences come first."
        ),
        panels=pictures.panels(
            canvas, cases, "disagreements-images", "disagreements", positive=classes[1]
        )
        if pictures
        else (),
        table=canvas.table("disagreements", (("image", "label", *short.values()), rows)),
        table_title="All images with different conclusions",
    )

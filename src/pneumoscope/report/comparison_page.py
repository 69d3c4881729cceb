"""The page of a comparison: readers against each other on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.data.generated import GENERATED, is_generated
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.reader.prediction import probability_text
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.figures.compare import NUMBERS, DifferenceForest, SeedDots, short_names
from pneumoscope.report.figures.compare_roc import RocCurves
from pneumoscope.report.page import Panel, Report, Section, Statement, footer_of, write_report
from pneumoscope.report.pictures import Case
from pneumoscope.report.words import NAMES, PARTS
from pneumoscope.runs import files_written_whole

if TYPE_CHECKING:
    from pneumoscope.evaluation.compare import Comparison
    from pneumoscope.evaluation.estimate import Estimate
    from pneumoscope.evaluation.pairs import Pair
    from pneumoscope.evaluation.seeds import SeedGroup
    from pneumoscope.report.pictures import Pictures

_PAGE = "report.html"

SHOWN = 8
ALIKE = 1e-12
"""Below this standard deviation runs are alike to the last digit."""

_COMPARED = ("auc", "accuracy", "sensitivity", "specificity", "average_precision", "brier", "ece")

REPORT_SPREAD = (0.81, 0.87, "student report")
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
    known: tuple[float, float, str] | None = None,
    part: str = "",
) -> Path:
    """Write ``report.html`` and ``figures/`` of a comparison into a folder; return the page.

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
    best = _closest(found.pairs)
    with files_written_whole(folder) as new:
        canvas = Canvas(new / "figures", level=found.level)
        sections = [
            _numbers(found, canvas),
            _differences(found, canvas),
            *_seeds(found, canvas, known=known),
            _disagreements(found, canvas, classes=classes, pictures=pictures),
            _environment(canvas, facts),
        ]
        write_report(
            new / _PAGE,
            Report(
                title="Readers compared",
                question=_question(found),
                data=_data_line(found, part),
                answer=_answer(found),
                caveats=(
                    *([GENERATED] if pictures and is_generated(pictures.root) else []),
                    *_caveats(found, part),
                ),
                headline=_headline(best, found) if best else (),
                sections=tuple(sections),
                footer=footer_of(facts),
            ),
        )
    return folder / _PAGE


def signed(estimate: Estimate) -> str:
    """Return a difference with its sign and interval."""
    if estimate.value is None:
        return "not defined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.4f}"
    return f"{estimate.value:+.4f} ({estimate.low:+.4f} to {estimate.high:+.4f})"


def _short(found: Comparison) -> dict[str, str]:
    return dict(zip(found.names, short_names(found.names), strict=True))


def _question(found: Comparison) -> str:
    names = list(_short(found).values())
    if len(names) == 2:
        return f"Is {names[0]} better than {names[1]}?"
    return f"Which of {len(names)} readers is best?"


def detectable(group: SeedGroup, key: str) -> str:
    """Return the smallest difference that runs would show; runs that are all alike tell none."""
    return f"{group.detectable[key]:.4f}" if group.deviation[key] > ALIKE else "not known"


def _data_line(found: Comparison, part: str) -> str:
    images = f"{PARTS[part]} images" if part in PARTS else "images"
    text = f"{found.n:,} {images} of {found.patients:,} patients, the same for all readers"
    if found.left_out:
        text += f"; {found.left_out:,} images that not all of them scored are left out"
    if found.unreadable:
        text += f"; {len(found.unreadable):,} files could not be read"
    return text


def _answer(found: Comparison) -> str:
    short = _short(found)
    if len(found.pairs) == 1:
        return found.verdicts(short)[0]
    apart = [pair for pair in found.pairs if pair.apart]
    areas = {
        name: numbers["auc"].value
        for name, numbers in found.numbers.items()
        if numbers["auc"].value is not None
    }
    if not areas:
        return "Only one class is among the images, so areas cannot be compared."
    best = max(areas, key=lambda name: areas[name])
    several = f"{len(apart) or 'None'} of the {len(found.pairs)} pairs"
    return (
        f"{short[best]} has the highest AUC, {found.numbers[best]['auc'].with_range()}. {several} "
        f"{'differ' if len(apart) > 1 else 'differs'} in AUC beyond chance "
        f"({1 - found.level:.3g}, after Holm's correction)."
    )


def _caveats(found: Comparison, part: str) -> tuple[str, ...]:
    notes = []
    if part == "val":
        notes.append(
            "These are validation images, which also decided about the readers: their numbers are "
            "flattered, each in its own way."
        )
    notes += [
        (
            "A difference that is not found is not one that is not there; the intervals say how "
            "large it may be."
        )
    ]
    if len(found.pairs) > 1:
        notes.append(
            "The best of several readers looks better than it is, since it was picked on these "
            "images; confirm it on others."
        )
    grouped = {name for group in found.seeds for name in group.members}
    if len(grouped) < len(found.names):
        notes.append(
            "Where a recipe is there with one seed only, nothing tells its own luck from its merit."
        )
    notes.append(
        "Intervals are about other patients from the same source; they do not cover other "
        "hospitals."
    )
    return tuple(notes[:3])


def _closest(pairs: tuple[Pair, ...]) -> Pair | None:
    return pairs[0] if len(pairs) == 1 else None


def _headline(pair: Pair, found: Comparison) -> tuple[Statement, ...]:
    short = _short(found)
    note = f"{short[pair.first]} less {short[pair.second]}"
    return tuple(
        Statement(
            f"Difference in {title if key == 'auc' else title.lower()}",
            signed(pair.differences[key]),
            found.n,
            note,
        )
        for key, title in NUMBERS
    )


def _numbers(found: Comparison, canvas: Canvas) -> Section:
    short = _short(found)
    header = ("number", *(short[name] for name in found.names))
    body = tuple(
        (NAMES[key], *(found.numbers[name][key].with_range() for name in found.names))
        for key in _COMPARED
    )
    panels: tuple[Panel, ...] = ()
    if all(found.numbers[name]["auc"].value is not None for name in found.names):
        figure = RocCurves.from_comparison(found)
        panels = (canvas.panel(figure, "roc", title="All readers at every threshold"),)
    return Section(
        "Each reader",
        text="On the same images, each at its own threshold, with "
        f"{level_text(found.level)} intervals.",
        panels=panels,
        table=canvas.table("readers", (header, body)),
    )


def _differences(found: Comparison, canvas: Canvas) -> Section:
    short = _short(found)
    figure = DifferenceForest.from_comparison(found)
    header = (
        "pair", "difference in AUC", "p of AUC", "detectable from", "only first right",
        "only second right", "p of right",
    )  # fmt: skip
    body = tuple(
        (
            f"{short[pair.first]} less {short[pair.second]}",
            signed(pair.differences["auc"]),
            "none" if pair.auc_p_holm is None else f"{pair.auc_p_holm:.3g}",
            "none" if pair.detectable_auc is None else f"{pair.detectable_auc:.4f}",
            f"{pair.only_first_right:,}",
            f"{pair.only_second_right:,}",
            f"{pair.mcnemar_p_holm:.3g}",
        )
        for pair in found.pairs
    )
    return Section(
        "How they differ",
        text=(
            "Both readers are resampled on the same patients, so what makes an image hard for both "
            "cancels out. In the table: the difference in AUC, p of DeLong's test, and the "
            "smallest true difference that it would have found with a power of 80% (detectable "
            "from); then the images that only one of the two concluded rightly, and p of McNemar's "
            "test (mid-p). Both p are after Holm's correction for all pairs."
        ),
        panels=(canvas.panel(figure, "differences", title="Differences on the same images"),),
        table=canvas.table("pairs", (header, body)),
    )


def _seeds(
    found: Comparison, canvas: Canvas, *, known: tuple[float, float, str] | None
) -> list[Section]:
    """Return how runs of one recipe lie apart; nothing where no two readers are such runs."""
    if not found.seeds:
        return []
    figure = SeedDots.from_comparison(found, known=known)
    short = _short(found)
    header = ("recipe", "runs", "number", "mean", "standard deviation", "detectable from")
    body = tuple(
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
        "Runs of one recipe that differ in the seed alone. The last column is the smallest "
        "difference of means to as many runs of another recipe that a t test at 5% finds with "
        "a power of 80%."
    )
    if known is not None:
        text += (
            f" The grey band is what the {known[2]} saw from run to run of its network: "
            f"{known[0]:.0%} to {known[1]:.0%} accuracy on the 624 test images of the public data "
            "set."
        )
    section = Section(
        "From run to run",
        text=text,
        panels=(canvas.panel(figure, "seeds", title="A dot a reader"),),
        table=canvas.table("seeds-table", (header, body)),
    )
    return [section]


def _disagreements(
    found: Comparison, canvas: Canvas, *, classes: tuple[str, str], pictures: Pictures | None
) -> Section:
    if not found.disagreements:
        return Section("Where they disagree", text="All images are concluded alike.")
    short = _short(found)
    header = ("image", "label", *(short[name] for name in found.names))
    body = tuple(
        (
            item.path,
            classes[item.label],
            *(
                f"{probability_text(probability)} {'+' if positive else '-'}"
                for probability, positive in zip(item.probabilities, item.conclusions, strict=True)
            ),
        )
        for item in found.disagreements
    )
    sheet = pictures and pictures.sheet(
        [
            Case(
                item.path,
                classes[item.label],
                "\n".join(
                    f"{short[name][-22:]} {probability_text(probability)}"
                    for name, probability in zip(found.names, item.probabilities, strict=True)
                ),
            )
            for item in found.disagreements[:SHOWN]
        ]
    )
    panels = []
    if sheet:
        panels.append(
            canvas.panel(
                sheet, "disagreements-images", title="Widest apart",
                caption=(
                    "The label that the data give stands above each image, and below it the "
                    f"probability of {classes[1]} that each reader gives. Look for what these "
                    "images have in common."
                ),
            )
        )  # fmt: skip
    return Section(
        "Where they disagree",
        text=(
            f"{len(found.disagreements):,} of {found.n:,} images are concluded differently; + "
            "means called positive. The widest apart come first."
        ),
        panels=tuple(panels),
        table=canvas.table("disagreements", (header, body)),
        table_title="All images that are concluded differently",
    )


def _environment(canvas: Canvas, facts: dict[str, Any]) -> Section:
    rows = [(name, str(version)) for name, version in facts["packages"].items()]
    rows += [
        ("python", str(facts["python"])),
        *((key, str(facts[key])) for key in ("readers", "data", "resamples", "seed")),
    ]
    return Section(
        "Environment",
        text="What is needed to get the same numbers again.",
        table=canvas.table("environment", (("what", "value"), tuple(rows))),
        table_title="Versions, readers and settings",
    )

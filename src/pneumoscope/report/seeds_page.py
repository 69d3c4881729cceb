"""The page of runs that differ in the seed alone: what of a result is the recipe's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.data.generated import GENERATED, is_generated
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.comparison_page import ALIKE, REPORT_NETWORK, REPORT_SPREAD, detectable
from pneumoscope.report.evaluation_page import as_text
from pneumoscope.report.figures.compare import NUMBERS, SeedDots
from pneumoscope.report.figures.seeds import SeedLosses
from pneumoscope.report.page import Report, Section, Statement, footer_of, write_report
from pneumoscope.report.words import NAMES, PARTS
from pneumoscope.runs import files_written_whole
from pneumoscope.training.log import read_log

if TYPE_CHECKING:
    from pneumoscope.evaluation.seeds import SeedGroup
    from pneumoscope.runs import RunFolder

_SHOWN = (
    "auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "average_precision",
    "brier", "ece",
)  # fmt: skip
_SHARES = {"accuracy", "balanced_accuracy", "sensitivity", "specificity"}
_NAMES = {
    **NAMES,
    "threshold": "Threshold",
    "set_aside": "Set aside, as deployed",
    "error": "Wrong among the others",
    "missed": "Missed, of all positive images, as deployed",
    "false_alarms": "False alarms, of all negative images, as deployed",
}


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Runs of one recipe, and what they gave.

    Attributes:
        folders: Where they are.
        kept: The number of the one that is kept.
        groups: Of each part the mean and the spread of each number.
        numbers: Of each part the numbers of each run.
    """

    folders: tuple[RunFolder, ...]
    kept: int
    groups: Mapping[str, SeedGroup]
    numbers: Mapping[str, Sequence[Mapping[str, float]]]

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called."""
        return tuple(run.root.name for run in self.folders)

    @property
    def part(self) -> str:
        """The part to judge them by: ``test`` where there is one."""
        return "test" if "test" in self.groups else "val"


def write_seeds_page(folder: Path, runs: Runs) -> Path:
    """Write ``report.html`` and ``figures/`` of several runs into a folder; return the page.

    Raises:
        OutputError: The folder cannot be written to.
    """
    facts = _json(runs.folders[0].provenance)
    parts = [runs.part, *(part for part in runs.groups if part != runs.part)]
    with files_written_whole(folder) as new:
        canvas = Canvas(new / "figures")
        sections = [
            *(_part(runs, part, canvas, facts) for part in parts),
            _chosen(runs, canvas),
            _recipe(canvas, facts),
        ]
        write_report(
            new / "report.html",
            Report(
                title=f"{folder.resolve().name}: {len(runs.folders)} seeds of one recipe",
                question="How much of what a training achieves is chance?",
                data=_data_line(facts),
                answer=_answer(runs),
                caveats=(
                    *([GENERATED] if is_generated(facts.get("data_root") or facts["data"]) else []),
                    *_caveats(runs),
                ),
                headline=tuple(
                    Statement(
                        NAMES[key], _spread(runs, runs.part, key, digits=3), None,
                        _range(runs, runs.part, key, digits=3),
                    )
                    for key, _ in NUMBERS
                    if key in runs.groups[runs.part].mean
                ),
                sections=tuple(sections),
                footer=footer_of(facts),
            ),
        )  # fmt: skip
    return folder / "report.html"


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _data_line(facts: dict[str, Any]) -> str:
    images = facts["images"]
    parts = ", ".join(
        f"{images[part]:,} for {name}" for part, name in PARTS.items() if images[part]
    )
    return f"The same images for all runs: {parts}"


def _spread(runs: Runs, part: str, key: str, *, digits: int = 4) -> str:
    group = runs.groups[part]
    return f"{group.mean[key]:.{digits}f} (± {_deviation(group.deviation[key], digits)})"


def _deviation(value: float, digits: int) -> str:
    """Return a standard deviation that is not 0 unless it is."""
    if value <= ALIKE:
        return "0"
    least = 10**-digits
    return f"{value:.{digits}f}" if value >= least / 2 else f"less than {least:.{digits}f}"


def _range(runs: Runs, part: str, key: str, *, digits: int = 4) -> str:
    values = [run[key] for run in runs.numbers[part]]
    if runs.groups[part].deviation[key] <= ALIKE:
        return "the same in all runs"
    return f"from {min(values):.{digits}f} to {max(values):.{digits}f}"


def _in_words(runs: Runs, key: str) -> str:
    group, values = runs.groups[runs.part], [run[key] for run in runs.numbers[runs.part]]
    mean, deviation = group.mean[key], group.deviation[key]
    if key in _SHARES:
        if deviation <= ALIKE:
            return f"{mean:.1%} in all of them"
        spread = f"{_deviation(100 * deviation, 1)} points"
        return f"{mean:.1%} ± {spread} ({min(values):.1%} to {max(values):.1%})"
    return f"{mean:.3f} ± {_deviation(deviation, 3)} ({min(values):.3f} to {max(values):.3f})"


def _answer(runs: Runs) -> str:
    group = runs.groups[runs.part]
    said = [f"accuracy is {_in_words(runs, 'accuracy')}"]
    if "auc" in group.mean:
        said.insert(0, f"AUC is {_in_words(runs, 'auc')}")
    kept = runs.folders[runs.kept]
    text = (
        f"On the {PARTS[runs.part]} images {' and '.join(said)}: mean ± standard deviation of "
        f"{len(runs.folders)} seeds, with the lowest and the highest. {kept.root.name} is kept, "
        "since its validation loss is the lowest"
    )
    text += "; test images had no say." if runs.part == "test" else "."
    area = _json(kept.metrics)[runs.part].get("auc", {})
    if area.get("low") is not None:
        text += (
            f" Its AUC is {area['value']:.3f} ({level_text(area['level'])} interval over patients "
            f"{area['low']:.3f} to {area['high']:.3f})."
        )
    return text


def _caveats(runs: Runs) -> tuple[str, ...]:
    notes = []
    if runs.part == "val":
        notes.append(
            "There was no test part: these are validation images, which also chose the run, the "
            "epoch and the threshold, so the numbers of the kept run flatter it."
        )
    notes.append(
        "Seeds vary how a network learns, not whom it is judged on: other patients would move all "
        "runs together, which is what the intervals over patients say."
    )
    if len(runs.folders) < 10:
        notes.append(
            f"A standard deviation of {len(runs.folders)} runs is itself known only roughly; more "
            "seeds would tell it better."
        )
    notes.append(
        "All runs share one split; another split would give other numbers, often further apart "
        "than seeds are."
    )
    notes.append("Do not report the best run by its test numbers: it was not known to be best.")
    return tuple(notes[:3])


def _part(runs: Runs, part: str, canvas: Canvas, facts: dict[str, Any]) -> Section:
    group, numbers = runs.groups[part], runs.numbers[part]
    recipe = facts["recipe"]
    of_the_report = str(recipe["model"]).startswith(REPORT_NETWORK) and part == runs.part
    known = REPORT_SPREAD if of_the_report else None
    nan = float("nan")
    figure = SeedDots(
        runs.names,
        tuple(tuple(run.get(key, nan) for key, _ in NUMBERS) for run in numbers),
        (0,) * len(numbers),
        known,
        runs.kept,
    )
    header = (
        "number", "mean", "standard deviation", "lowest", "highest",
        f"kept: {runs.names[runs.kept]}", "detectable from",
    )  # fmt: skip
    order = [*(key for key in _NAMES if key in group.mean)]
    order += [key for key in group.mean if key not in _NAMES]
    body = tuple(
        (
            _NAMES.get(key, key.replace("_", " ").capitalize()),
            f"{group.mean[key]:.4f}",
            f"{group.deviation[key]:.4f}",
            f"{min(run[key] for run in numbers):.4f}",
            f"{max(run[key] for run in numbers):.4f}",
            f"{numbers[runs.kept][key]:.4f}",
            detectable(group, key),
        )
        for key in order
    )
    text = (
        f"Mean and, in brackets, standard deviation of {len(numbers)} runs. The table below has "
        "every number; its last column is the smallest difference of means to as many runs of "
        "another recipe that a t test at 5% finds with a power of 80% (not known where all runs "
        "are alike)."
    )
    if known is not None:
        text += (
            f"\n\nThe grey band is what the {known[2]} saw from run to run of this network: "
            f"{known[0]:.0%} to {known[1]:.0%} accuracy on the 624 test images of the public data "
            "set."
        )
    caption = (
        "A dot a run, in the order of their seeds; the ring is the run that is kept. The cross is "
        "the mean, the bar one standard deviation to either side. A difference to another recipe "
        "that is smaller than such a bar may be the seed's."
    )
    return Section(
        f"On the {PARTS[part]} images",
        text=text,
        statements=tuple(
            Statement(NAMES[key], _spread(runs, part, key), None, _range(runs, part, key))
            for key in _SHOWN
            if key in group.mean
        ),
        panels=(canvas.panel(figure, f"seeds-{part}", title="A dot a run", caption=caption),),
        table=canvas.table(f"seeds-numbers-{part}", (header, body)),
        table_title="Every number",
    )


def _chosen(runs: Runs, canvas: Canvas) -> Section:
    logs = [read_log(run.log) for run in runs.folders]
    epochs = [int(_json(run.provenance)["best_epoch"]) for run in runs.folders]
    figure = SeedLosses(
        runs.names,
        tuple([row.val_loss for row in log] for log in logs),
        tuple(epochs),
        runs.kept,
    )
    rows = tuple(
        (
            name,
            str(len(log)),
            str(epoch),
            f"{log[epoch - 1].val_loss:.4f}",
            "yes" if place == runs.kept else "",
        )
        for place, (name, log, epoch) in enumerate(zip(runs.names, logs, epochs, strict=True))
    )
    header = ("run", "epochs", "epoch kept", "validation loss", "kept")
    return Section(
        "Which run is kept",
        text=(
            f"{runs.names[runs.kept]}: the run with the lowest validation loss. The choice was "
            "made on validation images alone; the numbers of the test images were not looked at "
            "for it."
        ),
        panels=(canvas.panel(figure, "seeds-losses", title="How they learnt"),),
        table=canvas.table("seeds-runs", (header, rows)),
    )


def _recipe(canvas: Canvas, facts: dict[str, Any]) -> Section:
    rows = [(key, as_text(value)) for key, value in facts["recipe"].items() if key != "seed"]
    machine = facts["machine"]
    rows += [(name, str(version)) for name, version in facts["packages"].items()]
    rows += [
        ("python", str(facts["python"])),
        ("commit", str(facts["commit"] or "not a checkout")),
        ("machine", f"{machine['system']}, {machine['cores']} cores"),
        ("device", f"{facts['device']} in {facts['precision']}"),
    ]
    return Section(
        "Recipe and environment",
        text="The same for all runs, save the seed.",
        table=canvas.table("recipe", (("what", "value"), tuple(rows))),
        table_title="Settings, versions and machine",
    )

"""The page of runs that differ only in their seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.data.generated import GENERATED, is_generated
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.comparison_page import (
    ALIKE,
    REPORT_NETWORK,
    REPORT_SPREAD,
    detectable,
    spread_text,
)
from pneumoscope.report.figures.compare import NUMBERS, seed_dots, seed_losses
from pneumoscope.report.page import Report, Section, Statement, footer_of, write_report
from pneumoscope.report.settings import environment_rows, settings_section
from pneumoscope.report.words import CLASS_NAMES, NAMES, PARTS
from pneumoscope.runs import files_written_whole
from pneumoscope.training.log import read_log

if TYPE_CHECKING:
    from pneumoscope.evaluation.seeds import SeedGroup
    from pneumoscope.runs import RunFolder

_SHOWN = (
    "auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "average_precision",
    "brier", "ece", "classes_accuracy", "classes_balanced_accuracy", "classes_macro_auc",
    "classes_kappa",
)  # fmt: skip
_SHARES = {"accuracy", "balanced_accuracy", "sensitivity", "specificity"}
_NAMES = {
    **NAMES,
    "threshold": "Threshold",
    "set_aside": "Set aside, as deployed",
    "error": "Errors among the others",
    "missed": "Missed, of all positive images, as deployed",
    "false_alarms": "False alarms, of all negative images, as deployed",
    **{f"classes_{key}": f"All classes: {name}" for key, name in CLASS_NAMES.items()},
}
_OF_A_CLASS = "auc "


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Runs of one recipe, and their results.

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
        """The names of the runs."""
        return tuple(run.root.name for run in self.folders)

    @property
    def part(self) -> str:
        """The main part: ``test`` if there is one."""
        return "test" if "test" in self.groups else "val"

    def of(self, key: str, part: str = "") -> Scatter:
        """Return the values of a metric on a part; on the main one by default."""
        group = self.groups[part or self.part]
        values = [run[key] for run in self.numbers[part or self.part]]
        return Scatter(group.mean[key], group.deviation[key], min(values), max(values))


@dataclass(frozen=True, slots=True)
class Scatter:
    """The values of a metric over several runs."""

    mean: float
    deviation: float
    least: float
    most: float

    @property
    def alike(self) -> bool:
        """Whether all runs have the same value."""
        return self.deviation <= ALIKE

    def spread(self, digits: int) -> str:
        """Return mean and standard deviation."""
        return f"{self.mean:.{digits}f} (± {_deviation(self.deviation, digits)})"

    def range(self, digits: int) -> str:
        """Return minimum and maximum."""
        if self.alike:
            return "the same in all runs"
        return f"from {self.least:.{digits}f} to {self.most:.{digits}f}"

    def in_words(self, *, share: bool) -> str:
        """Return the values as text, proportions in percent."""
        if not share:
            ends = f"{self.least:.3f} to {self.most:.3f}"
            return f"{self.mean:.3f} ± {_deviation(self.deviation, 3)} ({ends})"
        if self.alike:
            return f"{self.mean:.1%} in all of them"
        spread = f"{_deviation(100 * self.deviation, 1)} points"
        return f"{self.mean:.1%} ± {spread} ({self.least:.1%} to {self.most:.1%})"


def _deviation(value: float, digits: int) -> str:
    if value <= ALIKE:
        return "0"
    least = 10**-digits
    return f"{value:.{digits}f}" if value >= least / 2 else f"less than {least:.{digits}f}"


def write_seeds_page(folder: Path, runs: Runs) -> Path:
    """Write ``report.html`` and ``figures/`` of several runs; return the page's path.

    Raises:
        OutputError: The folder cannot be written to.
    """
    facts = _json(runs.folders[0].provenance)
    generated = is_generated(facts.get("data_root") or facts["data"])
    parts = [runs.part, *(part for part in runs.groups if part != runs.part)]
    with files_written_whole(folder) as new:
        canvas = Canvas(new / "figures")
        sections = (
            *(_part(runs, part, canvas, facts) for part in parts),
            _chosen(runs, canvas),
            _recipe(canvas, facts),
        )
        report = Report(
            title=f"{folder.resolve().name}: {len(runs.folders)} seeds of one recipe",
            question="How much do the results vary with the seed?",
            data=_data_line(facts),
            answer=_answer(runs),
            caveats=(*([GENERATED] if generated else []), *_caveats(runs)),
            headline=_statements(runs, runs.part, [key for key, _ in NUMBERS], digits=3),
            sections=sections,
            footer=footer_of(facts),
        )
        write_report(new / "report.html", report)
    return folder / "report.html"


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _data_line(facts: dict[str, Any]) -> str:
    images = facts["images"]
    parts = [f"{images[part]:,} for {name}" for part, name in PARTS.items() if images[part]]
    return f"The same images for all runs: {', '.join(parts)}"


def _statements(
    runs: Runs, part: str, keys: Sequence[str], *, digits: int
) -> tuple[Statement, ...]:
    return tuple(
        Statement(_NAMES[key], own.spread(digits), None, own.range(digits))
        for key in keys
        if key in runs.groups[part].mean
        for own in [runs.of(key, part)]
    )


def _answer(runs: Runs) -> str:
    said = [f"accuracy is {runs.of('accuracy').in_words(share=True)}"]
    if "auc" in runs.groups[runs.part].mean:
        said.insert(0, f"AUC is {runs.of('auc').in_words(share=False)}")
    kept = runs.folders[runs.kept]
    text = (
        f"On the {PARTS[runs.part]} images {' and '.join(said)}: mean ± standard deviation of "
        f"{len(runs.folders)} seeds, with the lowest and the highest. {kept.root.name} is kept, "
        "because its validation loss is the lowest"
    )
    text += "; test images were not used." if runs.part == "test" else "."
    metrics = _json(kept.metrics)[runs.part]
    found = metrics.get("findings")
    area = found["values"]["macro_auc"] if found else metrics.get("auc", {})
    if found:
        text += f" All numbers are means over the {len(found['by_finding'])} findings."
    if area.get("low") is not None:
        text += (
            f" Its AUC is {area['value']:.3f} ({level_text(area['level'])} interval over patients "
            f"{area['low']:.3f} to {area['high']:.3f})."
        )
    return text


def _caveats(runs: Runs) -> tuple[str, ...]:
    """Return the three most severe caveats."""
    n = len(runs.folders)
    notes = {
        "There was no test part: these are validation images, which were also used to choose "
        "the run, the epoch and the threshold, so the results are optimistic.": runs.part == "val",
        "Seeds vary the training, not the evaluated patients: other patients would shift all "
        "runs together, as shown by the intervals over patients.": True,
        f"A standard deviation from {n} runs is imprecise; use more seeds for a better estimate.": n
        < 10,
        "All runs share one split; another split would give other results, often with larger "
        "differences than between seeds.": True,
        "Do not report the run with the best test results: it was not chosen in advance.": True,
    }
    return tuple(note for note, holds in notes.items() if holds)[:3]


def _part(runs: Runs, part: str, canvas: Canvas, facts: dict[str, Any]) -> Section:
    group, numbers = runs.groups[part], runs.numbers[part]
    findings = facts["recipe"].get("findings") is not None
    of_the_report = str(facts["recipe"]["model"]).startswith(REPORT_NETWORK) and not findings
    known = REPORT_SPREAD if of_the_report and part == runs.part else None
    nan = float("nan")
    figure = seed_dots(
        runs.names,
        [[run.get(key, nan) for key, _ in NUMBERS] for run in numbers],
        [0] * len(numbers),
        known=known,
        kept=runs.kept,
    )
    text = (
        f"Mean and, in brackets, standard deviation of {len(numbers)} runs. The table below has "
        "all results; its last column is the smallest difference in means, compared with as "
        "many runs of another recipe, that a t test at the 5% level detects with a power of "
        "80% (undefined if all runs are equal)."
    )
    header = (
        "number", "mean", "standard deviation", "lowest", "highest",
        f"kept: {runs.names[runs.kept]}", "detectable difference",
    )  # fmt: skip
    order = [*(key for key in _NAMES if key in group.mean)]
    order += [key for key in group.mean if key not in _NAMES]
    rows = tuple(
        (
            _name(key, findings=findings),
            *(
                f"{value:.4f}"
                for own in [runs.of(key, part)]
                for value in (own.mean, own.deviation, own.least, own.most, numbers[runs.kept][key])
            ),
            detectable(group, key),
        )
        for key in order
    )
    return Section(
        f"On the {PARTS[part]} images",
        text=f"{text}\n\n{spread_text(known, 'this')}" if known is not None else text,
        statements=_statements(runs, part, _SHOWN, digits=4),
        panels=(canvas.panel(figure, f"seeds-{part}", kind="seed_runs"),),
        table=canvas.table(f"seeds-numbers-{part}", (header, rows)),
        table_title="All results",
    )


def _name(key: str, *, findings: bool) -> str:
    """Return what a number is called in a table."""
    if key.startswith(_OF_A_CLASS):
        rest = "" if findings else " against the rest"
        return f"AUC of {key.removeprefix(_OF_A_CLASS)}{rest}"
    return _NAMES.get(key, key.replace("_", " ").capitalize())


def _chosen(runs: Runs, canvas: Canvas) -> Section:
    logs = [read_log(run.log) for run in runs.folders]
    epochs = tuple(int(_json(run.provenance)["best_epoch"]) for run in runs.folders)
    losses = tuple([row.val_loss for row in log] for log in logs)
    figure = seed_losses(runs.names, losses, epochs, runs.kept)
    header = ("run", "epochs", "epoch kept", "validation loss", "kept")
    rows = tuple(
        (
            name,
            str(len(own)),
            str(epoch),
            f"{own[epoch - 1]:.4f}",
            "yes" if row == runs.kept else "",
        )
        for row, (name, own, epoch) in enumerate(zip(runs.names, losses, epochs, strict=True))
    )
    return Section(
        "Selected run",
        text=(
            f"{runs.names[runs.kept]}: the run with the lowest validation loss. The choice was "
            "made on validation images only; test images were not used."
        ),
        panels=(canvas.panel(figure, "seeds-losses"),),
        table=canvas.table("seeds-runs", (header, rows)),
    )


def _recipe(canvas: Canvas, facts: dict[str, Any]) -> Section:
    rows = [
        *(row for row in facts["recipe"].items() if row[0] != "seed"),
        *environment_rows(facts),
        ("device", f"{facts['device']} in {facts['precision']}"),
    ]
    return settings_section(
        canvas, "recipe", rows, title="Recipe and environment",
        text="The same for all runs, except the seed.",
        table_title="Settings, versions and machine",
    )  # fmt: skip

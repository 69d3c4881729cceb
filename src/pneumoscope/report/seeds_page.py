"""The page of runs that differ only in their seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pneumoscope.data.generated import is_generated
from pneumoscope.evaluation.seeds import SeedGroup
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.comparison_page import (
    ALIKE,
    REPORT_NETWORK,
    REPORT_SPREAD,
    spread_text,
)
from pneumoscope.report.figures.compare import NUMBERS, seed_dots, seed_losses
from pneumoscope.report.opening import words_of
from pneumoscope.report.page import Report, Section, Statement, footer_of, write_report
from pneumoscope.report.rendering import read_yaml
from pneumoscope.report.settings import environment_rows, settings_section
from pneumoscope.report.words import CLASS_NAMES, NAMES, PARTS, name_of
from pneumoscope.runs import RunFolder, files_written_whole
from pneumoscope.training.log import read_log

_NAMES = {
    **NAMES,
    **read_yaml("names.yaml")["runs"],
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
        values = tuple(run[key] for run in self.numbers[part or self.part])
        return Scatter(group.mean[key], group.deviation[key], values)


@dataclass(frozen=True, slots=True)
class Scatter:
    """The values of a metric over several runs."""

    mean: float
    deviation: float
    values: tuple[float, ...]

    @property
    def least(self) -> float:
        """The lowest."""
        return min(self.values)

    @property
    def most(self) -> float:
        """The highest."""
        return max(self.values)

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
    kept = runs.folders[runs.kept]
    metrics = _json(kept.metrics)[runs.part]
    findings = metrics.get("findings", {})
    opening = words_of(
        "seeds",
        generated=is_generated(facts.get("data_root") or facts["data"]),
        runs=runs,
        made=facts,
        parts=PARTS,
        area=runs.of("auc") if "auc" in runs.groups[runs.part].mean else None,
        accuracy=runs.of("accuracy"),
        deviation=_deviation,
        kept=kept.root.name,
        findings=len(findings.get("by_finding", ())),
        own=findings["values"]["macro_auc"] if findings else metrics.get("auc", {}),
    )
    recipe = [row for row in facts["recipe"].items() if row[0] != "seed"]
    device = ("device", f"{facts['device']} in {facts['precision']}")
    parts = [runs.part, *(part for part in runs.groups if part != runs.part)]
    with files_written_whole(folder) as new:
        canvas = Canvas(new / "figures").about(kept=kept.root.name)
        sections = (
            *(_part(runs, part, canvas, facts) for part in parts),
            _chosen(runs, canvas),
            settings_section(canvas, "recipe_of_runs", [*recipe, *environment_rows(facts), device]),
        )
        report = Report(
            title=f"{folder.resolve().name}: {len(runs.folders)} seeds of one recipe",
            headline=_statements(runs, runs.part, [key for key, _ in NUMBERS], digits=3),
            sections=sections,
            footer=footer_of(facts),
            **opening,
        )
        write_report(new / "report.html", report)
    return folder / "report.html"


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _statements(
    runs: Runs, part: str, keys: Sequence[str], *, digits: int
) -> tuple[Statement, ...]:
    return tuple(
        Statement(_NAMES[key], own.spread(digits), None, own.range(digits))
        for key in keys
        if key in runs.groups[part].mean
        for own in [runs.of(key, part)]
    )


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
    order = [key for key in _NAMES if key in group.mean]
    order += [key for key in group.mean if key not in _NAMES]
    return canvas.about(part).section(
        "seeds",
        statements=_statements(runs, part, read_yaml("sections.yaml")["seeds"]["shown"], digits=4),
        figures={"seeds": replace(figure, kind="seed_runs")},
        rows=[(_name(key, findings=findings), runs.of(key, part), key) for key in order],
        group=group,
        alike=ALIKE,
        of_kept=runs.kept,
        name=PARTS[part],
        n=len(numbers),
        band=spread_text(known, "this"),
    )


def _name(key: str, *, findings: bool) -> str:
    """Return the displayed name of a metric in a table."""
    if key.startswith(_OF_A_CLASS):
        rest = "" if findings else " against the rest"
        return f"AUC of {key.removeprefix(_OF_A_CLASS)}{rest}"
    return name_of(key, _NAMES)


def _chosen(runs: Runs, canvas: Canvas) -> Section:
    losses = [[row.val_loss for row in read_log(run.log)] for run in runs.folders]
    epochs = [int(_json(run.provenance)["best_epoch"]) for run in runs.folders]
    figure = seed_losses(runs.names, losses, epochs, runs.kept)
    rows = zip(runs.names, losses, epochs, strict=True)
    return canvas.section("kept_run", figures={"seeds-losses": figure}, rows=rows)

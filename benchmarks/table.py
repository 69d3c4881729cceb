"""Write results to ``results.json`` and to the table between the marks of ``README.md``."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import Outcome, Row
from pneumoscope.runs import provenance, write_json, write_text

_BEGIN = "<!-- results: begin (benchmarks/run.py writes what is between these marks) -->"
_END = "<!-- results: end -->"


def about(*, generated: bool) -> dict[str, Any]:
    """Return the environment of the measurements."""
    facts = provenance(
        processor=_processor(),
        images="generated images" if generated else "real images",
        load_at_start=round(os.getloadavg()[0], 2),
    )
    cores = facts.pop("machine")["cores"]
    return {**facts, "cores": cores}


def write(folder: Path, facts: dict[str, Any], outcomes: dict[str, Outcome]) -> None:
    """Write both files; benchmarks that were not run keep their rows if all else is the same."""
    results = folder / "results.json"
    before = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    same = bool(before) and _setting(before["about"]) == _setting(facts)
    benchmarks = dict(before["benchmarks"]) if same else {}
    for name, outcome in outcomes.items():
        if outcome.skipped:
            benchmarks.setdefault(name, {"rows": [], "skipped": outcome.skipped})
            continue
        benchmarks[name] = {
            "written": facts["written"],
            "commit": facts["commit"],
            "rows": [{**asdict(row), "met": row.met} for row in outcome.rows],
            "details": outcome.details,
        }
    write_json(results, {"about": facts, "benchmarks": benchmarks})
    rows = [_row(values) for item in benchmarks.values() for values in item["rows"]]
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8")
    start, end = text.index(_BEGIN) + len(_BEGIN), text.index(_END)
    shown = f"{_line(facts)}\n\n{markdown(rows)}\n{_skipped(benchmarks)}"
    write_text(readme, f"{text[:start]}\n{shown}{text[end:]}")


def markdown(rows: list[Row]) -> str:
    """Return the table."""
    met = {True: "yes", False: "**no**", None: ""}
    lines = [
        f"| {row.what} | {row.ours} | {row.against} | {_ratio(row)} | {row.bound} "
        f"| {met[row.met]} |"
        for row in rows
    ]
    head = ["| what | ours | against | ratio | bound | met |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *lines])


def _ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{row.ratio:.2f}"


def _skipped(benchmarks: dict[str, Any]) -> str:
    """Return a paragraph on skipped measurements; empty if there are none."""
    why = [
        f"`{name}` ({item['skipped']})" for name, item in benchmarks.items() if "skipped" in item
    ]
    return f"\nNot measured: {', '.join(why)}.\n" if why else ""


def _row(values: dict[str, Any]) -> Row:
    return Row(**{name: value for name, value in values.items() if name != "met"})


def _setting(facts: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(facts[name] for name in ("processor", "cores", "images", "python", "packages"))


def _line(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    return (
        f"{facts['written'][:10]}, {facts['processor']}, {facts['cores']} cores, "
        f"{facts['images']}; Python {facts['python']}, {versions}."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

"""The page of an audit: data, result, findings and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pneumoscope.data.audit.findings import SEVERITIES
from pneumoscope.data.audit.result import counts
from pneumoscope.data.generated import GENERATED
from pneumoscope.installation import install_command
from pneumoscope.report.canvas import Canvas, can_draw
from pneumoscope.report.inspect_sections import audit_sections
from pneumoscope.report.page import Report, footer_of, write_report

if TYPE_CHECKING:
    from pneumoscope.data.audit.result import Audit

_FILES_SHOWN: Final = 12
_TITLES: Final = {"error": "Errors", "warning": "Warnings", "note": "Notes"}


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
    report = Report(
        title=f"Audit of {name}",
        question="Are these images suitable for training and evaluation?",
        data=f"{_data_line(audit)}{f'. {GENERATED}' if generated else ''}",
        answer=_verdict(audit),
        caveats=(),
        headline=(),
        sections=audit_sections(Canvas(path.parent / "figures"), audit),
        footer=(
            f"{footer_of(facts)} · seed {audit.seed}"
            f"{'' if can_draw() else f' · {without_figures()}'}"
        ),
    )
    groups = {
        _TITLES[severity]: [found for found in audit.findings if found.severity == severity]
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


def _data_line(audit: Audit) -> str:
    found = counts(audit)
    who = f" of {found['patients']:,} patients" if found["patients"] else ""
    labels = ", ".join(f"{n:,} {label}" for label, n in found["labels"].items() if label)
    parts = ", ".join(
        f"{own['images']:,} in {part}" for part, own in found["parts"].items() if part != "all"
    )
    return "; ".join(text for text in (f"{found['images']:,} images{who}", labels, parts) if text)


def _verdict(audit: Audit) -> str:
    errors, warnings = audit.count("error"), audit.count("warning")
    if errors:
        first = next(f.title for f in audit.findings if f.severity == "error")
        return f"Not yet: {_times(errors, 'error')} would make results wrong. The first: {first}."
    clean = ""
    if audit.crossings and all(crossing.clean for crossing in audit.crossings):
        known = any(entry.patient.known for entry in audit.measured.entries)
        who = "No patient, no image" if known else "No image"
        clean = f"{who} and no near copy is in two parts. "
    if warnings:
        return (
            f"{clean}There are no errors, but {_times(warnings, 'warning')} should be resolved "
            "or considered before results are used."
        )
    return f"{clean}No problems were found."


def _times(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"

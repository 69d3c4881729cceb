"""The page of an audit: data, result, findings and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pneumoscope.data.audit.findings import SEVERITIES
from pneumoscope.data.audit.result import Audit, counts
from pneumoscope.data.generated import GENERATED
from pneumoscope.installation import install_command
from pneumoscope.report.canvas import Canvas, can_draw
from pneumoscope.report.inspect_sections import audit_sections, patients_known
from pneumoscope.report.opening import words_of
from pneumoscope.report.page import Report, footer_of, write_report

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
        patients_known=patients_known(audit),
        note=GENERATED if generated else "",
    )
    footer = [footer_of(facts), f"seed {audit.seed}", *([] if can_draw() else [without_figures()])]
    report = Report(
        title=f"Audit of {name}",
        headline=(),
        sections=audit_sections(Canvas(path.parent / "figures"), audit),
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

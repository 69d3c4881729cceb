"""A table of several findings an image, from the generated radiographs."""

from __future__ import annotations

import csv
from pathlib import Path

FINDINGS = ("Consolidation", "Infiltrate", "Clear")


def findings_table(folder: Path, out: Path) -> Path:
    """Write ``out``, a CSV of the images of a generated folder with a column a finding; return it.

    Consolidation is bacterial pneumonia, Infiltrate any pneumonia, Clear none; every fifth label
    is blank, and some that are blank are uncertain (-1).
    """
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "patient", "split", "sex", *FINDINGS))
        for number, path in enumerate(sorted(folder.rglob("*.jpeg"))):
            kind, patient, *_ = path.stem.split("-")
            part = path.relative_to(folder).parts[0]
            labels: list[object] = [
                int(kind == "BACTERIA"),
                int(kind != "NORMAL"),
                int(kind == "NORMAL"),
            ]
            labels[number % 3] = (
                ("", "", "-1")[number % 3] if number % 5 == 0 else labels[number % 3]
            )
            place = path.relative_to(out.parent)
            writer.writerow((place, f"{kind}-{patient}", part, "F" if number % 2 else "M", *labels))
    return out

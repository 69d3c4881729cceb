"""Folders of three classes, from the generated radiographs."""

from __future__ import annotations

import shutil
from pathlib import Path

KINDS = ("NORMAL", "BACTERIA", "VIRUS")
GROUP = "PNEUMONIA=BACTERIA,VIRUS"


def by_kind(folder: Path, out: Path) -> Path:
    """Copy a generated folder into class folders NORMAL, BACTERIA and VIRUS; return it."""
    for path in sorted(folder.rglob("*.jpeg")):
        kind = path.name.partition("-")[0]
        part = path.relative_to(folder).parts[0]
        place = out / part / kind / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    return out

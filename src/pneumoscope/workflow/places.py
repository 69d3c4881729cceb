"""Find the scores and data of a run."""

from __future__ import annotations

import json
from pathlib import Path

from pneumoscope.data.catalog import PARTS
from pneumoscope.errors import DataError, OutputError
from pneumoscope.runs import RunFolder


def run_of(scores_file: Path) -> RunFolder | None:
    """Return the run that a scores file belongs to, None for other files."""
    run = RunFolder(scores_file.parent)
    own = {run.scores(part).name for part in (*PARTS, "all")}
    return run if scores_file.name in own and run.model.is_file() else None


def scores_of_run(run: Path, part: str | None) -> Path:
    """Return the scores file of a part of a run; by default ``test`` if present, else ``val``.

    Raises:
        DataError: The run has none.
    """
    for name in (part,) if part else ("test", "val"):
        path = RunFolder(run).scores(name)
        if path.is_file():
            return path
    wanted = f"scores-{part}.csv" if part else "scores-test.csv or scores-val.csv"
    raise DataError(
        f"{run}: no {wanted} in this folder; write them with: pneumoscope evaluate {run} DATA"
    )


def data_of(run: RunFolder | None) -> Path | None:
    """Return the folder or manifest that a run was trained on, if it still exists."""
    if run is None or not run.provenance.is_file():
        return None
    data = json.loads(run.provenance.read_text(encoding="utf-8")).get("data")
    return Path(data) if data and Path(data).exists() else None


def data_root(run: RunFolder | None) -> Path | None:
    """Return the root folder of the paths of a run's images, if it still exists."""
    data = data_of(run)
    if run is None or data is None:
        return None
    root = json.loads(run.provenance.read_text(encoding="utf-8")).get("data_root")
    if root and Path(root).is_dir():
        return Path(root)
    return data if data.is_dir() else data.parent


def check_report(folder: Path | None) -> None:
    """Raise an error early if a report cannot be written.

    Raises:
        OutputError: The path is a file.
    """
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; give a folder with `report`.")

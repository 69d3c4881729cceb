"""The runs of a study as a table, for the terminal and as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.runs import write_csv
from pneumoscope.study.folder import StudyFolder, StudyRun

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = (
    "run", "title", "seed", "state", "val_auc", "val_accuracy", "val_loss", "held_out_auc",
    "held_out_accuracy", "held_out_loss", "threshold", "epochs", "best_epoch", "parameters",
    "seconds", "error",
)  # fmt: skip


def rows_of_study(folder: StudyFolder) -> list[dict[str, object]]:
    """Return one row per run of the study in the order of its plan; see ``COLUMNS``.

    Raises:
        DataError: The folder is not a study.
    """
    found = []
    for item in folder.facts().get("runs", []):
        run = StudyRun(folder.root / "runs" / item["run"])
        row: dict[str, object] = dict.fromkeys(COLUMNS, "")
        row |= {"run": run.name, "title": item["title"], "seed": item["seed"], "state": run.state}
        row["error"] = run.error()
        if run.finished:
            result = run.result()
            row |= {f"val_{name}": value for name, value in result.val.items()}
            row |= {f"held_out_{name}": value for name, value in result.held_out.items()}
            row |= {
                name: getattr(result, name)
                for name in ("epochs", "best_epoch", "parameters", "seconds")
            }
            row["threshold"] = "" if result.threshold is None else result.threshold
        found.append(row)
    return found


def write_table(folder: StudyFolder, place: Path) -> None:
    """Write the table as CSV.

    Raises:
        OutputError: The file cannot be written.
    """
    rows = rows_of_study(folder)
    write_csv(place, COLUMNS, ([row[name] for name in COLUMNS] for row in rows))


def table_text(folder: StudyFolder) -> str:
    """Return the table for a terminal."""
    rows = rows_of_study(folder)
    width = max([5, *(len(str(row["title"])) for row in rows)])
    lines = [f"{'run':{width}}  state    val AUC  held-out AUC  accuracy  epochs  minutes"]
    for row in rows:
        line = f"{row['title']!s:{width}}  {row['state']:7}"
        if row["state"] == "done":
            line += (
                f"  {row['val_auc']:7.4f}  {row['held_out_auc']:12.4f}  "
                f"{row['held_out_accuracy']:8.4f}  {row['epochs']:6d}  "
                f"{float(str(row['seconds'])) / 60:7.1f}"
            )
        elif row["error"]:
            line += f"  {row['error']}"
        lines.append(line)
    return "\n".join(lines)

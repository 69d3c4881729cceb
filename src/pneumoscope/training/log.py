"""The training log ``log.csv``, one row per epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from pneumoscope.errors import DataError
from pneumoscope.runs import rows_of, write_csv


@dataclass(frozen=True, slots=True)
class Epoch:
    """A row of ``log.csv``.

    Attributes:
        epoch: Its number, from 1.
        loss: Mean cross-entropy over the steps, in nats, with augmentation and dropout on.
        accuracy: Mean over the steps, with both on.
        val_loss: On the validation rows, after the epoch.
        val_accuracy: The same.
        val_auc: The same.
        seconds: The whole epoch, validation included.
        images_per_second: Training images over these seconds.
        learning_rate: Of the last layer at the last step; None where there are no steps, and in
            logs that were written before it was noted.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    val_auc: float
    seconds: float
    images_per_second: float
    learning_rate: float | None = None


COLUMNS = tuple(field.name for field in fields(Epoch))


def read_log(path: Path) -> list[Epoch]:
    """Return the epochs of a log; none if the file does not exist.

    Raises:
        DataError: It is no log.
    """
    if not path.exists():
        return []
    try:
        return [_epoch(row) for row in rows_of(path)]
    except (KeyError, ValueError, TypeError) as fault:
        raise DataError(f"{path}: no training log ({fault!r}).") from fault


def _epoch(row: Mapping[str, str]) -> Epoch:
    rate = row.get("learning_rate")
    numbers = {name: float(row[name]) for name in COLUMNS[1:] if name != "learning_rate"}
    return Epoch(epoch=int(row["epoch"]), learning_rate=float(rate) if rate else None, **numbers)


def write_log(path: Path, rows: Iterable[Epoch]) -> None:
    """Write the epochs of a log.

    Raises:
        OutputError: The file cannot be written.
    """
    write_csv(path, COLUMNS, map(astuple, rows))

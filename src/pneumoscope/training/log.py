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
        epoch: Number of the epoch, from 1.
        loss: Mean training cross-entropy over the steps, in nats, with augmentation and dropout.
        accuracy: Mean training accuracy over the steps, with augmentation and dropout.
        val_loss: Validation cross-entropy after the epoch, in nats.
        val_accuracy: Validation accuracy after the epoch.
        val_auc: Validation AUC after the epoch.
        seconds: Duration of the epoch, including validation.
        images_per_second: Training images per second of this duration.
        learning_rate: Learning rate of the last layer at the last step; None if there are no steps,
            and in logs of earlier versions.
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
        DataError: The file is not a training log.
    """
    if not path.exists():
        return []
    try:
        return [_epoch(row) for row in rows_of(path)]
    except (KeyError, ValueError, TypeError) as fault:
        raise DataError(f"{path}: not a training log ({fault!r}).") from fault


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

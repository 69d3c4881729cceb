"""Checkpoints that are written atomically, and their progress."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from pneumoscope.errors import DataError
from pneumoscope.runs import written_whole


class WholeCheckpoints(TorchCheckpointIO):
    """Writes each checkpoint to a temporary file and renames it.

    Lightning itself writes to the system's temporary folder and copies the file, so that a full
    disk would leave an incomplete checkpoint instead of the previous one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            OutputError: The file cannot be written; the previous file is unchanged.
        """
        del storage_options
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with written_whole(Path(path)) as temporary:
            temporary.write_bytes(content.getbuffer())


def epochs_in(path: Path) -> int:
    """Return the number of finished epochs of a checkpoint; 0 if there is none.

    Raises:
        DataError: The checkpoint cannot be read.
    """
    if not path.is_file():
        return 0
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return int(found["epoch"]) + 1
    except (OSError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as fault:
        raise DataError(f"{path}: not a readable checkpoint ({fault}).") from fault

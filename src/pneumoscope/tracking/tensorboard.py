"""Write TensorBoard event files with tensorboardX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorboardX import SummaryWriter

from pneumoscope.tracking.tracker import flat, numbers_in

if TYPE_CHECKING:
    from pneumoscope.training.log import Epoch


class TensorBoardTracker:
    """Writes a folder of event files for each run.

    Args:
        folder: The folder of event files, TensorBoard's ``logdir``.
        warn: Called if a file could not be written.
    """

    def __init__(self, folder: Path, *, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._warn = warn
        self._writers: dict[str, SummaryWriter] = {}
        self._steps: dict[str, int] = {}

    def begin(self, run: str, recipe: Mapping[str, Any]) -> None:
        """Open the event file of a run, and write its recipe."""
        rows = [f"| {key} | {value} |" for key, value in flat(recipe).items()]
        table = "\n".join(["| field | value |", "|---|---|", *rows])
        with self._guarded():
            self._writers[run] = SummaryWriter(str(self._folder / run), flush_secs=10)
            self._writers[run].add_text("recipe", table)

    def epoch(self, run: str, row: Epoch) -> None:
        """Write a row of ``log.csv``, one scalar per column."""
        self._steps[run] = row.epoch
        self._write(run, numbers_in(row), row.epoch)

    def end(
        self,
        run: str,
        numbers: Mapping[str, float],
        files: Sequence[Path],
        *,
        failed: bool = False,
    ) -> None:
        """Write the results of a run, and the paths of its files as text."""
        self._write(run, {f"result/{k}": v for k, v in numbers.items()}, self._steps.get(run, 0))
        writer = self._writers.pop(run, None)
        if writer is None:
            return
        there = [str(path) for path in files if path.is_file()]
        with self._guarded():
            writer.add_text("files", "\n".join(there) or ("failed" if failed else "none"))
            writer.close()

    def close(self, files: Sequence[Path] = ()) -> None:
        """Close all event files."""
        del files  # event files cannot contain pages
        with self._guarded():
            for writer in self._writers.values():
                writer.close()
        self._writers.clear()

    def _write(self, run: str, numbers: Mapping[str, float], step: int) -> None:
        writer = self._writers.get(run)
        if writer is None:
            return
        with self._guarded():
            for name, value in numbers.items():
                writer.add_scalar(name, value, step)
            writer.flush()

    def _guarded(self) -> _Guard:
        return _Guard(self._folder, self._warn)


class _Guard:
    """Turns write errors into warnings."""

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._folder, self._warn = folder, warn

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, fault: object, _: object) -> bool:
        if not isinstance(fault, OSError):
            return False
        self._warn(f"{self._folder}: event files cannot be written ({fault.strerror}).")
        return True

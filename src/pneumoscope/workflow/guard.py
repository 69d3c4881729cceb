"""Clean up the folder of a run, or explain how to resume it, if training fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pneumoscope.errors import OutputError
from pneumoscope.runs import RunFolder, is_of_writing


@contextmanager
def removed_if_it_fails(run: RunFolder, *, new: bool) -> Iterator[None]:
    """Remove a new run folder if the block fails before training."""
    try:
        yield
    except BaseException:
        if new:
            run.discard()
        raise


@contextmanager
def with_way_on(run: RunFolder) -> Iterator[None]:
    """Explain how to resume the run after a full disk."""
    kept = "The completed epochs are kept; continue with `resume`."
    try:
        yield
    except OutputError as fault:
        raise OutputError(f"{fault} {kept}") from fault
    except OSError as fault:
        if not is_of_writing(fault, run.root):
            raise
        raise OutputError(
            f"{run.root}: cannot be written to ({fault.strerror or fault}); free some space. {kept}"
        ) from fault

"""A worker process that trains runs of a study.

The process reads a line of JSON for each run from standard input, and writes a line for each event
to standard output. It ends at the end of its input, when the parent process has ended.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
import traceback
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TextIO

from pneumoscope.errors import OutputError, PneumoscopeError
from pneumoscope.runs import locked_folder
from pneumoscope.study.folder import StudyRun
from pneumoscope.study.images import open_split, read_images
from pneumoscope.training.recipe import Recipe
from pneumoscope.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pneumoscope.data.catalog import Catalog
    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.images.prepare import InputSpec

_WAIT_SECONDS = 20.0


class Images:
    """The images of runs; shared parts are read and prepared once."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._catalog: tuple[str, Catalog] | None = None
        self._opened: tuple[tuple[Path, InputSpec], PreparedData] | None = None

    def of(self, recipe: Recipe, split_file: Path) -> PreparedData:
        """Return the images of a run."""
        how = repr((recipe.data.options(), recipe.data.positive, recipe.data.patient_regex))
        if self._catalog is None or self._catalog[0] != how:
            self._catalog = (how, read_images(self._data, recipe, watcher=Watcher()))
        key = (split_file, recipe.data.input)
        if self._opened is None or self._opened[0] != key:
            self._opened = (key, open_split(self._catalog[1], recipe.data.input, split_file))
        return self._opened[1]


def main() -> int:
    """Train the runs named in the input until it ends."""
    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # output of libraries is not an event
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    images: Images | None = None
    while True:
        job = requests.get()
        images = images or Images(Path(job["data"]))
        run = StudyRun(Path(job["run"]))
        try:
            with _taken(run):
                _train(run, Path(job["split"]), images, output, model=job["model"])
        except KeyboardInterrupt:
            return 130
        except Exception as fault:  # a failed run is a row and does not end the worker
            message = str(fault) if isinstance(fault, PneumoscopeError) else _error_text(fault)
            run.fail(message, more=traceback.format_exc(limit=-12))
            _say(output, event="failed", run=run.name, error=message)


def _listen(requests: SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(0)  # the parent process that would receive results has ended


def _train(run: StudyRun, split: Path, images: Images, output: TextIO, *, model: bool) -> None:
    from pneumoscope.study.learn import learn  # noqa: PLC0415 - torch

    if run.finished:  # finished by another process while this one waited
        _say(output, event="done", run=run.name)
        return
    data = images.of(Recipe.load(run.files.config), split)
    _say(output, event="begun", run=run.name)
    learn(
        run, data, model=model,
        on_epoch=lambda row: _say(output, event="epoch", run=run.name, epoch=row.epoch),
    )  # fmt: skip
    _say(output, event="done", run=run.name)


@contextmanager
def _taken(run: StudyRun) -> Iterator[None]:
    """Hold the lock of a run, waiting for a worker that is ending if necessary."""
    until = time.monotonic() + _WAIT_SECONDS
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(locked_folder(run.root))
            except OutputError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
            else:
                break
        yield


def _error_text(fault: Exception) -> str:
    text = " ".join(str(fault).split())[:500]
    return f"{type(fault).__name__}: {text}" if text else type(fault).__name__


def _say(output: TextIO, **event: object) -> None:
    output.write(json.dumps(event) + "\n")
    output.flush()


if __name__ == "__main__":
    gc.set_threshold(50_000)  # as in the command line: imported objects contain no cycles
    sys.exit(main())

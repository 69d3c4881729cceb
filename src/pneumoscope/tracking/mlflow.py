"""Runs in MLflow: a server, or a database of one's own.

Everything is told from a thread of its own, so that a server which is slow, down or gone holds no
training up. What could not be told is kept, and told when the server is there again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import OptionError
from pneumoscope.tracking.tracker import flat, numbers_in

if TYPE_CHECKING:
    from pneumoscope.training.log import Epoch

EXPERIMENT = "pneumoscope"

_QUIET = {
    # Nothing leaves the machine but what was asked for: MLflow 3 tells its makers of its use.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # By itself it tries for minutes; we try again at the next epoch.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
}
_FLUSH_SECONDS = 30.0
_PAUSE_SECONDS = 2.0


class MLflowTracker:
    """Tells an MLflow server or database of runs, as children of one run.

    Args:
        client: An ``MlflowClient``.
        title: The name of the parent run.
        where: Its address, for messages.
        warn: Is called, once for each outage, where something could not be told.
        flush_seconds: How long ``close`` waits for a server that does not answer.
    """

    def __init__(
        self,
        client: Any,
        *,
        title: str,
        where: str,
        warn: Callable[[str], None],
        flush_seconds: float = _FLUSH_SECONDS,
    ) -> None:
        self._client, self._title, self._where, self._warn = client, title, where, warn
        self._flush_seconds = flush_seconds
        self._parent = ""
        self._experiment = ""
        self._runs: dict[str, str] = {}
        self._tasks: deque[Callable[[], None]] = deque()
        self._something = threading.Condition()
        self._closing = False
        self._down = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @classmethod
    def of(
        cls, *, title: str, uri: str | None, beside: Path, warn: Callable[[str], None]
    ) -> MLflowTracker:
        """Return a tracker of an address; see ``make_tracker``."""
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        import mlflow  # noqa: PLC0415 - after the environment says what it may do

        given = uri or os.environ.get("MLFLOW_TRACKING_URI")
        where = given or f"sqlite:///{(beside.parent / 'mlflow.db').absolute()}"
        if "://" not in where or where.startswith("file:"):
            raise OptionError(
                "tracking_uri",
                must="a server or a database, such as http://host:5000 or sqlite:///mlflow.db",
                was=where,
                hint="MLflow takes no folder of files any more.",
            )
        client = mlflow.MlflowClient(tracking_uri=where)
        return cls(client, title=title, where=where, warn=warn)

    def begin(self, run: str, recipe: Mapping[str, Any]) -> None:
        """Begin a run, with its recipe as parameters."""
        texts = {key: value[:500] for key, value in flat(recipe).items()}

        def tell() -> None:
            from mlflow.entities import Param  # noqa: PLC0415 - see above

            own = self._made(run)
            self._client.log_batch(own, params=[Param(*pair) for pair in texts.items()])

        self._ask(tell)

    def epoch(self, run: str, row: Epoch) -> None:
        """Tell the row of ``log.csv``, a metric a column."""
        now = int(time.time() * 1000)
        numbers = numbers_in(row)
        self._ask(lambda: self._metrics(run, numbers, row.epoch, now))

    def end(
        self,
        run: str,
        numbers: Mapping[str, float],
        files: Sequence[Path],
        *,
        failed: bool = False,
    ) -> None:
        """Tell what a run reached, hand over its files, and end it."""
        now = int(time.time() * 1000)
        there = [path for path in files if path.is_file()]
        kept = dict(numbers)

        def finish() -> None:
            own = self._made(run)
            self._client.set_terminated(own, status="FAILED" if failed else "FINISHED")

        self._ask(lambda: self._metrics(run, kept, 0, now))
        for path in there:
            self._ask(lambda path=path: self._client.log_artifact(self._made(run), str(path)))  # type: ignore[misc]
        self._ask(finish)

    def close(self, files: Sequence[Path] = ()) -> None:
        """End the parent run, with files of all runs; wait until all is told, but not for ever."""
        there = [path for path in files if path.is_file()]

        def finish() -> None:
            self._begun()
            for path in there:
                self._client.log_artifact(self._parent, str(path))
            self._client.set_terminated(self._parent)

        self._ask(finish)
        with self._something:
            self._closing = True
            self._something.notify()
        self._thread.join(self._flush_seconds)
        if self._tasks:
            self._warn(
                f"{self._where}: {len(self._tasks)} messages could not be delivered; the numbers "
                "are in the files of the run."
            )

    def _begun(self) -> None:
        """Make the experiment and the parent run, if they are not there."""
        if not self._experiment:
            known = self._client.get_experiment_by_name(EXPERIMENT)
            self._experiment = (
                known.experiment_id if known else self._client.create_experiment(EXPERIMENT)
            )
        if not self._parent:
            made = self._client.create_run(self._experiment, run_name=self._title)
            self._parent = made.info.run_id

    def _made(self, run: str) -> str:
        """Return MLflow's name of a run, which is made if it is not there."""
        self._begun()
        if run not in self._runs:
            made = self._client.create_run(
                self._experiment, run_name=run, tags={"mlflow.parentRunId": self._parent}
            )
            self._runs[run] = made.info.run_id
        return self._runs[run]

    def _metrics(self, run: str, numbers: Mapping[str, float], step: int, when: int) -> None:
        from mlflow.entities import Metric  # noqa: PLC0415 - see above

        metrics = [Metric(name, value, when, step) for name, value in numbers.items()]
        self._client.log_batch(self._made(run), metrics=metrics)

    def _ask(self, task: Callable[[], None]) -> None:
        with self._something:
            self._tasks.append(task)
            self._something.notify()

    def _work(self) -> None:
        """Do the tasks in order; one that fails is tried again until all is over."""
        until = None
        while True:
            with self._something:
                while not self._tasks and not self._closing:
                    self._something.wait()
                if not self._tasks:
                    return
                if self._closing and until is None:
                    until = time.monotonic() + self._flush_seconds
                task = self._tasks[0]
            try:
                task()
            except Exception as fault:  # whatever it is, training goes on
                if not self._down:
                    self._down = True
                    self._warn(
                        f"{self._where}: does not take what is told ({_in_a_line(fault)}); "
                        "training goes on, and it is tried again."
                    )
                if until is not None and time.monotonic() > until:
                    return
                time.sleep(min(_PAUSE_SECONDS, self._flush_seconds / 4))
            else:
                self._down = False
                self._tasks.popleft()


def _in_a_line(fault: Exception) -> str:
    return f"{type(fault).__name__}: {' '.join(str(fault).split())[:160]}"

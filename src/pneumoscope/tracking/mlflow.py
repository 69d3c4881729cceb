"""Track runs with MLflow, on a server or in a database.

Reports are sent from a separate thread, so that a server that is slow or unavailable does not delay
training. Failed reports are kept and sent when the server is available again.
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
from pneumoscope.tracking.tracker import flat, numbers_in, without_secret

if TYPE_CHECKING:
    from pneumoscope.training.log import Epoch

EXPERIMENT = "pneumoscope"

_QUIET = {
    # No data other than the requested reports leave the machine: MLflow 3 has usage telemetry.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # By default, MLflow retries for minutes; here reports are retried at the next epoch.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
}
_FLUSH_SECONDS = 30.0
_PAUSE_SECONDS = 2.0
_SLOW = 20


class MLflowTracker:
    """Reports runs to MLflow as children of one parent run.

    Args:
        client: An ``MlflowClient``.
        title: The name of the parent run.
        where: Address of the server, for messages.
        warn: Called once for each outage.
        artifacts: Location of artifacts; None for that of the server.
        nested: Whether runs are children of one run, like those of a study.
        flush_seconds: Time limit of ``close`` for a server that does not respond.
    """

    def __init__(
        self,
        client: Any,
        *,
        title: str,
        where: str,
        warn: Callable[[str], None],
        artifacts: str | None = None,
        nested: bool = True,
        flush_seconds: float | None = None,
    ) -> None:
        self._client, self._title, self._where, self._warn = client, title, where, warn
        self._artifacts, self._flush_seconds = artifacts, flush_seconds or _FLUSH_SECONDS
        self._parent, self._nested = "", nested
        self._experiment = ""
        self._runs: dict[str, str] = {}
        self._tasks: deque[Callable[[], None]] = deque()
        self._something = threading.Condition()
        self._closing = False
        self._down = False
        self._progress = time.monotonic()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @classmethod
    def of(
        cls,
        *,
        title: str,
        uri: str | None,
        beside: Path,
        nested: bool,
        warn: Callable[[str], None],
    ) -> MLflowTracker:
        """Create a tracker for an address; see ``make_tracker``."""
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        import mlflow  # noqa: PLC0415 - after the environment variables are set

        given = uri or os.environ.get("MLFLOW_TRACKING_URI")
        where = given or f"sqlite:///{(beside.parent / 'mlflow.db').absolute()}"
        if "://" not in where or where.startswith("file:"):
            raise OptionError(
                "tracking_uri",
                must="a server or a database, such as http://host:5000 or sqlite:///mlflow.db",
                was=where,
                hint="MLflow no longer supports a folder of files.",
            )
        client = mlflow.MlflowClient(tracking_uri=where)
        artifacts = None
        if not where.startswith("http"):  # a database has no files; MLflow would use ./mlruns
            artifacts = (beside.parent.absolute() / "mlartifacts").as_uri()
        return cls(
            client, title=title, where=without_secret(where), warn=warn, artifacts=artifacts,
            nested=nested,
        )  # fmt: skip

    def begin(self, run: str, recipe: Mapping[str, Any]) -> None:
        """Start a run with its recipe as parameters."""
        texts = {key: value[:500] for key, value in flat(recipe).items()}

        def tell() -> None:
            from mlflow.entities import Param  # noqa: PLC0415 - see above

            own = self._made(run)
            self._client.log_batch(own, params=[Param(*pair) for pair in texts.items()])

        self._ask(tell)

    def epoch(self, run: str, row: Epoch) -> None:
        """Report a row of ``log.csv``, one metric per column."""
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
        """Report the results of a run, upload its files, and end it."""
        now = int(time.time() * 1000)
        there = [path for path in files if path.is_file()]
        kept = {f"result/{name}": value for name, value in numbers.items()}

        def finish() -> None:
            own = self._made(run)
            self._client.set_terminated(own, status="FAILED" if failed else "FINISHED")

        self._ask(lambda: self._metrics(run, kept, 0, now))
        for path in there:
            self._ask(lambda path=path: self._client.log_artifact(self._made(run), str(path)))  # type: ignore[misc]
        self._ask(finish)

    def close(self, files: Sequence[Path] = ()) -> None:
        """End the parent run with its files; wait for pending reports, with a time limit."""
        there = [path for path in files if path.is_file()]

        def finish() -> None:
            if not self._parent:  # there is no started run
                return
            for path in there:
                self._client.log_artifact(self._parent, str(path))
            self._client.set_terminated(self._parent)

        self._ask(finish)
        with self._something:
            self._closing = True
            self._progress = time.monotonic()
            self._something.notify()
        while self._thread.is_alive():
            self._thread.join(0.2)
            # Pending requests may be slow, such as creating a database; failed ones are given up.
            patience = self._flush_seconds * (1 if self._down else _SLOW)
            if time.monotonic() - self._progress > patience:
                break
        if self._tasks:
            self._warn(
                f"{self._where}: {len(self._tasks)} messages could not be delivered; the numbers "
                "are in the files of the run."
            )

    def _begun(self) -> None:
        """Create the experiment and the parent run if necessary."""
        if not self._experiment:
            known = self._client.get_experiment_by_name(EXPERIMENT)
            self._experiment = (
                known.experiment_id
                if known
                else self._client.create_experiment(EXPERIMENT, artifact_location=self._artifacts)
            )
        if self._nested and not self._parent:
            made = self._client.create_run(self._experiment, run_name=self._title)
            self._parent = made.info.run_id

    def _made(self, run: str) -> str:
        """Return the MLflow ID of a run, creating it if necessary."""
        self._begun()
        if run not in self._runs:
            made = self._client.create_run(
                self._experiment,
                run_name=run,
                tags={"mlflow.parentRunId": self._parent} if self._parent else {},
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
        """Send the reports in order; a failed one is retried until the end."""
        while True:
            with self._something:
                while not self._tasks and not self._closing:
                    self._something.wait()
                if not self._tasks:
                    return
                task = self._tasks[0]
            try:
                task()
            except Exception as fault:  # training continues after any error
                if _is_refused(fault):
                    self._warn(f"{self._where}: rejected a message ({_in_a_line(fault)}).")
                    self._tasks.popleft()
                    continue
                if not self._down:
                    self._down = True
                    self._warn(
                        f"{self._where}: does not accept messages ({_in_a_line(fault)}); "
                        "training continues, and delivery is retried."
                    )
                silent = time.monotonic() - self._progress
                if self._closing and silent > self._flush_seconds:
                    return
                time.sleep(min(_PAUSE_SECONDS, self._flush_seconds / 4))
            else:
                self._down = False
                self._progress = time.monotonic()
                self._tasks.popleft()


def _is_refused(fault: Exception) -> bool:
    """Return whether a report would be refused again: an error in the report, not of the server."""
    from mlflow.exceptions import RestException  # noqa: PLC0415 - see above

    if not isinstance(fault, RestException):
        return False
    code: int = fault.get_http_status_code()  # type: ignore[no-untyped-call]
    return 400 <= code < 500


def _in_a_line(fault: Exception) -> str:
    return f"{type(fault).__name__}: {' '.join(str(fault).split())[:160]}"

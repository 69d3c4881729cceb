"""Trackers: the numbers of ``log.csv``, and no training that waits for them or fails with them."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.processes import wait_for
from helpers.relay import passed_on
from pneumoscope.cli import main
from pneumoscope.errors import OptionError
from pneumoscope.runs import rows_of
from pneumoscope.tracking import Tracker, make_tracker
from pneumoscope.training.log import Epoch

pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
# MLflow 3.17 asks SQLAlchemy 2.1 for something that is to go.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


def row(epoch: int) -> Epoch:
    return Epoch(epoch, 0.5 / epoch, 0.7, 0.4 / epoch, 0.8, 0.9, 1.5, 100.0, 0.001)


def events(folder: Path) -> dict[str, dict[int, float]]:
    """Return tag → step → value of the event files in a folder, read as TFRecords."""
    from tensorboardX.proto.event_pb2 import Event  # noqa: PLC0415

    found: dict[str, dict[int, float]] = {}
    for place in sorted(folder.glob("events.out.tfevents.*")):
        data, at = place.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)  # then its checksum, 4 bytes
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def in_mlflow(uri: str) -> dict[str, Any]:
    """Return name → run of all runs that an MLflow server or database has."""
    import mlflow  # noqa: PLC0415

    client = mlflow.MlflowClient(tracking_uri=uri)
    known = client.get_experiment_by_name("pneumoscope")
    if known is None:
        return {}
    return {run.info.run_name: run for run in client.search_runs([known.experiment_id])}


def history(uri: str, run: Any, key: str) -> dict[int, float]:
    import mlflow  # noqa: PLC0415

    client = mlflow.MlflowClient(tracking_uri=uri)
    return {m.step: m.value for m in client.get_metric_history(run.info.run_id, key)}


def test_train_tells_both_what_log_csv_says(phantoms: Path, tmp_path: Path) -> None:
    out, uri = tmp_path / "run", f"sqlite:///{tmp_path / 'tracked.db'}"
    code = main([
        "train", str(phantoms), "--out", str(out), "--image-size", "32", "--filters", "4,8",
        "--epochs", "2", "--val-fraction", "0.2", "--tracker", "mlflow", "--tracker",
        "tensorboard", "--tracking-uri", uri,
    ])  # fmt: skip
    assert code == 0
    log = rows_of(out / "log.csv")
    assert len(log) == 2
    told = events(out / "tensorboard" / "run")
    runs = in_mlflow(uri)
    (child,) = runs.values()
    for name in ("loss", "accuracy", "val_loss", "val_auc", "learning_rate", "seconds"):
        wanted = {int(each["epoch"]): float(each[name]) for each in log}
        assert told[name] == pytest.approx(wanted, rel=1e-6)  # event files hold float32
        assert history(uri, child, name) == pytest.approx(wanted)
    assert child.data.params["model_options.filters"] == "[4, 8]"
    assert "result/test_auc" in told
    assert "result/test_auc" in child.data.metrics
    place = Path(child.info.artifact_uri.removeprefix("file://"))
    assert {"model.onnx", "report.html", "log.csv"} <= {path.name for path in place.iterdir()}
    assert child.info.status == "FINISHED"
    assert not Path("mlruns").exists()


@contextmanager
def server(folder: Path, port: int) -> Iterator[int]:
    """Give the process id of an MLflow server on SQLite, which is ended after the block."""
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--artifacts-destination",
        str(folder / "artifacts"), "--workers", "1",
    ]  # fmt: skip
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **quiet}, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(lambda: _answers(port, process), seconds=150, what="an MLflow server")
        yield process.pid
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the server ended"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tell(tracker: Tracker, run: str, *epochs: int) -> None:
    for epoch in epochs:
        tracker.epoch(run, row(epoch))


def _received(uri: str, run: str) -> bool:
    runs = in_mlflow(uri)
    return run in runs and bool(history(uri, runs[run], "val_loss"))


@pytest.mark.skipif(os.name == "nt", reason="signals differ there")
def test_a_server_that_goes_away_stops_nothing(tmp_path: Path) -> None:
    for name in ("flask", "pandas"):
        pytest.importorskip(name, reason=f"an MLflow server needs {name}")
    port, behind = free_port(), free_port()
    warnings: list[str] = []
    uri = f"http://127.0.0.1:{port}"
    tracker = make_tracker("mlflow", out=tmp_path / "a", title="a", uri=uri, warn=warnings.append)
    report = tmp_path / "report.html"
    report.write_text("<p>found</p>")
    with server(tmp_path, behind), ExitStack() as later:
        with passed_on(port, behind):
            tracker.begin("one", {"seed": 0})
            tell(tracker, "one", 1)
            wait_for(lambda: _received(uri, "one"), seconds=60, what="the first epoch")
        assert warnings == []
        started = time.monotonic()
        tell(tracker, "one", 2, 3)  # nobody is there
        assert time.monotonic() - started < 1
        wait_for(lambda: warnings, seconds=60, what="a warning")
        assert "training continues" in warnings[0]
        later.enter_context(passed_on(port, behind))
        tracker.end("one", {"val_auc": 0.9}, [report])
        tracker.close([report])
        runs = in_mlflow(uri)
        assert history(uri, runs["one"], "val_loss") == pytest.approx({1: 0.4, 2: 0.2, 3: 0.4 / 3})
        assert runs["one"].info.status == "FINISHED"
        assert runs["one"].data.tags["mlflow.parentRunId"] == runs["a"].info.run_id
        assert runs["a"].info.status == "FINISHED"
    assert len(warnings) == 1
    assert len(list((tmp_path / "artifacts").rglob("report.html"))) == 2


def test_a_server_that_is_not_there_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pneumoscope.tracking.mlflow._FLUSH_SECONDS", 2.0)
    warnings: list[str] = []
    uri = f"http://127.0.0.1:{free_port()}"
    tracker = make_tracker("mlflow", out=tmp_path / "a", title="a", uri=uri, warn=warnings.append)
    tracker.begin("one", {"seed": 0})
    tell(tracker, "one", 1, 2)
    tracker.end("one", {}, [])
    started = time.monotonic()
    tracker.close()
    assert time.monotonic() - started < 30
    assert "training continues" in warnings[0]
    assert "could not be delivered" in warnings[-1]


def test_wrong_addresses_are_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'mlflow'"):
        make_tracker("mlfow", out=tmp_path, title="a", uri=None, warn=print)
    with pytest.raises(OptionError, match="a server or a database"):
        make_tracker("mlflow", out=tmp_path, title="a", uri="./mlruns", warn=print)
    with pytest.raises(OptionError, match="omitted with tensorboard"):
        make_tracker("tensorboard", out=tmp_path, title="a", uri="http://x", warn=print)


def test_event_files_that_cannot_be_written_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("in the way")
    warnings: list[str] = []
    tracker = make_tracker("tensorboard", out=tmp_path, title="a", uri=None, warn=warnings.append)
    tracker.begin("one", {})
    tell(tracker, "one", 1)
    tracker.end("one", {}, [])
    tracker.close()
    assert "cannot be written" in warnings[0]

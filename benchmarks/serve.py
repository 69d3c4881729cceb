"""The service: throughput, latency, overload, memory and start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection
from importlib.metadata import requires
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from harness import PNEUMOSCOPE, Outcome, Plan, Row, call, interleaved, medians, say, seconds
from pictures import replicate
from places import python_with
from pneumoscope.parallel import cores
from readers import Reader, reader_of

HERE = Path(__file__).parent
# Packages needed to use the reader of this package in the other servers.
COMMON = tuple(line for line in requires("pneumoscope") or () if "extra ==" not in line)
LITSERVE = "litserve==0.2.19"
BENTOML = "bentoml==1.4.40"
_BUSY, _GOOD = 429, 200
_START_SECONDS = 120


def measure(plan: Plan) -> Outcome:
    """Measure the parts one after the other, each in turns with its comparison."""
    reader = reader_of(plan)
    folder = plan.work / "images"
    replicate(plan.native, folder, count=plan.count(1000, generated=500, quick=16))
    details: dict[str, Any] = {"reader": reader.told}
    rows = [
        *_throughput(plan, reader, folder, details),
        *_latency(plan, reader, folder, details),
        *_overload(plan, reader, folder, details),
        *_memory(plan, reader, folder, details),
        *_start(plan, reader, details),
    ]
    return Outcome(rows, details)


# --- the servers ---


@contextmanager
def ours(reader: Reader, *options: str) -> Iterator[tuple[int, int]]:
    """Run the service; yield its port and process."""
    words = ["serve", "--port", "0", "--model", str(reader.path), "--grace-seconds", "0", *options]
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen([PNEUMOSCOPE, *words], stderr=subprocess.PIPE, text=True)
        )
        stack.callback(process.kill)
        if process.stderr is None:
            raise RuntimeError("the service has no standard error")
        line = process.stderr.readline()
        if '"ready"' not in line:
            raise RuntimeError(f"the service did not start:\n{line}{process.stderr.read()}")
        # Its log is read, as by a log collector.
        stack.enter_context(
            subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        )
        stack.callback(process.kill)  # before waiting for the reader of the log
        yield int(json.loads(line)["address"].rsplit(":", 1)[1]), process.pid
        process.terminate()
        process.wait(60)


@contextmanager
def other(words: Sequence[str | Path], port: int, **environment: str) -> Iterator[int]:
    """Run another server until its port responds; its process group ends with it."""
    log = Path(environment.pop("log"))
    with log.open("w") as said:
        process = subprocess.Popen(
            words,
            stdout=said,
            stderr=said,
            cwd=HERE,
            env={**os.environ, **environment, "PORT": str(port), "WORKERS": str(cores())},
            start_new_session=True,
        )
    try:
        end = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"a server did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _litserve(reader: Reader, kind: str, work: Path) -> Any:
    python = python_with("litserve", (LITSERVE, "python-multipart", *COMMON))
    return other(
        [python, HERE / "serve_litserve.py"],
        _free_port(),
        **_given(reader, kind, work / f"litserve-{kind}.log"),
    )


def _bentoml(reader: Reader, kind: str, work: Path) -> Any:
    python = python_with("bentoml", (BENTOML, *COMMON))
    port = _free_port()
    words = ["-m", "bentoml", "serve", "serve_bentoml:Service", "--host", "127.0.0.1", "--port"]
    return other(
        [python, *words, str(port)],
        port,
        BENTOML_HOME=str(work / "bentoml"),
        BENTOML_DO_NOT_TRACK="True",
        **_given(reader, kind, work / f"bentoml-{kind}.log"),
    )


def _given(reader: Reader, kind: str, log: Path) -> dict[str, str]:
    package = Path(sys.modules["pneumoscope"].__file__ or "").parents[1]
    return {
        "READER": kind,
        "MODEL": str(reader.path),
        "log": str(log),
        "PYTHONPATH": os.pathsep.join((str(package), str(HERE))),
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def load(folder: Path, port: int, *options: str, may_refuse: bool = False) -> dict[str, Any]:
    """Send requests from a separate process; all must be answered.

    Raises:
        RuntimeError: A response was an error.
    """
    facts: dict[str, Any] = json.loads(
        call([sys.executable, HERE / "load.py", folder, "--port", str(port), *options])
    )
    wrong = set(facts["statuses"]) - {_GOOD, *([_BUSY] if may_refuse else [])}
    if wrong:
        raise RuntimeError(f"answers with status {sorted(wrong)}")
    return facts


def _seconds(folder: Path, port: int, *options: str) -> float:
    """Return the seconds from the first request to the last answer, without the client's start."""
    return float(load(folder, port, *options)["seconds"])


# --- measurements ---


def _throughput(plan: Plan, reader: Reader, folder: Path, details: dict[str, Any]) -> Iterator[Row]:
    """Compare eight clients with ``predict`` on the folder, and with other servers."""
    count = sum(1 for _ in folder.rglob("*.jpeg"))
    eight = ("--clients", "8")
    litserve = ("--path", "/predict", "--form", "request")
    bentoml = ("--path", "/predict", "--form", "image")
    rounds = plan.count(3, generated=3, quick=1)
    with ExitStack() as stack:
        port, _ = stack.enter_context(ours(reader))
        words: list[str | Path] = [
            PNEUMOSCOPE,
            "predict",
            folder,
            "--model",
            reader.path,
            "--format",
            "csv",
        ]
        contenders: dict[str, Callable[[], float]] = {
            "ours": partial(_seconds, folder, port, *eight),
            "predict": partial(seconds, partial(call, words)),
        }
        for kind in ("usual", "ours"):
            for name, start, form in (
                ("LitServe", _litserve, litserve),
                ("BentoML", _bentoml, bentoml),
            ):
                port = stack.enter_context(start(reader, kind, plan.work))
                contenders[f"{name}, {kind}"] = partial(_seconds, folder, port, *form, *eight)
        for name, work in contenders.items():  # workers are running, files are in memory
            say(f"before the first round: {name}")
            work()
        taken = interleaved(contenders, rounds=rounds, timed=lambda work: work())
    details["throughput"] = {"images": count, "seconds": taken}
    rates = {name: count / took for name, took in medians(taken).items()}
    mine = f"{rates['ours']:.0f} images/s"
    yield Row(
        f"the service, native-size JPEG from 8 clients ({reader.told})",
        mine,
        f"{rates['predict']:.0f} images/s (`predict` on the folder, the whole process)",
        rates["ours"] / rates["predict"],
        at_least=0.9,
    )
    for kind, told, bound in (
        ("usual", "with Pillow and ONNX Runtime", 1.5),
        ("ours", "with the reader of this package", None),
    ):
        both = {name: rates[f"{name}, {kind}"] for name in ("LitServe", "BentoML")}
        best = max(both, key=lambda name: both[name])
        shown = ", ".join(f"{name} {rate:.0f}" for name, rate in both.items())
        yield Row(
            f"the same against other servers {told}",
            mine,
            f"{both[best]:.0f} images/s ({shown})",
            rates["ours"] / both[best],
            at_least=bound,
        )


_IN_PROCESS = """
import json, statistics, sys, time
from pathlib import Path
from pneumoscope.reader.predictor import Predictor
reader = Predictor(Path(sys.argv[2]))
took = []
for path in sorted(Path(sys.argv[1]).rglob("*.jpeg"))[: int(sys.argv[3])]:
    content = path.read_bytes()
    started = time.perf_counter()
    reader.predict(content)
    took.append(time.perf_counter() - started)
print(json.dumps(took))
"""


def _latency(plan: Plan, reader: Reader, folder: Path, details: dict[str, Any]) -> Iterator[Row]:
    """Compare one client with the reader in its own process, on the same images."""
    count = plan.count(200, generated=100, quick=8)
    found: dict[str, list[float]] = {"service": [], "in process": []}
    with ours(reader) as (port, _):
        for _ in range(plan.count(3, generated=3, quick=1)):
            sent = load(folder, port, "--requests", str(count))
            found["service"].append(median(sent["latencies"]))
            words: list[str | Path] = [sys.executable, "-c", _IN_PROCESS]
            found["in process"].append(
                median(json.loads(call([*words, folder, reader.path, str(count)])))
            )
    details["latency"] = found
    took = medians(found)
    yield Row(
        "the service, one client, median latency",
        f"{took['service'] * 1000:.1f} ms",
        f"{took['in process'] * 1000:.1f} ms (`Predictor().predict(bytes)` in process)",
        took["service"] / took["in process"],
        at_most=1.25,
    )


def _overload(plan: Plan, reader: Reader, folder: Path, details: dict[str, Any]) -> Iterator[Row]:
    """Send from 64 clients, twice the capacity of the queue."""
    count = plan.count(4000, generated=2000, quick=128)
    with ours(reader) as (port, _):
        load(folder, port, "--requests", "16")
        facts = load(folder, port, "--clients", "64", "--requests", str(count), may_refuse=True)
    pairs = list(zip(facts["statuses"], facts["latencies"], strict=True))
    good = [seconds for status, seconds in pairs if status == _GOOD]
    refused = [seconds for status, seconds in pairs if status == _BUSY]
    last = quantiles(good, n=100)[98]
    details["overload"] = {"sent": count, "accepted": len(good), "refused": refused[:100]}
    if len(pairs) != count:
        raise RuntimeError(f"{count - len(pairs)} of {count} requests were lost")
    at_once = f", those after {median(refused) * 1000:.0f} ms" if refused else ""
    yield Row(
        f"the service, 64 clients, 99th percentile ({count} requests, none lost; "
        f"{len(refused) / count:.0%} refused with 429{at_once})",
        f"{last * 1000:.0f} ms",
        f"{median(good) * 1000:.0f} ms (the median of those accepted)",
        last / median(good),
        at_most=3.0,
    )


def _memory(plan: Plan, reader: Reader, folder: Path, details: dict[str, Any]) -> Iterator[Row]:
    """Compare the resident memory after 20,000 requests with that after 2,000."""
    few, many = (plan.count(full, generated=full // 4, quick=full // 500) for full in (2000, 20000))
    with ours(reader) as (port, pid):
        load(folder, port, "--clients", "8", "--requests", str(few))
        before = _resident_mb(pid)
        load(folder, port, "--clients", "8", "--requests", str(many - few))
        after = _resident_mb(pid)
    details["memory"] = {"requests": [few, many], "megabytes": [before, after]}
    yield Row(
        f"resident memory of the service and its processes after {many:,} requests",
        f"{after:.0f} MB",
        f"{before:.0f} MB (after {few:,})",
        after / before,
        at_most=1.05,
    )


def _resident_mb(pid: int) -> float:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    pages = [
        int(Path(f"/proc/{one}/statm").read_text(encoding="ascii").split()[1])
        for one in (str(pid), *children)
    ]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _start(plan: Plan, reader: Reader, details: dict[str, Any]) -> Iterator[Row]:
    """Compare the time until the service is ready with that of two imports."""

    def until_ready() -> float:
        started = time.perf_counter()
        with ours(reader):
            return time.perf_counter() - started

    imports = [sys.executable, "-c", "import numpy, onnxruntime"]
    found: dict[str, list[float]] = {"ready": [], "imports": []}
    for _ in range(plan.count(9, generated=9, quick=1)):
        found["ready"].append(until_ready())
        started = time.perf_counter()
        call(imports)
        found["imports"].append(time.perf_counter() - started)
    say(f"ready after {', '.join(f'{value:.2f} s' for value in found['ready'])}")
    details["start"] = found
    took = medians(found)
    yield Row(
        "the service, from its start until it is ready (its first process reads)",
        f"{took['ready'] * 1000:.0f} ms",
        f"{took['imports'] * 1000:.0f} ms (importing numpy and onnxruntime, nothing else)",
        took["ready"] / took["imports"],
        at_most=2.5,
    )

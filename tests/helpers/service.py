"""A service in a separate process, as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from helpers.warm import Warm

READY_SECONDS = 90


class Running:
    """A running service.

    Attributes:
        process: The process.
        port: The port that it listens on.
        log: The parsed lines of its log.
    """

    def __init__(self, process: subprocess.Popen[str] | Warm) -> None:
        self.process = process
        self.port = 0
        self.log: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.raw.append(line)
                if line.startswith("{"):
                    self.log.append(json.loads(line))

    def close(self) -> None:
        """Read its last lines, and close the pipe.

        The processes of a killed service end a little later and keep the pipe open until then. The
        reading thread closes it, since no other thread may do so while it reads.
        """
        self._reader.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line["event"] == name]

    def wait_for(self, event: str, *, count: int = 1, seconds: float = READY_SECONDS) -> None:
        def seen() -> bool:
            assert self.process.poll() is None or len(self.events(event)) >= count, self.raw
            return len(self.events(event)) >= count

        wait_until(seen, seconds=seconds)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: float = 60,
    ) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def predict(self, content: bytes, query: str = "") -> Answer:
        return self.ask("POST", f"/v1/predictions{query}", content)

    @contextmanager
    def connected(self, *, timeout: float = 30) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            yield connection

    def metric(self, line: str) -> float:
        """Return the value of a metric, 0 if it has none yet."""
        for found in self.ask("GET", "/metrics").body.decode().splitlines():
            if found.startswith(f"{line} "):
                return float(found.rsplit(" ", 1)[1])
        return 0.0

    def workers(self) -> list[int]:
        """Return the processes that read images."""
        return children(self.process.pid)

    def stop(self, number: int = signal.SIGTERM, *, seconds: float = 60) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)


class Answer:
    """A complete response."""

    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    def json(self) -> Any:
        return json.loads(self.body)


@contextmanager
def running(
    *options: str, env: dict[str, str] | None = None, pass_fds: Sequence[int] = (), **more: Any
) -> Iterator[Running]:
    """Run a service on a free port during the block, which starts when all processes are ready."""
    port = () if "--fd" in options else ("--port", "0")
    process = subprocess.Popen(
        [sys.executable, "-m", "pneumoscope", "serve", *port, *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
        pass_fds=pass_fds,
        **more,
    )
    service = Running(process)
    try:
        service.wait_for("ready")
        said = service.events("ready")[0]
        service.port = int(said["address"].rsplit(":", 1)[1])
        service.wait_for("worker_started", count=said["workers"] - 1)
        yield service
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        service.close()


def wait_until(true: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait for a condition; fail if it is not met within this time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(word) for word in found.split()]


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and its children, in MiB."""
    total = 0.0
    for one in (pid, *children(pid)):
        for line in Path(f"/proc/{one}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS"):
                total += int(line.split()[1]) / 1024
    return total

"""Ray with workers that are killed: worker, node and driver.

The driver that is killed has a cluster of its own, which ends with it; the others share one.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import pytest

from helpers.cluster import rows
from helpers.processes import LOOPBACK, below, command_of, kill, listening, wait_for
from pneumoscope.cli import main

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra 'ray')"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are in /proc"),
]

START_SECONDS = 240.0  # a cluster starts in 11 s on an idle machine
LOOPBACK_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@pytest.fixture(scope="module")
def listed(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a list of 1,001 images, among them one that cannot be read."""
    images = sorted(str(path) for path in phantoms.rglob("*.jpeg"))
    names = [images[number % len(images)] for number in range(1000)]
    place = tmp_path_factory.mktemp("listed") / "list.txt"
    place.write_text("\n".join([*names[:30], str(phantoms / "gone.png"), *names[30:]]))
    return place


@pytest.fixture(scope="module")
def expected(listed: Path) -> Path:
    """Return the result of one machine."""
    out = listed.with_name("one.parquet")
    assert main(["predict", "--paths-from", str(listed), "--out", str(out)]) == 3
    return out


def _command(listed: Path, out: Path, *more: str) -> list[str]:
    words = ["predict", "--paths-from", str(listed), "--out", str(out), "--engine", "ray"]
    return [sys.executable, "-m", "pneumoscope", *words, "--shard-size", "20", *more]


def _ended(driver: subprocess.Popen[str], out: Path, expected: Path) -> str:
    _, told = driver.communicate(timeout=START_SECONDS)
    assert driver.returncode == 3, told
    assert rows(out) == rows(expected)
    summary = expected.with_name(f"{expected.name}.summary.json")
    assert json.loads((out / "_summary.json").read_text()) == json.loads(summary.read_text())
    return told


def _started(command: list[str], variables: dict[str, str] | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, **(variables or {})}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def _buried(driver: subprocess.Popen[str]) -> None:
    if driver.poll() is None:
        kill(driver.pid)
        driver.communicate()


def _parts(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}


def _readers(pid: int) -> list[int]:
    return [each for each in below(pid) if "ray::Actor" in command_of(each)]


_NODES = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster()
small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
cluster.add_node(**small)
second = cluster.add_node(**small)
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
    print("killed", flush=True)
cluster.shutdown()
"""


class _Nodes:
    """A cluster of two nodes on this machine, of one processor each."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _NODES],
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **LOOPBACK_ALONE},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.pid = self._process.pid

    @cached_property
    def address(self) -> str:
        """Where it is, once it has started."""
        return self._line()

    def kill_the_second(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("kill\n")
        self._process.stdin.flush()
        assert self._line() == "killed"

    def end(self) -> None:
        assert self.address
        cluster = below(self.pid)
        self._process.communicate(timeout=60)
        kill(*cluster)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def nodes() -> Iterator[_Nodes]:
    """Return a cluster, which starts beside what the first test does."""
    cluster = _Nodes()
    yield cluster
    cluster.end()


def test_a_killed_worker_and_a_killed_driver_lose_and_repeat_nothing(
    nodes: _Nodes, listed: Path, expected: Path, tmp_path: Path
) -> None:
    """Another cluster goes on with what the driver began."""
    out = tmp_path / "out"
    before = listening()
    with ExitStack() as stack:
        driver = _started(_command(listed, out, "--workers", "2"))
        stack.callback(_buried, driver)
        wait_for(lambda: _parts(out), seconds=START_SECONDS, what="a part")
        assert {address for address, _ in listening() - before} <= LOOPBACK
        assert any("gcs_server" in command_of(pid) for pid in below(driver.pid))
        at_work = _readers(driver.pid)
        assert len(at_work) == 2
        kill(at_work[0])
        count = len(_parts(out))
        wait_for(lambda: len(_parts(out)) > count + 2, seconds=START_SECONDS, what="more parts")
        cluster = below(driver.pid)
        kill(driver.pid)
        driver.communicate()
    there = _parts(out)
    assert len(there) < 51
    wait_for(  # Ray's agents look once a minute whether their cluster is there
        lambda: not [pid for pid in cluster if "Agent" not in command_of(pid) and command_of(pid)],
        seconds=60,
        what="the end of a cluster whose driver was killed",
    )
    more = ["--address", nodes.address, "--workers", "2", "--resume"]
    told = _ended(_started(_command(listed, out, *more), LOOPBACK_ALONE), out, expected)
    assert there.items() <= _parts(out).items()
    assert "read in this run" in told
    wait_for(lambda: not _readers(nodes.pid), seconds=60, what="the end of the actors")


def test_a_node_that_is_killed_loses_and_repeats_nothing(
    nodes: _Nodes, listed: Path, expected: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    more = ["--address", nodes.address, "--workers", "2"]
    with ExitStack() as stack:
        driver = _started(_command(listed, out, *more), LOOPBACK_ALONE)
        stack.callback(_buried, driver)
        wait_for(lambda: len(_readers(nodes.pid)) == 2, seconds=START_SECONDS, what="two workers")
        wait_for(lambda: _parts(out), seconds=START_SECONDS, what="a part")
        nodes.kill_the_second()
        assert len(_parts(out)) < 51
        _ended(driver, out, expected)


def test_an_address_without_a_cluster_says_so(listed: Path, tmp_path: Path) -> None:
    address = f"127.0.0.1:{_free_port()}"
    done = subprocess.run(
        _command(listed, tmp_path / "out", "--address", address),
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    assert done.returncode == 1
    assert f"{address}: no Ray cluster found" in done.stderr

"""Ray with killed workers, nodes and drivers; the commands of the how-to page.

The driver that is killed has a cluster of its own, which ends with it. The others share one of two
nodes, which the page's commands start and stop.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from helpers.cluster import DEADLY, rows
from helpers.object_store import BUCKET, object_store
from helpers.processes import LOOPBACK, below, command_of, kill, listening, wait_for
from helpers.ray_machines import RayMachines, free_port
from pneumoscope.cli import main

if any(find_spec(name) is None for name in ("ray", "moto", "s3fs")):
    pytest.skip("Ray, moto and s3fs are not installed (extra 'dev')", allow_module_level=True)

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are in /proc"),
    # Packages of moto and s3fs use what Python will drop some day.
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning"),
]

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
SECONDS = 240.0  # a cluster starts in 11 s on an idle machine
MANIFEST = "manifest.parquet"


def _block(part: str) -> str:
    """Return the first block of the page that has something in it."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return next(str(block) for block in blocks if part in block)


EXPORT, TOKEN, HEAD, OTHER, PREDICT, STOP = (
    line.partition("  #")[0].strip() for line in _block("ray start --head --port").splitlines()
)


@pytest.fixture(scope="module")
def folder(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a manifest of 1,001 images, among them one that cannot be read."""
    images = sorted(str(path) for path in phantoms.rglob("*.jpeg"))
    names = [images[number % len(images)] for number in range(1000)]
    names.insert(30, str(phantoms / "gone.png"))
    place = tmp_path_factory.mktemp("listed")
    pyarrow.parquet.write_table(pyarrow.table({"path": names}), place / MANIFEST)
    return place


@pytest.fixture(scope="module")
def expected(folder: Path) -> Path:
    """Return the result of one machine."""
    listed, out = folder / "list.txt", folder / "one.parquet"
    names = pyarrow.parquet.read_table(folder / MANIFEST).column("path").to_pylist()
    listed.write_text("\n".join(names))
    assert main(["predict", "--paths-from", str(listed), "--out", str(out)]) == 3
    return out


@pytest.fixture(scope="module")
def machines(phantoms: Path) -> Iterator[RayMachines]:
    """Return machines that reach an object store, with a head that the page's commands start."""
    with object_store() as store, ExitStack() as stack:
        for number, image in enumerate(sorted(phantoms.rglob("*.jpeg"))[:12]):
            store.pipe(f"{BUCKET}/2024/{number:02d}.jpeg", image.read_bytes())
        those = RayMachines()
        stack.callback(those.end)
        those.begin(f"{EXPORT}\n{TOKEN}\n{HEAD}", "head")
        yield those


@pytest.fixture
def cluster(machines: RayMachines) -> RayMachines:
    """Return the machines when both are part of the cluster, or about to be."""
    if not machines.has("other"):
        wait_for(machines.answers, seconds=SECONDS, what="the head of the cluster")
        machines.begin(f"{EXPORT}\n{OTHER}", "other")
    wait_for(lambda: not machines.actors(), seconds=SECONDS, what="the end of earlier actors")
    return machines


def _said(process: subprocess.Popen[str], code: int = 0) -> str:
    _, told = process.communicate(timeout=SECONDS)
    assert process.returncode == code, told
    return told


def _is_expected(out: Path, expected: Path) -> None:
    assert rows(out) == rows(expected)
    summary = expected.with_name(f"{expected.name}.summary.json")
    assert json.loads((out / "_summary.json").read_text()) == json.loads(summary.read_text())


def _buried(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        kill(*below(process.pid), process.pid)
        process.communicate()


def _parts(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}


def _scheduled(machines: RayMachines) -> None:
    """Put what a job for Slurm calls on the path: it finds a cluster that is there.

    Instead of ``ray``, the words that it would be called with are written down.
    """
    machines.program("hostname", "#!/bin/sh\necho 127.0.0.1\n")
    machines.program("sleep", "#!/bin/sh\n")
    machines.program("srun", '#!/bin/sh\necho "$@" >> srun.log\n')


def _actors(driver: int) -> list[int]:
    """Return the workers that read, among the processes below a driver."""
    return [pid for pid in below(driver) if "ray::Actor" in command_of(pid)]


def test_a_killed_worker_and_a_killed_driver_lose_and_repeat_nothing(
    machines: RayMachines, folder: Path, expected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's job for Slurm goes on with what the driver began."""
    monkeypatch.chdir(folder)
    out = folder / "results"
    shutil.rmtree(out, ignore_errors=True)  # of a first attempt
    with ExitStack() as stack:
        words = f"{MANIFEST} --out results/ --engine ray --workers 2 --shard-size 20"
        driver = machines.shell(f"exec {sys.executable} -m pneumoscope predict {words}")
        stack.callback(_buried, driver)
        wait_for(lambda: _parts(out), seconds=SECONDS, what="a part")
        cluster = below(driver.pid)
        addresses = {address for address, _ in listening(cluster)}
        assert addresses
        assert addresses <= LOOPBACK
        assert any("gcs_server" in command_of(pid) for pid in cluster)
        wait_for(lambda: len(_actors(driver.pid)) == 2, seconds=SECONDS, what="both workers")
        kill(_actors(driver.pid)[0])
        count = len(_parts(out))
        wait_for(lambda: len(_parts(out)) > count + 2, seconds=SECONDS, what="more parts")
        cluster = below(driver.pid)
        kill(driver.pid)
        driver.communicate()
    there = _parts(out)
    assert len(there) < 51
    wait_for(machines.answers, seconds=SECONDS, what="the head of the cluster")
    _scheduled(machines)
    more = {"SLURMD_NODENAME": "one", "MORE_WORDS": "--shard-size 20"}
    job = machines.shell(_block("#SBATCH --nodes=8"), **more)
    assert "read in this run" in _said(job, 3)
    other, head = sorted(
        line.partition(" ray start ")[2] for line in (folder / "srun.log").read_text().splitlines()
    )
    port = machines.address.rpartition(":")[2]
    # The options with which the cluster of these tests was started
    assert head == f"--head --node-ip-address=127.0.0.1 --port={port} --block"
    assert other == f"--address={machines.address} --block"
    _is_expected(out, expected)
    assert there.items() <= _parts(out).items()
    wait_for(  # Ray's agents look once a minute whether their cluster is there
        lambda: not [pid for pid in cluster if "Agent" not in command_of(pid) and command_of(pid)],
        seconds=SECONDS,
        what="the end of a cluster whose driver was killed",
    )


def test_the_commands_of_the_page_read_a_bucket_with_two_machines(
    cluster: RayMachines, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _said(cluster.shell(f"{EXPORT}\n{PREDICT}"))
    words = ["--out", "one", "--engine", "processes", "--workers", "1"]
    assert main(["predict", f"s3://{BUCKET}/2024", *words]) == 0
    found = rows(tmp_path / "results")
    assert found == rows(tmp_path / "one")
    assert [row["path"] for row in found] == [f"s3://{BUCKET}/2024/{n:02d}.jpeg" for n in range(12)]


_DEADLY = """
import sys
from functools import partial
from pathlib import Path
from helpers.cluster import HarmedReader
from pneumoscope.cluster.ray_engine import RayEngine
from pneumoscope.cluster.run import read_archive
from pneumoscope.reader.predictor import Predictor

archive, out, address = sys.argv[1:]
engine = partial(RayEngine, address=address, workers=2, make=HarmedReader)
outcome = read_archive(
    [archive], Path(out), predictor=Predictor(), engine=engine, shard_size=4
)
assert (outcome.deaths, outcome.given_up, outcome.tally.images) == (3, 1, 12), outcome
"""


def test_a_shard_that_kills_three_workers_becomes_rows(
    cluster: RayMachines, phantoms: Path, tmp_path: Path
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    for number, image in enumerate(sorted(phantoms.rglob("*.jpeg"))[:12]):
        name = f"{number:02d}{DEADLY if number == 5 else ''}.jpeg"
        (archive / name).symlink_to(image)
    script = tmp_path / "read.py"
    script.write_text(_DEADLY)
    words = f"{script} {archive} {out} {cluster.address}"
    _said(cluster.shell(f"{EXPORT}\nexec python {words}"))
    found = rows(out)
    assert [Path(row["path"]).name for row in found] == sorted(p.name for p in archive.iterdir())
    lost = {n: row["error"] for n, row in enumerate(found) if row["conclusion"] == "ERROR"}
    assert [*lost] == [3, 4, 5, 6]
    assert all("3 workers ended while reading the 4 images of shard 1" in e for e in lost.values())


def test_a_node_that_is_killed_loses_and_repeats_nothing(
    cluster: RayMachines, folder: Path, expected: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = f"{folder / MANIFEST} --out {out} --engine ray --shard-size 20 --workers 2"
    with ExitStack() as stack:
        command = f"pneumoscope predict {words} --address {cluster.address}"
        driver = cluster.shell(f"{EXPORT}\nexec {command}")
        stack.callback(_buried, driver)
        wait_for(lambda: len(cluster.actors()) == 2, seconds=SECONDS, what="two workers")
        wait_for(lambda: _parts(out), seconds=SECONDS, what="a part")
        cluster.switch_off("other")
        assert len(_parts(out)) < 51
        _said(driver, 3)
    _is_expected(out, expected)


def test_the_command_of_the_page_stops_a_machine(cluster: RayMachines) -> None:
    """But for the command that waits for the others, with the option ``--block`` of these tests."""
    processes = cluster.processes("head")
    started = [pid for pid in processes if "ray start" not in command_of(pid)]
    assert any("gcs_server" in command_of(pid) for pid in started)
    _said(cluster.shell(f"{EXPORT}\n{STOP}"))
    wait_for(lambda: not any(map(command_of, started)), seconds=SECONDS, what="the end of all")


def test_an_address_without_a_cluster_says_so(folder: Path, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    words = ["predict", str(folder / MANIFEST), "--out", str(tmp_path / "out"), "--engine", "ray"]
    done = subprocess.run(
        [sys.executable, "-m", "pneumoscope", *words, "--address", address],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 1
    assert f"{address}: no Ray cluster found" in done.stderr

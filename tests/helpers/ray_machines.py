"""Simulated machines of a Ray cluster, all on this machine.

``ray`` and ``pneumoscope`` are in a folder of the test. Ray then only listens on the loopback
interface, uses a separate folder and little memory; ``ray stop`` only ends processes with the same
``MACHINE``, not those of other tests.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from helpers.processes import below, command_of, kill

_RAY = """#!{python}
import os, sys, time
from pathlib import Path
import ray
import psutil  # Ray brings one
from ray._private import services
from ray.scripts.scripts import main

services.node_ip_address_from_perspective = lambda *_: "127.0.0.1"
get_node = services.get_node


def patient(*words):
    # A node that is not known after 30 seconds ends, which a machine under load may need.
    end = time.monotonic() + 200
    while True:
        try:
            return get_node(*words)
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


services.get_node = patient
machine = Path({folder!r}) / os.environ.get("MACHINE", "head")
if sys.argv[1] == "start":
    # Two nodes of one machine would give their workers the same ports; with 0 the system chooses.
    sys.argv += ["--num-cpus=1", "--object-store-memory=83886080", "--node-ip-address=127.0.0.1"]
    sys.argv += ["--include-log-monitor=false"]  # a process that no test needs
    sys.argv += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
    if "--head" in sys.argv:
        sys.argv += ["--temp-dir={folder}/ray", "--include-dashboard=false"]
    if "--block" not in sys.argv:
        sys.argv.append("--block")  # so that all processes descend from this one
    machine.write_text(str(os.getpid()))
elif sys.argv[1] == "stop":
    node = psutil.Process(int(machine.read_text()))
    psutil.process_iter = lambda *_: [node, *node.children(recursive=True)]
main()
"""

_PYTHON = """#!/bin/sh
RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0  # this process, too, has the address 127.0.0.1
export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER
exec {python} "$@" $MORE_WORDS
"""

_PNEUMOSCOPE = """#!/bin/sh
exec python -m pneumoscope "$@"
"""


class RayMachines:
    """Runs the lines of a page as in the shells of several machines.

    Attributes:
        address: Address of the head.
        folder: Home of the user, the programs, and Ray's files; a short path, required by sockets.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))
        self.address = f"127.0.0.1:{free_port()}"
        self._own = {
            "HOME": str(self.folder),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "RAY_prestart_worker_first_driver": "0",  # no test waits for workers of no task
        }
        self._started: dict[str, subprocess.Popen[str]] = {}
        for name, text in (("ray", _RAY), ("python", _PYTHON), ("pneumoscope", _PNEUMOSCOPE)):
            self.program(name, text.format(python=sys.executable, folder=str(self.folder)))

    def program(self, name: str, text: str) -> None:
        """Put a program on the path."""
        place = self.folder / "bin" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(self.adapted(text))
        place.chmod(0o755)

    def adapted(self, text: str) -> str:
        """Return text of the page with the address of this head."""
        host, _, port = self.address.partition(":")
        return text.replace("HEAD", host).replace("6379", port)

    def shell(self, script: str, **variables: str) -> subprocess.Popen[str]:
        """Start a script on the head; its standard error can be read."""
        return self._begun(script, "head", subprocess.PIPE, **variables)

    def begin(self, script: str, machine: str) -> None:
        """Start a long-running command, such as a node of the cluster."""
        with self._log(machine).open("w") as log:
            self._started[machine] = self._begun(script, machine, log)

    def log(self, machine: str) -> str:
        """Return the output of commands started by ``begin``."""
        return self._log(machine).read_text()

    def has(self, machine: str) -> bool:
        """Return whether a command was started on a machine."""
        return machine in self._started

    def answers(self) -> bool:
        """Return whether something listens at the address of the head."""
        host, _, port = self.address.partition(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        return True

    def processes(self, machine: str) -> list[int]:
        """Return the process IDs of a machine, children first."""
        started = self._started[machine]
        return [*below(started.pid), started.pid] if started.poll() is None else []

    def actors(self) -> list[int]:
        """Return the process IDs of the workers on all machines."""
        pids = [pid for machine in self._started for pid in self.processes(machine)]
        return [pid for pid in pids if "ray::Actor" in command_of(pid)]

    def switch_off(self, machine: str) -> None:
        """Kill all processes of a machine."""
        kill(*self.processes(machine))
        self._started[machine].wait()

    def end(self) -> None:
        """Kill remaining processes, and remove the folder."""
        for machine in self._started:
            self.switch_off(machine)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _log(self, machine: str) -> Path:
        return self.folder / f"{machine}.log"

    def _begun(
        self, script: str, machine: str, errors: int | IO[str], **variables: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["/bin/bash", "-c", self.adapted(script)],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            text=True,
            env={**os.environ, **self._own, "MACHINE": machine, **variables},
        )


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])

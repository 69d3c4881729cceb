"""The how-to page's ways to start a training on two machines, each with a process on this one."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import yaml

from helpers.processes import below, kill

SECONDS = 300.0
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md"

_PROGRAMS = {
    "pneumoscope": 'exec "{python}" -m pneumoscope "$@" --accelerator cpu\n',
    "torchrun": 'exec "{python}" -m torch.distributed.run "$@" --accelerator cpu\n',
    # A task on each of two machines, and the exit code of the worse
    "srun": (
        "for rank in 0 1; do\n"
        '  SLURM_PROCID=$rank SLURM_NODEID=$rank SLURM_LOCALID=0 "$@" > said.$rank 2>&1 &\n'
        "  echo $! > pid.$rank\n"
        "done\n"
        "worst=0\n"
        "for rank in 0 1; do\n"
        "  wait $(cat pid.$rank) || worst=$?\n"
        "done\n"
        "exit $worst\n"
    ),
}


def _block(part: str) -> str:
    blocks = re.findall(r"^```\w*\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return next(str(block) for block in blocks if part in block)


class Machines:
    """Two machines with one process each, as far as the processes can tell.

    Args:
        folder: Where the commands run: it gets ``chest_xray``, ``runs`` and the programs.
        data: The images.
    """

    def __init__(self, folder: Path, data: Path) -> None:
        self.run = folder / "runs" / "large"
        self.run.parent.mkdir(parents=True)
        self._folder = folder
        self._started: list[subprocess.Popen[str]] = []
        (folder / "chest_xray").symlink_to(data)
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self._port = str(one.getsockname()[1])
        for name, text in _PROGRAMS.items():
            place = folder / "bin" / name
            place.parent.mkdir(exist_ok=True)
            place.write_text("#!/bin/sh\n" + text.format(python=sys.executable))
            place.chmod(0o755)

    def slurm(self) -> None:
        """Submit the page's job."""
        counts = {"SLURM_NTASKS": "2", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "1"}
        self._begin(_block("#SBATCH --nodes=2"), **counts, SLURM_JOB_ID="7", MASTER_PORT=self._port)

    def torchrun(self) -> None:
        """Start the page's command on each machine."""
        for _ in range(2):
            self._begin(
                _block("torchrun --nnodes").replace("HEAD:29500", f"127.0.0.1:{self._port}")
            )

    def kubernetes(self, others: Path) -> None:
        """Start the pods of the page's job; the second one has other images.

        The operator says by variables what torchrun has to know.
        """
        job = yaml.safe_load(_block("kind: PyTorchJob"))["spec"]
        master, worker = (job["pytorchReplicaSpecs"][name] for name in ("Master", "Worker"))
        assert master == worker
        (container,) = master["template"]["spec"]["containers"]
        command = " ".join([*container["command"], *container["args"]])
        for rank, data in enumerate((self._folder / "chest_xray", others)):
            told = {"NNODES": "2", "NPROC_PER_NODE": "1", "NODE_RANK": str(rank)}
            told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": self._port}
            here = command.replace("/data/chest_xray", str(data)).replace("/runs", "runs")
            self._begin(here, **{f"PET_{name}": value for name, value in told.items()})

    def kill_a_task(self) -> None:
        """Kill the second task of the job."""
        kill(int((self._folder / "pid.1").read_text()))

    def tasks(self) -> list[str]:
        """Return what each task of the job said."""
        return [(self._folder / f"said.{rank}").read_text() for rank in range(2)]

    def any_ended(self) -> bool:
        """Return whether a command has ended."""
        return any(process.poll() is not None for process in self._started)

    def end(self) -> tuple[list[int], list[str]]:
        """Return exit code and output of each command."""
        said = [process.communicate(timeout=SECONDS)[0] for process in self._started]
        codes = [process.returncode for process in self._started]
        self._started.clear()
        return codes, said

    def bury(self) -> None:
        """Kill what still runs."""
        for process in self._started:
            kill(*below(process.pid), process.pid)
            process.communicate()
        self._started.clear()

    def _begin(self, script: str, **variables: str) -> None:
        script = script.replace("--preset transfer", "--config recipe.yaml")
        script = script.replace("--devices 4", "--devices 1").replace(
            "--nproc-per-node 4", "--nproc-per-node 1"
        )
        path = f"{self._folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        cache = "export PNEUMOSCOPE_CACHE=/scratch/shared/pneumoscope\n"  # tests have their own
        self._started.append(
            subprocess.Popen(
                ["/bin/bash", "-c", script.replace(cache, "")],
                cwd=self._folder,
                env={**os.environ, **own, **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )

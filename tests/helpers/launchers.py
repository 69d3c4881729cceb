"""The how-to page's ways to start a training on two machines, each with a process on this one."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from torch.distributed.run import config_from_args, parse_args

from helpers.processes import below, kill
from helpers.warm import Warm

SECONDS = 300.0
_AS_FORK = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from helpers.warm import run_warm
unbuffered, as_module, module, *words = sys.argv[1:]
assert (unbuffered, as_module) == ("-u", "-m")
code, out, errors = run_warm(module, *words)
print(out, errors, sep="")
sys.exit(code)
"""
_PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md"


class Machines:
    """Two machines with one process each, as far as the processes can tell.

    The current folder has the images as ``chest_xray``, and ``recipe.yaml``.

    Args:
        module: The module to run, as for ``python -m``.
        words: Arguments of each process.
        variables: Environment variables set by the launcher for each process.
    """

    def __init__(
        self,
        module: str,
        words: Sequence[Sequence[str]],
        variables: Sequence[Mapping[str, str]] = ({}, {}),
    ) -> None:
        self.processes = [
            Warm(module, *own, "--accelerator", "cpu", variables=told)
            for own, told in zip(words, variables, strict=True)
        ]

    def end(self) -> tuple[list[int | None], list[str]]:
        """Return exit code and output of each."""
        said = ["".join(process.communicate(timeout=SECONDS)) for process in self.processes]
        return [process.returncode for process in self.processes], said

    def bury(self) -> None:
        """Kill running processes."""
        for process in self.processes:
            if process.returncode is None:
                kill(*below(process.pid), process.pid)
                process.communicate()


def by_slurm(programs: Path) -> Machines:
    """Submit the page's job; ``srun`` starts a task on each machine.

    Args:
        programs: A folder for it.
    """
    asked = programs / "asked"
    srun = programs / "srun"
    srun.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{asked}"\n')
    srun.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    script = _of_page("#SBATCH --nodes=2")
    subprocess.run(["/bin/bash", "-ec", script], check=True, env={**os.environ, "PATH": path})
    program, *words = asked.read_text().splitlines()
    assert program == "pneumoscope"
    counts = {"SLURM_NTASKS": "2", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "1"}
    common = {**counts, "SLURM_JOB_ID": "7", "MASTER_PORT": _free_port()}
    tasks = [{"SLURM_PROCID": rank, "SLURM_NODEID": rank, "SLURM_LOCALID": "0"} for rank in "01"]
    return Machines(program, [words] * 2, [{**common, **task} for task in tasks])


def by_torchrun(folder: Path) -> Machines:
    """Start the page's command on each machine.

    Args:
        folder: A folder for what torchrun starts instead of Python: a program that runs the module
            in a fork of ``helpers.warm``.
    """
    python = folder / "python"
    python.write_text(f"#!{sys.executable}\n{_AS_FORK}")
    python.chmod(0o755)
    command = _of_page("torchrun --nnodes").replace("HEAD:29500", f"127.0.0.1:{_free_port()}")
    program, *words = shlex.split(command.replace("\\\n", " "))
    assert program == "torchrun"
    return Machines("torch.distributed.run", [words] * 2, [{"PYTHON_EXEC": str(python)}] * 2)


def by_kubernetes(*images: Path) -> Machines:
    """Start what torchrun starts in the pods of the page's job, each with images of its own."""
    job = yaml.safe_load(_of_page("kind: PyTorchJob"))["spec"]
    master, worker = (job["pytorchReplicaSpecs"][name] for name in ("Master", "Worker"))
    assert master == worker
    (container,) = master["template"]["spec"]["containers"]
    called: list[str] = [*container["command"], *container["args"]]
    assert called[0] == "torchrun"
    told = {"PET_NNODES": "2", "PET_MASTER_ADDR": "127.0.0.1"}
    told["PET_NPROC_PER_NODE"] = job["nprocPerNode"]
    with pytest.MonkeyPatch.context() as patch:  # the operator sets them
        for name, value in told.items():
            patch.setenv(name, value)
        settings, _, started = config_from_args(parse_args(called[1:]))  # type: ignore[no-untyped-call]
    assert (settings.min_nodes, settings.max_nodes, settings.nproc_per_node) == (2, 2, 1)
    place = started.index("-m") + 1
    words = [word.replace("/runs", "runs") for word in started[place + 1 :]]
    common = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port()}
    return Machines(
        started[place],
        [[str(own) if word == "/data/chest_xray" else word for word in words] for own in images],
        [{**common, "RANK": rank, "GROUP_RANK": rank} for rank in "01"],
    )


def _of_page(part: str) -> str:
    """Return the page's block that contains a text, for one process on each machine."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", _PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    block = next(str(block) for block in blocks if part in block)
    changes = {
        "--devices 4": "--devices 1",
        '--devices, "4"': '--devices, "1"',
        "--nproc-per-node 4": "--nproc-per-node 1",
        'nprocPerNode: "4"': 'nprocPerNode: "1"',
        "--preset transfer": "--config recipe.yaml",
        "--preset, transfer": "--config, recipe.yaml",
    }
    for there, here in changes.items():
        block = block.replace(there, here)
    return block


def _free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])

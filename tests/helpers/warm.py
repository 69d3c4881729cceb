"""Programs that train, in processes of their own that need not load torch and Lightning.

Loading them takes six seconds of processor time, and the first export two more. One process does
it, and each program runs in a fork of it: it has its own memory, signals, standard streams, working
directory and environment, and is killed as any other process. That training works in a process
that starts from nothing is for ``test_privacy``, and for the tests of runs on several devices.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

import pytest

_FORKS = multiprocessing.get_context("forkserver")
_LOADED = "helpers.loaded"


class Warm:
    """A running program; its standard streams are text.

    Attributes:
        stdout: What it prints, as it comes.
        returncode: How it ended, minus the signal that ended it; None until that was asked for.
    """

    def __init__(
        self,
        program: str | Path,
        *words: str | Path,
        drawn: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            program: The path of a script, or the name of a module as for ``python -m``.
            *words: Its arguments.
            drawn: Whether its pages have drawings. They take most of the time of a tiny run.
            variables: What its environment has beside that of the tests.
        """
        _ensure_server()
        receiver, sender = _FORKS.Pipe(duplex=False)
        self._errors = tempfile.NamedTemporaryFile("r", encoding="utf-8")  # noqa: SIM115 - kept
        self.returncode: int | None = None
        environment = {**os.environ, **(variables or {})}
        self._process = _FORKS.Process(
            target=_run,
            args=(program, words, sender, self._errors.name, environment, Path.cwd(), drawn),
        )
        self._process.start()
        sender.close()
        self.stdout: IO[str] = os.fdopen(os.dup(receiver.fileno()), encoding="utf-8")
        receiver.close()

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None
        return pid

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; return the rest of what it printed, and what it said of errors."""
        overdue = threading.Timer(timeout, self._process.kill) if timeout else None
        if overdue:
            overdue.start()
        with self.stdout, self._errors:
            out = self.stdout.read()
            self._process.join()
            errors = self._errors.read()
        if overdue:
            assert overdue.is_alive(), f"it did not end in {timeout} seconds: {out}{errors}"
            overdue.cancel()
        self.returncode = self._process.exitcode
        return out, errors


class WarmChild(Warm):
    """Takes the place of ``subprocess.Popen`` for ``python -m MODULE``, its output in a file."""

    def __init__(self, command: list[str], *, env: dict[str, str], stdout: IO[bytes], **_: object):
        """Start it; ``stderr`` goes where ``stdout`` goes."""
        module, *words = command[2:]
        super().__init__(module, *words, variables=env)
        self._told = stdout

    def wait(self) -> int | None:
        self._told.write("".join(self.communicate()).encode())
        return self.returncode

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def run_warm(program: str | Path, *words: str | Path, drawn: bool = False) -> tuple[int, str, str]:
    """Run a program to its end; return its exit status, what it printed, and its errors."""
    process = Warm(program, *words, drawn=drawn)
    out, err = process.communicate(timeout=240)
    assert process.returncode is not None
    return process.returncode, out, err


def _ensure_server() -> None:
    _FORKS.set_forkserver_preload([_LOADED])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # a fork has no threads but one
            patch.setenv(name, "1")
        forkserver.ensure_running()


def _run(
    program: str | Path,
    words: tuple[str | Path, ...],
    sender: Connection,
    errors: str,
    environment: dict[str, str],
    folder: Path,
    drawn: bool,
) -> None:
    os.dup2(sender.fileno(), 1)
    sender.close()
    os.dup2(os.open(errors, os.O_WRONLY | os.O_APPEND), 2)
    for number, name in ((1, "stdout"), (2, "stderr")):  # a new process has them twice, too
        stream = os.fdopen(number, "w", 1, "utf-8", "backslashreplace", closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    assert _LOADED in sys.modules, "what forks need cannot be loaded beforehand"
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if not drawn:
        from pneumoscope.report import canvas  # noqa: PLC0415 - it is loaded in forks alone

        canvas.can_draw = lambda: False
    sys.argv = [str(program), *map(str, words)]
    if isinstance(program, Path):
        runpy.run_path(str(program), run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)

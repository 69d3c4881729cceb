"""Programs in processes of their own that need not load torch, Lightning or pynetdicom.

Loading torch and Lightning takes six seconds of processor time, the first export two more, and the
DICOM node one. One process does it, and each program runs in a fork of it: it has its own memory,
signals, standard streams, working directory and environment, and is killed as any other process.
That they work in a process that starts from nothing is for ``test_privacy``, for the tests of runs
on several devices, and for those of the guides and of Orthanc.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import pytest

_FORKS = multiprocessing.get_context("forkserver")
_LOADED = "helpers.loaded"


class Warm:
    """A running program; its standard streams are text.

    Attributes:
        stdout: What it prints, as it comes.
        stderr: What it says of errors, as it comes; None where ``communicate`` returns that.
        returncode: How it ended, minus the signal that ended it; None until that was asked for.
    """

    def __init__(
        self,
        program: str | Path,
        *words: str | Path,
        drawn: bool = False,
        follow: bool = False,
        values: Mapping[str, Any] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            program: The path of a script, or the name of a module as for ``python -m``.
            *words: Its arguments.
            drawn: Whether its pages have drawings. They take most of the time of a tiny run.
            follow: Whether ``stderr`` is a pipe that somebody reads all the time.
            values: Values of module attributes in it, such as of intervals, by their full names.
            variables: What its environment has beside that of the tests.
        """
        _ensure_server()
        receiver, sender = _FORKS.Pipe(duplex=False)
        self.returncode: int | None = None
        self.stderr: IO[str] | None = None
        if follow:
            errors, told = _FORKS.Pipe(duplex=False)
            self.stderr = os.fdopen(os.dup(errors.fileno()), encoding="utf-8")
            errors.close()
            place: str | Connection = told
        else:
            self._errors = tempfile.NamedTemporaryFile("r", encoding="utf-8")  # noqa: SIM115 - kept
            place = self._errors.name
        changed = {
            **({} if drawn else {"pneumoscope.report.canvas.can_draw": _never}),
            **(values or {}),
        }
        environment = {**os.environ, **(variables or {})}
        self._process = _FORKS.Process(
            target=_run,
            args=(program, words, sender, place, environment, Path.cwd(), changed),
        )
        self._process.start()
        sender.close()
        if not isinstance(place, str):
            place.close()
        self.stdout: IO[str] = os.fdopen(os.dup(receiver.fileno()), encoding="utf-8")
        receiver.close()

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None
        return pid

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens where it has ended, as with ``subprocess``."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return how it ended; None while it runs."""
        self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return how it ended.

        Raises:
            subprocess.TimeoutExpired: It runs on.
        """
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(["(forked)"], timeout or 0)
        return code

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

    def wait(self, timeout: float | None = None) -> int:
        self._told.write("".join(self.communicate(timeout)).encode())
        return super().wait()

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def run_warm(
    program: str | Path,
    *words: str | Path,
    drawn: bool = False,
    values: Mapping[str, Any] | None = None,
) -> tuple[int, str, str]:
    """Run a program to its end; return its exit status, what it printed, and its errors."""
    process = Warm(program, *words, drawn=drawn, values=values)
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


def _never() -> bool:
    return False


def _run(
    program: str | Path,
    words: tuple[str | Path, ...],
    sender: Connection,
    errors: str | Connection,
    environment: dict[str, str],
    folder: Path,
    values: Mapping[str, Any],
) -> None:
    os.dup2(sender.fileno(), 1)
    sender.close()
    if isinstance(errors, str):
        os.dup2(os.open(errors, os.O_WRONLY | os.O_APPEND), 2)
    else:
        os.dup2(errors.fileno(), 2)
        errors.close()
    for number, name in ((1, "stdout"), (2, "stderr")):  # a new process has them twice, too
        stream = os.fdopen(number, "w", 1, "utf-8", "backslashreplace", closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    assert _LOADED in sys.modules, "what forks need cannot be loaded beforehand"
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for name, value in values.items():
        place, _, attribute = name.rpartition(".")
        setattr(pkgutil.resolve_name(place), attribute, value)
    sys.argv = [str(program), *map(str, words)]
    if isinstance(program, Path):
        runpy.run_path(str(program), run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)

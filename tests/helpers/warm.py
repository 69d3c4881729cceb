"""Programs in separate processes that need not load torch, Lightning or pynetdicom.

Loading torch and Lightning takes six seconds of processor time, the first export two more, and the
DICOM node one. One process does this, and each program runs in a fork of it, with its own memory,
signals, standard streams, working directory and environment; it can be killed like any other
process. ``test_privacy``, the tests of runs on several devices, and those of the guides and of
Orthanc use new processes.
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
        stdout: Its standard output.
        stderr: Its standard error; None if ``communicate`` returns it.
        returncode: Its exit code, or minus the signal that ended it; None until it is requested.
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
            *words: The arguments.
            drawn: Whether its pages have drawings, which take most of the time of a small run.
            follow: Whether ``stderr`` is a pipe that is read continuously.
            values: Values of module attributes, such as intervals, by their full names.
            variables: Additional environment variables.
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
        """Send a signal; ignored if the process has ended, as in ``subprocess``."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return the exit code.

        Raises:
            subprocess.TimeoutExpired: It is still running.
        """
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(["(forked)"], timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; return the rest of its standard output, and its standard error."""
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
    """Replaces ``subprocess.Popen`` for ``python -m MODULE``, with output in a file."""

    def __init__(self, command: list[str], *, env: dict[str, str], stdout: IO[bytes], **_: object):
        """Start it; ``stderr`` is the same as ``stdout``."""
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
    """Run a program to its end; return exit status, standard output and standard error."""
    process = Warm(program, *words, drawn=drawn, values=values)
    out, err = process.communicate(timeout=240)
    assert process.returncode is not None
    return process.returncode, out, err


def _ensure_server() -> None:
    _FORKS.set_forkserver_preload([_LOADED])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # a fork has only one thread
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
    for number, name in ((1, "stdout"), (2, "stderr")):  # a new process has them twice as well
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

"""Programs in separate processes that need not load torch, Lightning or pynetdicom.

Loading torch and Lightning takes six seconds of processor time, the first export two more, and the
DICOM node one. One process does this (``helpers.forks``), and each program runs in a fork of it,
with its own memory, signals, standard streams, working directory and environment; it can be killed
like any other process. ``test_privacy``, the tests of runs on several devices, and those of the
guides and of Orthanc use new processes.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from helpers.forks import PROGRAMS, Fork, Forks, Request


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
        self.returncode: int | None = None
        self.stderr: IO[str] | None = None
        reader, writer = os.pipe()
        self.stdout: IO[str] = os.fdopen(reader, encoding="utf-8")
        if follow:
            followed, errors = os.pipe()
            self.stderr = os.fdopen(followed, encoding="utf-8")
        else:
            self._errors = tempfile.NamedTemporaryFile("r", encoding="utf-8")  # noqa: SIM115 - kept
            errors = os.open(self._errors.name, os.O_WRONLY | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        request = Request(
            program,
            [str(word) for word in words],
            values={
                **({} if drawn else {"pneumoscope.report.canvas.can_draw": _never}),
                **(values or {}),
            },
            environment={**os.environ, **(variables or {})},
        )
        self._fork = Fork(_programs(), request, (nothing, writer, errors))
        for own in (nothing, writer, errors):
            os.close(own)

    @property
    def pid(self) -> int:
        return self._fork.pid

    def send_signal(self, number: int) -> None:
        """Send a signal; ignored if the process has ended, as in ``subprocess``."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        self.returncode = self._fork.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return the exit code.

        Raises:
            subprocess.TimeoutExpired: It is still running.
        """
        code = self._fork.wait(timeout)
        self.returncode = code
        if code is None:
            raise subprocess.TimeoutExpired(["(forked)"], timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; return the rest of its standard output, and its standard error."""
        overdue = threading.Timer(timeout, self.kill) if timeout else None
        if overdue:
            overdue.daemon = True  # Ctrl-C does not wait for it
            overdue.start()
        with self.stdout, self._errors:
            out = self.stdout.read()
            self.returncode = self._fork.wait()
            errors = self._errors.read()
        if overdue:
            assert overdue.is_alive(), f"it did not end in {timeout} seconds: {out}{errors}"
            overdue.cancel()
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


@functools.cache
def _programs() -> str:
    """Return the socket of the process that forks; without ``make test``, it is started here."""
    if PROGRAMS not in os.environ:
        forks = Forks()
        atexit.register(forks.end)
        return forks.programs
    return os.environ[PROGRAMS]


def _never() -> bool:
    return False

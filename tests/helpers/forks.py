"""A process that loads modules once, and forks for each program that is requested.

``make test`` starts it before its workers, which are forks of it as well: otherwise each of them
would import torch and compile all tests, which takes 20 seconds of processor time. It consists of
two processes: one with the modules of ``helpers.loaded``, whose forks run programs, and a fork of
it that has also collected the tests, whose forks are the workers of pytest-xdist.

As a script, it runs ``python -c CODE`` in such a fork, with its own standard streams: this is what
pytest-xdist starts instead of Python.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import pickle
import pkgutil
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAMS = "PNEUMOSCOPE_TEST_FORKS"
"""The environment variable with the socket of the process that forks programs."""

FORK = __file__
"""The script that pytest-xdist starts, with a socket, instead of Python."""

_WITHOUT_THREADS = ("-p", "no:cacheprovider", "-p", "no:rerunfailures")
_STATUS = struct.Struct("=i")
_SIZE = struct.Struct("=Q")
_TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Request:
    """A program to run in a fork.

    Attributes:
        program: The path of a script, the name of a module as for ``python -m``, or code.
        code: Whether it is code, as for ``python -c``.
        words: Its arguments.
        environment: All its environment variables.
        folder: Its working directory.
        values: Values of module attributes, by their full names.
    """

    program: str | Path
    words: Sequence[str]
    code: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    folder: Path = field(default_factory=Path.cwd)


class Fork:
    """A running program, in a fork of the process that listens at a socket.

    Args:
        place: The socket.
        request: The program.
        streams: File descriptors of its standard input, output and error.
    """

    def __init__(self, place: str, request: Request, streams: tuple[int, int, int]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(place)
        content = pickle.dumps(vars(request))
        socket.send_fds(self._socket, [_SIZE.pack(len(content))], list(streams))
        self._socket.sendall(content)
        self.pid: int = _STATUS.unpack(_receive(self._socket, _STATUS.size))[0]
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit code, or minus the signal; None if it is still running at the end."""
        if self._code is None:
            self._socket.settimeout(timeout)
            try:
                content = _receive(self._socket, _STATUS.size)
            except (TimeoutError, BlockingIOError):
                return None
            self._code = _STATUS.unpack(content)[0]
            self._socket.close()
        return self._code


class Forks:
    """The process that forks; it ends with the process that started it.

    Args:
        collect: Arguments of pytest for the tests that the workers have; None: programs only.
        load: Whether programs can be run.
    """

    def __init__(self, *, collect: Sequence[str] | None = None, load: bool = True) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forks-", ignore_cleanup_errors=True)
        self.programs, self.workers = (
            str(Path(self._folder.name) / name) for name in ("programs", "workers")
        )
        # A fork has one thread only.
        alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        path = os.pathsep.join([str(_TESTS), *filter(None, sys.path)])
        arguments = pickle.dumps((self.programs if load else None, self.workers, collect))
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from helpers.forks import main; main({arguments!r})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **alone, "PYTHONPATH": path},
        )
        assert self._process.stdout is not None
        ready = self._process.stdout.readline()
        assert ready == b"ready\n", "the process that forks has ended"

    def end(self) -> None:
        """End it; programs that run go on."""
        self._process.communicate()
        self._folder.cleanup()


def main(arguments: bytes) -> None:
    """Load what is needed, and fork for each request until standard input ends."""
    import pytest  # noqa: PLC0415 - the programs that request forks need neither
    from tqdm import tqdm  # noqa: PLC0415

    programs, workers, collect = pickle.loads(arguments)  # noqa: S301 - of the process that started
    ends = os.dup(0)
    # It listens before it has loaded anything, so that nobody has to wait for its sockets.
    listeners = {place: _listener(place) for place in (programs, workers) if place is not None}
    print("ready", flush=True)
    _quiet()
    tqdm.monitor_interval = 0  # it starts no thread to watch its bars
    if programs is not None:
        if collect is not None:
            # pytest must load its plugins before others do, to compile their assertions.
            pytest.main(["--help", "--noconftest", *_WITHOUT_THREADS])
        __import__("helpers.loaded")
    place = programs
    if collect is not None and (programs is None or os.fork() == 0):
        _collect(collect)
        place = workers
    for other in listeners.keys() - {place}:
        listeners[other].close()
    _serve(listeners[place], ends)


def _listener(place: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen(64)
    return listener


def _quiet() -> None:
    """Detach the standard streams; those of forks come with the request."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nothing, number)
    os.close(nothing)


def _collect(arguments: Sequence[str]) -> None:
    """Import the tests as pytest does; the workers report errors."""
    import pytest  # noqa: PLC0415

    sys.argv = ["pytest"]
    path, environment = list(sys.path), dict(os.environ)
    pytest.main(["--collect-only", "-q", *_WITHOUT_THREADS, *arguments])
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)


def _serve(listener: socket.socket, ends: int) -> None:
    """Fork for each connection, and send the exit code when the fork has ended."""
    assert (threads := _threads()) <= 1, f"a process with {threads} threads cannot be forked"
    gc.collect()
    gc.freeze()  # forks would copy the memory of what they look through
    gc.set_threshold(20_000)  # 20 times as rarely: exported graphs have many objects, few cycles
    running: dict[int, socket.socket] = {}
    awake, wakes = socket.socketpair()
    for one in (awake, wakes):
        one.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    with selectors.DefaultSelector() as selector:
        for source in (listener, awake, ends):
            selector.register(source, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if awake in ready:
                awake.recv(4096)
                _report(running)
            if listener in ready:
                connection, _ = listener.accept()
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    selector.close()
                    for own in (listener, awake, wakes, *running.values()):
                        own.close()
                    os.close(ends)
                    _become(connection)
                connection.sendall(_STATUS.pack(pid))
                running[pid] = connection
            if ends in ready:
                os._exit(0)


def _threads() -> int:
    """Return how many threads there are, without those that their library starts after a fork."""
    if sys.platform != "linux":
        return threading.active_count()
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    return len(names) - names.count("jemalloc_bg_thd")  # of pyarrow


def _report(running: dict[int, socket.socket]) -> None:
    """Send the exit codes of the forks that have ended."""
    with contextlib.suppress(ChildProcessError):
        while running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            with running.pop(pid) as connection, contextlib.suppress(OSError):  # nobody waits
                connection.sendall(_STATUS.pack(os.waitstatus_to_exitcode(status)))


def _become(connection: socket.socket) -> None:
    """Run the program of a connection, and end as Python does."""
    code = 1
    try:
        header, streams, _, _ = socket.recv_fds(connection, _SIZE.size, 3)
        content = _receive(connection, _SIZE.unpack(header)[0])
        connection.close()
        for number, own in enumerate(streams):
            os.dup2(own, number)
            os.close(own)
        for number, name in enumerate(("stdin", "stdout", "stderr")):  # Python has them twice
            mode, errors = ("r", "strict") if number == 0 else ("w", "backslashreplace")
            stream = os.fdopen(number, mode, 1, "utf-8", errors, closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        _run(Request(**pickle.loads(content)))  # noqa: S301 - of a test
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # closed
                stream.flush()
        os._exit(code)


def _run(request: Request) -> None:
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    for name, value in request.values.items():
        place, _, attribute = name.rpartition(".")
        setattr(pkgutil.resolve_name(place), attribute, value)
    sys.argv = [str(request.program), *request.words]
    if request.code:
        sys.argv[0] = "-c"
        sys.modules["__main__"] = module = types.ModuleType("__main__")
        exec(str(request.program), vars(module))  # noqa: S102 - as python -c
    elif isinstance(request.program, Path):
        runpy.run_path(str(request.program), run_name="__main__")
    else:
        runpy.run_module(request.program, run_name="__main__", alter_sys=True)


def _receive(connection: socket.socket, size: int) -> bytes:
    """Return exactly that many bytes.

    Raises:
        EOFError: The other side has ended.
    """
    content = b""
    while len(content) < size:
        more = connection.recv(size - len(content))
        if not more:
            raise EOFError("the process that forks has ended")
        content += more
    return content


if __name__ == "__main__":
    place, *_, given = sys.argv[1:]  # SOCKET -u -c CODE
    status = Fork(place, Request(given, [], code=True), (0, 1, 2)).wait()
    sys.exit(status if status is not None and status >= 0 else 1)

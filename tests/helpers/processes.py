"""Processes that tests start and kill, as Linux shows them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


def below(pid: int) -> list[int]:
    """Return the processes that descend from one, children first."""
    parents: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            fields = place.read_text().rsplit(")", 1)[1].split()
            if fields[0] != "Z":
                parents[int(place.parent.name)] = int(fields[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def command_of(pid: int) -> str:
    """Return the command of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def kill(*pids: int) -> None:
    """Kill processes that a test started."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], object], *, seconds: float, what: str) -> None:
    """Wait for a condition, and fail if it is not met in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} seconds"
        time.sleep(0.05)


def listening(pids: Iterable[int]) -> set[tuple[str, int]]:
    """Return the addresses that processes listen on.

    Addresses are as the system writes them, in hexadecimal digits; ports are numbers.
    """
    sockets = {name for pid in pids for name in _files(pid) if name.startswith("socket:")}
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def _files(pid: int) -> Iterator[str]:
    """Yield the open files of a process."""
    with contextlib.suppress(OSError):  # it has ended
        for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - Path has no file of that name
            with contextlib.suppress(OSError):  # it was closed
                yield os.readlink(f"/proc/{pid}/fd/{number}")  # noqa: PTH115 - the same


LOOPBACK = {
    "0100007F",
    "0000000000000000FFFF00000100007F",
    "00000000000000000000000001000000",
}
"""127.0.0.1, the same in IPv6, and ::1, as ``listening`` writes them."""

"""A PostgreSQL server in a folder, on the loopback address."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_DEBIAN = "/usr/lib/postgresql"


def program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL, which Debian does not put on the PATH."""
    found = shutil.which(name)
    if found:
        return str(Path(found).resolve())
    places = sorted(Path(_DEBIAN).glob(f"*/bin/{name}"))
    return str(places[-1]) if places else None


def _user() -> int | None:
    """Return the user of the server, which must not be root; None is the current user."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    pytest.skip("no unprivileged user for PostgreSQL")


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Yield the address of a new server, which is stopped after the block.

    Args:
        folder: An empty folder that other users can enter.
    """
    initdb, postgres = program("initdb"), program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("PostgreSQL is not installed")
    user = _user()
    if user is not None:
        os.chown(folder, user, -1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cluster = folder / "cluster"
    as_user = {} if user is None else {"user": user}
    subprocess.run(
        [initdb, "-D", str(cluster), "-U", "study", "--auth", "trust", "--no-sync", "-E", "UTF8"],
        check=True, capture_output=True, cwd=folder, **as_user,  # type: ignore[call-overload]
    )  # fmt: skip
    command = [
        postgres, "-D", str(cluster), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder),
        "-c", "fsync=off", "-c", "shared_buffers=16MB",
    ]  # fmt: skip
    with (folder / "postgres.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **as_user)  # type: ignore[call-overload]
    try:
        yield f"postgresql://study@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""A worker process as seen by the service.

It is started before the service imports anything else, asyncio included, so that it loads its
models meanwhile.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.serve.channel import BUFFER_BYTES, head_of, receive_from

if TYPE_CHECKING:
    import asyncio

START_SECONDS = 120.0


class PoolError(Exception):
    """A model cannot be used."""


class Process:
    """A worker process and its socket, started immediately.

    Args:
        models: Name → model file or run folder, None for the reader of the package.

    Attributes:
        pid: Its process ID.
    """

    def __init__(self, models: Mapping[str, Path | None]) -> None:
        self._ours, theirs = socket.socketpair()
        for end in (self._ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        named = {name: path and os.fspath(path.absolute()) for name, path in models.items()}
        with theirs:
            self._child = subprocess.Popen(  # noqa: S603 - this interpreter, a module of ours
                [
                    *(sys.executable, "-P", "-m", "pneumoscope.serve.worker"),
                    *(str(theirs.fileno()), json.dumps(named)),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in a terminal is for the service alone
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                    "OPENBLAS_NUM_THREADS": "1",
                },
            )
        self.pid = self._child.pid
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> dict[str, dict[str, Any]]:
        """Wait until it is ready; return the metadata of its models.

        Raises:
            PoolError: It cannot use a model, died, or was too slow.
        """
        import asyncio  # noqa: PLC0415 - not before the process runs

        self._reader, self._writer = await asyncio.open_unix_connection(
            sock=self._ours, limit=2**20
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                fields, _ = await receive_from(self._reader)
        except (TimeoutError, asyncio.IncompleteReadError, OSError) as fault:
            raise PoolError(f"a process that reads images did not start ({fault})") from fault
        if "failed" in fields:
            raise PoolError(str(fields["failed"]))
        models: dict[str, dict[str, Any]] = fields["models"]
        return models

    async def ask(
        self, fields: dict[str, Any], content: Sequence[bytes | bytearray]
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request and return the answer.

        Raises:
            OSError, asyncio.IncompleteReadError: It died.
        """
        assert self._writer is not None  # noqa: S101 - it was opened
        self._writer.writelines((head_of(fields, sum(map(len, content))), *content))
        await self._writer.drain()
        return await receive_from(self._reader)

    async def end(self) -> None:
        """End the process and release its resources."""
        import asyncio  # noqa: PLC0415 - loaded already

        self.kill()
        if self._writer is not None:
            self._writer.close()
        await asyncio.get_running_loop().run_in_executor(None, self._child.wait)

    def kill(self) -> None:
        """Kill it."""
        self._child.kill()

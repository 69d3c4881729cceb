"""A worker process as seen by the service.

It is started before the service imports asyncio and other modules, so that both load in parallel.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.serve.channel import BUFFER_BYTES

if TYPE_CHECKING:
    from pneumoscope.serve.link import Link

START_SECONDS = 120.0


class PoolError(Exception):
    """A model cannot be used."""


class Process:
    """A worker process and its socket, started immediately.

    Args:
        models: Name → model file or run folder; None for the included reader.

    Attributes:
        pid: The process ID.
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
                start_new_session=True,  # only the service handles Ctrl-C in a terminal
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                    "OPENBLAS_NUM_THREADS": "1",
                },
            )
        self.pid = self._child.pid
        self._link: Link | None = None

    async def open(
        self, on_answer: Callable[[dict[str, Any], bytes], None]
    ) -> dict[str, dict[str, Any]]:
        """Wait until it is ready; return the metadata of its models.

        Args:
            on_answer: Called with each subsequent response.

        Raises:
            PoolError: A model cannot be used, or the process died or was too slow.
        """
        import asyncio  # noqa: PLC0415 - not before the process runs

        from pneumoscope.serve.link import Link  # noqa: PLC0415 - the same

        loop = asyncio.get_running_loop()
        first: asyncio.Future[Any] = loop.create_future()
        try:
            _, link = await loop.create_unix_connection(
                lambda: Link(lambda fields, _: first.set_result(fields)), sock=self._ours
            )
            self._link = link
            await asyncio.wait(
                (first, link.lost), timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        except OSError as fault:
            raise PoolError(f"a process that reads images did not start ({fault})") from fault
        if not first.done():
            how = "it ended" if link.lost.done() else f"not within {START_SECONDS:g} seconds"
            raise PoolError(f"a process that reads images did not start ({how})")
        fields: dict[str, Any] = first.result()
        if "failed" in fields:
            raise PoolError(str(fields["failed"]))
        link.on_message = on_answer
        models: dict[str, dict[str, Any]] = fields["models"]
        return models

    def ask(self, fields: dict[str, Any], content: Sequence[bytes | bytearray]) -> None:
        """Send a request; its answer is given to ``on_answer``."""
        assert self._link is not None  # noqa: S101 - it was opened
        self._link.send(fields, content)

    async def lost(self) -> None:
        """Wait until the process died or was killed."""
        import asyncio  # noqa: PLC0415 - loaded already

        assert self._link is not None  # noqa: S101 - it was opened
        await asyncio.shield(self._link.lost)

    async def end(self) -> None:
        """End the process and release its resources."""
        import asyncio  # noqa: PLC0415 - loaded already

        self.kill()
        if self._link is not None:
            self._link.close()
        await asyncio.get_running_loop().run_in_executor(None, self._child.wait)

    def kill(self) -> None:
        """Kill it."""
        self._child.kill()

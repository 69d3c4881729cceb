"""Run a function in an interpreter of its own, and leave no process behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

Result = TypeVar("Result")

_LAST_WORDS_SECONDS = 10


def alone(work: Callable[..., Result], *arguments: object) -> Result:
    """Return what a call gives in an interpreter of its own.

    Whatever it starts ends with it, and it ends with this process, however this one ends: it leads
    a group of processes that is killed.

    Raises:
        RuntimeError: The call raised something; the message names it.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(sender, work, arguments))
    process.start()
    sender.close()
    try:
        fault, result = receiver.recv()
        process.join(_LAST_WORDS_SECONDS)
    except EOFError:
        process.join(_LAST_WORDS_SECONDS)
        fault, result = f"its process ended with code {process.exitcode}", None
    finally:
        _end(process)
    if fault:
        raise RuntimeError(fault)
    return result  # type: ignore[no-any-return]


def _serve(sender: Connection, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    os.setpgid(0, 0)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    fault, result = "", None
    try:
        result = work(*arguments)
    except Exception as raised:  # whatever it is, the parent shall hear of it
        fault = f"{type(raised).__name__}: {raised}"
    sender.send((fault, result))


def _end_with_parent() -> None:
    """Kill this group when the parent is gone: nobody else would if it was killed itself."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - this runs in a child
    wait([parent.sentinel])
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _end(process: BaseProcess) -> None:
    assert process.pid is not None  # noqa: S101 - it was started
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # nothing is left of the group, or it is not made yet
        process.kill()
    process.join()

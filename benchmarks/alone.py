"""Run a function in a separate interpreter, without leaving processes behind."""

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
    """Return the result of a call in a separate interpreter.

    It leads a process group that is killed at the end, so that everything it starts ends with it,
    and it ends with this process in any case.

    Raises:
        RuntimeError: The call raised an exception, which the message states.
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
    except Exception as raised:  # any error is reported to the parent
        fault = f"{type(raised).__name__}: {raised}"
    sender.send((fault, result))


def _end_with_parent() -> None:
    """Kill this group when the parent has ended, since a killed parent cannot do it."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - this runs in a child
    wait([parent.sentinel])
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _end(process: BaseProcess) -> None:
    assert process.pid is not None  # noqa: S101 - it was started
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # the group has ended, or does not exist yet
        process.kill()
    process.join()

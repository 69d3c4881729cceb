"""How work without an end of its own ends: in order, when Ctrl-C or a request to end comes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_STEP_SECONDS = 0.2  # a wait is not cut short by a signal

TERMINATED = 143
"""The exit code of a command that SIGTERM ended: 128 and its number, as shells have it."""


class Terminated(BaseException):
    """SIGTERM came. Not an ``Exception``: nothing that mends faults may take it for one."""


@contextmanager
def terminated_by_signal() -> Iterator[None]:
    """Raise ``Terminated`` where the block is when SIGTERM comes, unless it is ignored."""

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated

    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class EndOnSignal:
    """Tells whether Ctrl-C or SIGTERM came, from when it is made on.

    What is in hand is finished then. A second Ctrl-C interrupts as usual. A signal that the process
    was started to ignore stays ignored.
    """

    def __init__(self) -> None:
        self._came = False
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def __call__(self, seconds: float) -> bool:
        """Wait for so many seconds, or until a signal came; return whether one did."""
        end = time.monotonic() + seconds
        while not self._came and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _STEP_SECONDS))
        return self._came

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self._came:
            raise KeyboardInterrupt
        self._came = True

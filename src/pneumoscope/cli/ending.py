"""How work without an end of its own ends: in order, when Ctrl-C or a request to end comes."""

from __future__ import annotations

import signal
import time
from types import FrameType

_STEP_SECONDS = 0.2  # a wait is not cut short by a signal


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

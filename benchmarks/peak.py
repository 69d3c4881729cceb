"""Run a command, and print its seconds, peak memory and exit code as one JSON line.

Run in a small process, since the recorded peak of a process starts with the memory of its parent:
peak.py LOG COMMAND ...
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def main(log: str, *command: str) -> None:
    """Run the command, with its output in the log."""
    started = time.perf_counter()
    with open(log, "wb") as out:  # noqa: PTH123 - pathlib would take megabytes of its own
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    facts = {
        "seconds": time.perf_counter() - started,
        "megabytes": usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3),
        "code": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])

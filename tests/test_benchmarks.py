"""Processes started by benchmarks end with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPT = """
import subprocess
import sys

from alone import alone


def work(how):
    if how == "return":
        return how
    if how == "raise":
        raise ValueError(how)
    if how == "vanish":
        sys.exit(7)
    code = "import time; print('started', flush=True); time.sleep(120)"
    return subprocess.run([sys.executable, "-c", code]).returncode


if __name__ == "__main__":
    try:
        print(alone(work, sys.argv[1]))
    except RuntimeError as fault:
        print(fault)
"""


def started(folder: Path, how: str) -> subprocess.Popen[str]:
    script = folder / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, script, how],
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_nothing_outlives_a_runner_that_is_ended(tmp_path: Path, sent: signal.Signals) -> None:
    with started(tmp_path, "wait") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(sent)
        # The end of the pipe: every process that held it has ended.
        rest, _ = process.communicate(timeout=60)
    assert rest == ""
    assert process.returncode != 0


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("return", "return\n"),
        ("raise", "ValueError: raise\n"),
        ("vanish", "its process ended with code 7\n"),
    ],
)
def test_a_result_or_a_fault_comes_back(tmp_path: Path, how: str, said: str) -> None:
    with started(tmp_path, how) as process:
        found, _ = process.communicate(timeout=60)
    assert found == said

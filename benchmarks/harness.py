"""Common parts of all benchmarks: plan, rows and clocks."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

# Also in what the benchmarks start that does not import the package: ONNX Runtime reads it when it
# is loaded, and would otherwise write into the user's cache folder and look for a server.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

PNEUMOSCOPE = Path(sys.executable).parent / "pneumoscope"

_PEAK = Path(__file__).with_name("peak.py")


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a benchmark.

    Attributes:
        small: A folder with class folders of images of about 224x224 pixels.
        native: The same with images at their original size.
        generated: Whether these are generated images, not real ones.
        quick: Whether to only check that everything runs; the numbers are meaningless.
        work: A folder for intermediate files.
        keras: A Python with tensorflow; None builds an environment.
        rounds: Number of rounds of the longest benchmark.
        model: The reader to measure: ``shipped``, ``fresh``, a file or a run folder; None is the
            shipped one where there is one, else a fresh one.
        batches: Steps of each training of ``transfer-epoch``.
        many: Images of ``predict-memory``.
        before: A checkout of an earlier version, for ``dicom-folder``; None measures none.
    """

    small: Path
    native: Path
    generated: bool
    quick: bool
    work: Path
    keras: Path | None
    rounds: int = 2
    model: str | None = None
    batches: int = 40
    many: int = 20_000
    before: Path | None = None

    def count(self, full: int, *, generated: int, quick: int) -> int:
        """Return a number of images, rounds or steps."""
        return quick if self.quick else generated if self.generated else full


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes:
        what: The measurement.
        ours: Our value, as text.
        against: The value that it is compared with, as text; empty if there is none.
        ratio: The first divided by the second; None without a second.
        at_most: Upper bound of the ratio.
        at_least: Lower bound of the ratio.
        seconds: Our value in seconds, if it has its own bound.
        at_most_seconds: Its bound, on two cores of the machine named in the table.
    """

    what: str
    ours: str
    against: str = ""
    ratio: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    seconds: float | None = None
    at_most_seconds: float | None = None

    @property
    def bound(self) -> str:
        """The bound as text."""
        if self.at_most is not None:
            return f"≤ {self.at_most:.2f}"
        if self.at_most_seconds is not None:
            return f"≤ {self.at_most_seconds:g} s"
        return "" if self.at_least is None else f"≥ {self.at_least:.2f}"

    @property
    def met(self) -> bool | None:
        """Whether the bound is met; None without a bound."""
        if self.seconds is not None and self.at_most_seconds is not None:
            return self.seconds <= self.at_most_seconds
        if self.ratio is None:
            return None
        if self.at_most is not None:
            return self.ratio <= self.at_most
        return None if self.at_least is None else self.ratio >= self.at_least


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a benchmark.

    Attributes:
        rows: Rows of the table.
        details: The single measurements.
        skipped: Why nothing was measured; empty if something was.
    """

    rows: Sequence[Row]
    details: Mapping[str, object] = field(default_factory=dict)
    skipped: str = ""


def skip(why: str) -> Outcome:
    """Print and return that nothing is measured."""
    say(f"skipped: {why}")
    return Outcome([], skipped=why)


def say(text: str) -> None:
    """Print a progress line at once."""
    print(f"  {text}", flush=True)


T = TypeVar("T")


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(
    contenders: Mapping[str, Callable[[], T]],
    *,
    rounds: int,
    timed: Callable[[Callable[[], T]], float] = seconds,
) -> dict[str, list[float]]:
    """Return the seconds of each contender, measured in turns (A B A B ...).

    Changes in the speed of the machine therefore affect all of them.

    Args:
        contenders: Name → contender.
        rounds: Turns.
        timed: Runs a contender and returns its seconds.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name, work in contenders.items():
            taken[name].append(timed(work))
        shown = ", ".join(f"{name} {values[-1]:.3f} s" for name, values in taken.items())
        say(f"round {number} of {rounds}: {shown}")
    return taken


def medians(taken: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of each contender."""
    return {name: statistics.median(values) for name, values in taken.items()}


def call(command: Sequence[str | Path]) -> str:
    """Return the output of a command.

    Raises:
        RuntimeError: The command failed; the message contains the end of its output.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = (done.stderr or done.stdout)[-2000:]
        raise RuntimeError(f"{Path(command[0]).name} ended with code {done.returncode}:\n{message}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Peak:
    """Duration of a process in seconds, and its peak resident memory in megabytes."""

    seconds: float
    megabytes: float


def peak(
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    allowed: Sequence[int] = (0,),
) -> Peak:
    """Return duration and memory of a command, whose output is written to a file.

    Raises:
        RuntimeError: The exit code is not one of the allowed ones.
    """
    launcher = [sys.executable, "-I", "-S", _PEAK, log, *command]
    done = subprocess.run(
        launcher, env={**os.environ, **(environment or {})}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} could not be started:\n{done.stderr[-2000:]}")
    facts = json.loads(done.stdout)
    if facts["code"] not in allowed:
        message = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"{Path(command[0]).name} ended with code {facts['code']}:\n{message}")
    return Peak(facts["seconds"], facts["megabytes"])

"""The progress of a study."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Board:
    """The progress of a study: finished, running and failed runs, and the best so far.

    Attributes:
        total: Number of runs of the plan.
        before: Number of runs finished before.
        done: Title → held-out AUC and seconds of finished runs.
        failed: Title → error.
        running: Title → finished epochs.
        jobs: Number of parallel runs.
    """

    total: int
    jobs: int = 1
    before: int = 0
    done: dict[str, tuple[float, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Runs that are neither finished nor failed."""
        return self.total - len(self.done) - len(self.failed)

    @property
    def seconds_left(self) -> float | None:
        """Estimated time for the remaining runs, from the finished ones."""
        known = [seconds for _, seconds in self.done.values()]
        return self.left * sum(known) / len(known) / self.jobs if known else None

    @property
    def best(self) -> tuple[str, float] | None:
        """The run with the highest validation AUC, and its value."""
        known = [(title, area) for title, (area, _) in self.done.items() if area == area]  # noqa: PLR0124
        return max(known, key=lambda pair: pair[1]) if known else None

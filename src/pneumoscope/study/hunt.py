"""The settings of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pneumoscope.errors import LeakError, OptionError, in_range, one_of

NUMBERS: Mapping[str, Literal["maximize", "minimize"]] = {
    "val_auc": "maximize",
    "val_accuracy": "maximize",
    "val_loss": "minimize",
}
"""What a search may be for, and which way is better."""


SAMPLERS = ("tpe", "random", "grid")


PRUNINGS = ("median", "hyperband", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunt:
    """The settings of a search.

    Attributes:
        number: What to optimise: one of ``NUMBERS``.
        trials: How many, of all workers together.
        seconds: After so long no trial is begun, and the one that runs is ended; None for ever.
        sampler: ``tpe``, ``random``, or ``grid`` for a space of values alone.
        seed: Of the sampler.
        pruning: What ends trials early that are worse than the others were: ``median``,
            ``hyperband`` or ``none``.
        storage: Where trials are kept; see ``open_storage``.
        name: Of the search in its storage; that of its folder if None.
        confirm: With how many new seeds the best and the base are learnt again; 0 is not at all.
        heartbeat_seconds: See ``open_storage``.
        jobs: How many processes.
    """

    number: str
    trials: int = 40
    seconds: float | None = None
    sampler: str = "tpe"
    seed: int = 0
    pruning: str = "median"
    storage: str | None = None
    name: str | None = None
    confirm: int = 3
    heartbeat_seconds: int = 60
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.number.startswith(("test", "held_out")):
            raise LeakError(
                f"{self.number}: a search is decided by validation images alone; test and held-out "
                f"images must not choose between recipes. Known: {', '.join(NUMBERS)}."
            )
        one_of("optimise", self.number, NUMBERS)
        one_of("sampler", self.sampler, SAMPLERS)
        one_of("pruning", self.pruning, PRUNINGS)
        in_range("trials", self.trials, low=1, high=1_000_000)
        in_range("confirm", self.confirm, low=0, high=100)
        in_range("heartbeat", self.heartbeat_seconds, low=1, high=86_400)
        if self.jobs > 1:
            raise OptionError(
                "jobs", must="1 in a search", was=self.jobs,
                hint="Start another command with a different `out` and the same `storage`.",
            )  # fmt: skip

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
"""Metrics that a search can optimise, and their direction."""


SAMPLERS = ("tpe", "random", "grid")


PRUNINGS = ("median", "hyperband", "halving", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunt:
    """The settings of a search.

    Attributes:
        number: The metric to optimise, one of ``NUMBERS``.
        trials: Number of trials of all workers together.
        seconds: Time limit, after which the running trial is ended and no other is started; None
            for no limit.
        sampler: ``tpe``, ``random``, or ``grid`` for a space that only has lists of values.
        seed: Seed of the sampler.
        pruning: Method of ending trials early that are worse than others: ``median``,
            ``hyperband``, ``halving`` (asynchronous successive halving) or ``none``.
        storage: Storage of the trials; see ``open_storage``.
        name: Name of the search in its storage; that of its folder if None.
        confirm: Number of new seeds with which the best recipe and the base are trained again; 0
            for none.
        heartbeat_seconds: See ``open_storage``.
        jobs: Number of processes.
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
                f"{self.number}: a search only uses validation images; test and held-out images "
                f"must not be used to choose between recipes. Known: {', '.join(NUMBERS)}."
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

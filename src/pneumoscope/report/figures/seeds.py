"""How runs that differ in the seed alone learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pneumoscope.errors import OptionError
from pneumoscope.report._shared import Table, new_figure, number
from pneumoscope.report.style import BLUE, INK, MUTED, NARROW_IN, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, eq=False)
class SeedLosses:
    """Validation loss by epoch of each run, and the run that was kept.

    Attributes:
        names: The runs.
        losses: The validation loss of each epoch, from the first on, of each run.
        epochs: The epoch whose weights each run kept, from 1 on.
        kept: The number of the run that was kept.
    """

    names: tuple[str, ...]
    losses: tuple[Sequence[float], ...]
    epochs: tuple[int, ...]
    kept: int

    CAPTION: ClassVar[str] = (
        "Validation loss after each epoch, a line a run; a dot marks the epoch whose weights a run "
        "kept. The run with the lowest dot is the one that is kept of all (thick). Lines that lie "
        "far apart, or that cross often, say that chance has a large part in the choice."
    )

    def __post_init__(self) -> None:
        lengths = {len(self.names), len(self.losses), len(self.epochs)}
        if lengths != {len(self.names)} or not 0 <= self.kept < len(self.names):
            raise OptionError("losses and epochs", must="one row a run", was=sorted(lengths))

    def rows(self) -> Table:
        """Return one row a run and epoch."""
        body = tuple(
            (name, str(epoch), number(loss), "yes" if epoch == best else "")
            for name, losses, best in zip(self.names, self.losses, self.epochs, strict=True)
            for epoch, loss in enumerate(losses, 1)
        )
        return ("run", "epoch", "val_loss", "kept"), body

    def summary(self) -> str:
        """Return which run was kept as a sentence."""
        lowest = self.losses[self.kept][self.epochs[self.kept] - 1]
        return (
            f"Validation loss of {len(self.names)} runs by epoch; {self.names[self.kept]} was kept "
            f"with {lowest:.4f}"
        )

    def draw(self) -> Figure:
        """Draw a line a run, the kept one above the others."""
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - matplotlib is loaded to draw

        with style():
            figure = new_figure(NARROW_IN, 3.2)
            axes = figure.subplots()
            order = [row for row in range(len(self.names)) if row != self.kept]
            for row in [*order, self.kept]:
                losses, best = self.losses[row], self.epochs[row]
                own = row == self.kept
                axes.plot(
                    range(1, len(losses) + 1), losses, color=BLUE if own else MUTED,
                    linewidth=2.2 if own else 1.1, alpha=1 if own else 0.7, zorder=3 if own else 2,
                )  # fmt: skip
                axes.plot(
                    best, losses[best - 1], "o", ms=8 if own else 5, color=BLUE if own else MUTED,
                    clip_on=False, zorder=4 if own else 2,
                )  # fmt: skip
            best = self.epochs[self.kept]
            axes.annotate(
                self.names[self.kept], (best, self.losses[self.kept][best - 1]), xytext=(0, -16),
                textcoords="offset points", ha="center", weight="bold", color=INK, size=9.5,
            )  # fmt: skip
            low = min(min(losses) for losses in self.losses)
            high = max(max(losses) for losses in self.losses)
            axes.set_ylim(max(0.0, low - 0.22 * (high - low or 1)), None)
            axes.margins(x=0.08)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
            axes.tick_params(length=0, pad=6)
            axes.grid(axis="y")
            axes.set_xlabel("Epoch")
            axes.set_title("Validation loss", color=MUTED, weight="normal", size=10)
            return figure

"""A watcher that prints to standard error."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pneumoscope.cli.flags import with_flags
from pneumoscope.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import ProgressColumn, Task

    from pneumoscope.parallel import Progress


class TerminalWatcher(Watcher):
    """Prints messages to standard error, with a progress bar on terminals."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - not for every verb

        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._retitle: Callable[[str], None] | None = None

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(with_flags(text), markup=False)

    def warn(self, text: str) -> None:
        """Print a line that begins with ``warning:``."""
        self.console.print(f"warning: {with_flags(text)}", markup=False, style="yellow")

    def retitle(self, title: str) -> None:
        """Replace the title of the bar, if one is shown."""
        if self._retitle is not None:
            self._retitle(title)

    @contextmanager
    def progress(self, title: str, *, unit: str = "images") -> Iterator[Progress]:
        """Show progress, rate and remaining time."""
        from rich import progress  # noqa: PLC0415 - the same

        bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            _speed(unit),
            progress.TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        with bar:
            task = bar.add_task(title, total=None)

            def advance(done: int, total: int) -> None:
                if done < bar.tasks[0].completed:  # the next epoch begins
                    bar.reset(task, total=total)
                bar.update(task, completed=done, total=total)

            self._retitle = lambda title: bar.update(task, description=title)
            try:
                yield advance
            finally:
                self._retitle = None


def _speed(unit: str) -> ProgressColumn:
    from rich.progress import ProgressColumn  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.1f} {unit}/s" if speed else "")

    return Speed()

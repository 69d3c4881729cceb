"""Work on many items with few threads: results in order, memory that does not grow."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)``; the command line draws a bar from it."""


def cores() -> int:
    """Return how many processors this process may use (its affinity, not the machine's count)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int | None = None,
    ahead: int = 16,
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, computed in threads.

    At most ``ahead`` items a worker are under way or waiting, so memory stays constant however
    many items come. Decoding releases Python's lock, hence threads and not processes.
    An exception of ``function`` is raised where its result would have come.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - one image needs none

    workers = workers or cores()
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

"""Map a function over many items in threads, in order and with bounded memory."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)``; the command line draws a bar from it."""


_CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Return the number of CPUs that this process may use.

    This is the CPU affinity of the process, not the number of CPUs of the machine, limited by the
    quota of its control group, which containers use.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = cgroup_quota()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def cgroup_quota(root: Path = _CGROUP) -> float | None:
    """Return the number of CPUs granted by the control group; None if unlimited.

    Args:
        root: Mount point of the control groups, version 2 or 1. In a container, this is the
            container's own group.
    """
    for name in ("cpu.max", "cpu/cpu.cfs_quota_us"):
        try:
            words = (root / name).read_text(encoding="ascii").split()
            if len(words) == 1:
                words += (root / "cpu/cpu.cfs_period_us").read_text(encoding="ascii").split()
            quota, period = (-1 if word == "max" else int(word) for word in words[:2])
        except (OSError, ValueError):
            continue
        return quota / period if quota > 0 and period > 0 else None
    return None


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int | None = None,
    ahead: int = 16,
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, computed in threads.

    At most ``ahead`` items per worker are in progress or waiting, so memory is constant for any
    number of items. Decoding releases Python's lock, hence threads and not processes. An exception
    of ``function`` is raised in place of its result.
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

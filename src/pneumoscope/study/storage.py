"""The storage of a search: a journal file for one machine, a database for several."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import DataError, OptionError, OutputError
from pneumoscope.runs import lock
from pneumoscope.tracking.tracker import without_secret

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

SCHEMES = ("journal", "postgresql", "sqlite")


@contextmanager
def open_storage(
    url: str | None, *, default: Path, heartbeat_seconds: int, jobs: int = 1
) -> Iterator[BaseStorage]:
    """Yield the storage of a search.

    Args:
        url: ``postgresql://user@host/database`` can be shared by machines; ``journal:PATH`` is a
            file that processes of one machine can share; ``sqlite:///PATH`` is for one process
            only. None is the file ``default``.
        default: A journal file.
        heartbeat_seconds: Interval of heartbeats; a worker without a heartbeat for twice as long
            counts as dead, and another worker takes over its trial. Only with PostgreSQL.
        jobs: Number of processes of this command.

    Raises:
        OptionError: An unknown kind of storage, or several writers of SQLite.
        OutputError: Another process writes to a SQLite file.
        DataError: The database cannot be reached.
    """
    if url is None or url.startswith("journal:"):
        yield _journal(Path(url.removeprefix("journal:")) if url else default)
        return
    kind = url.split(":", 1)[0].split("+", 1)[0]
    if kind == "postgres":
        kind = "postgresql"
    if kind not in SCHEMES or "://" not in url:
        raise OptionError(
            "storage",
            must="postgresql://…, journal:PATH or sqlite:///PATH",
            was=without_secret(url),
        )
    if kind == "postgresql":
        yield _database(url, heartbeat_seconds)
        return
    if jobs > 1:
        raise OptionError("storage", must=_ONE_WRITER, was=url)
    with _only_writer(Path(url.split("://", 1)[1][1:])):  # as in SQLAlchemy: /// and a path
        yield _database(url, None)


_ONE_WRITER = (
    "a storage for several writers; SQLite locks its whole file, loses trials to timeouts and "
    "is corrupted on shared file systems, so Optuna's authors advise against it: use "
    "postgresql://… or journal:PATH"
)


@contextmanager
def _only_writer(place: Path) -> Iterator[None]:
    """Lock an SQLite file against other writers."""
    beside = place.with_name(f"{place.name}.writer")
    with beside.open("ab") as file:
        try:
            lock(file, place)
        except OutputError as fault:
            raise OutputError(f"{place}: another process is using it; give {_ONE_WRITER}.") from (
                fault
            )
        yield
        with contextlib.suppress(OSError):
            beside.unlink()


def _journal(place: Path) -> BaseStorage:
    from optuna.storages import JournalStorage  # noqa: PLC0415 - an extra
    from optuna.storages.journal import JournalFileBackend  # noqa: PLC0415

    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(place)))
    except OSError as fault:
        raise OutputError(f"{place}: cannot be written ({fault.strerror}).") from fault


def _database(url: str, heartbeat_seconds: int | None) -> BaseStorage:
    from optuna.exceptions import ExperimentalWarning  # noqa: PLC0415 - an extra
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    driver = re.sub(r"^(postgresql|postgres)://", "postgresql+psycopg://", url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats
            return RDBStorage(
                driver,
                heartbeat_interval=heartbeat_seconds,
                grace_period=2 * heartbeat_seconds if heartbeat_seconds else None,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback()
                if heartbeat_seconds
                else None,
                engine_kwargs={"pool_pre_ping": True} if heartbeat_seconds else None,
            )
    except (SQLAlchemyError, ValueError) as fault:
        message = " ".join(str(fault).split())[:200]
        raise DataError(
            f"{without_secret(url)}: no storage can be opened there ({message})."
        ) from fault

"""Create a tracker by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import OptionError, one_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pneumoscope.tracking.tracker import Tracker

TRACKERS = ("mlflow", "tensorboard")
"""The names of trackers."""


def make_tracker(
    name: str,
    *,
    out: Path,
    title: str,
    uri: str | None,
    warn: Callable[[str], None],
    nested: bool = True,
) -> Tracker:
    """Create a tracker.

    Args:
        name: ``mlflow`` or ``tensorboard``.
        out: The folder of the run or study; ``tensorboard`` writes into a folder in it.
        title: Title of the run or study.
        uri: For ``mlflow``: a server, such as ``http://host:5000``, or a database, such as
            ``sqlite:///mlflow.db``; None is ``MLFLOW_TRACKING_URI``, or else the file ``mlflow.db``
            next to ``out``.
        warn: Called if a report failed.
        nested: Whether runs are children of one run of this title.

    Raises:
        OptionError: An unknown name, or an address for a tracker that has none.
        ModuleNotFoundError: The package of the tracker is not installed.
    """
    one_of("tracker", name, TRACKERS)
    if name == "mlflow":
        from pneumoscope.tracking.mlflow import MLflowTracker  # noqa: PLC0415 - only if requested

        return MLflowTracker.of(title=title, uri=uri, beside=out, nested=nested, warn=warn)
    if uri is not None:
        raise OptionError("tracking_uri", must="omitted with tensorboard", was=uri)
    from pneumoscope.tracking.tensorboard import TensorBoardTracker  # noqa: PLC0415 - the same

    return TensorBoardTracker(out / "tensorboard", warn=warn)

"""The shared state of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.serve.admission import Admission
from pneumoscope.serve.metrics import Metrics

if TYPE_CHECKING:
    from pneumoscope.serve.pool import Pool
    from pneumoscope.serve.settings import Settings


class Service:
    """The shared state of a service.

    Args:
        settings: Settings of the service.
        pool: The pool of processes.

    Attributes:
        settings: The settings.
        pool: The pool.
        admission: The queue.
        metrics: The metrics.
        draining: Whether the service is shutting down.
    """

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.settings = settings
        self.pool = pool
        self.admission = Admission(
            settings.queue, per_client=settings.per_client, workers=settings.workers
        )
        self.metrics = Metrics(self.admission, pool)
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether the service is ready now."""
        return self.pool.ready and not self.draining and not self.admission.full

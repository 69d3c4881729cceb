"""Prometheus metrics of a node, computed from the queue on request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pneumoscope.errors import OutputError

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from pneumoscope.hospital.queue import Queue

RATE_SECONDS = 600.0


class QueueCollector(Collector):
    """Numbers of waiting, finished and undeliverable objects.

    Args:
        queue: Queue of the node.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        images = GaugeMetricFamily(
            "pneumoscope_node_images", "Images by processing state", labels=["state"]
        )
        for state, count in self._queue.figures()["images"].items():
            images.add_metric([state], count)
        yield images
        deliveries = GaugeMetricFamily(
            "pneumoscope_node_deliveries",
            "Objects by destination and delivery state",
            labels=["destination", "state"],
        )
        for destination, state, count in self._queue.by_destination():
            deliveries.add_metric([destination, state], count)
        yield deliveries
        received, read = self._queue.recent(RATE_SECONDS)
        minutes = RATE_SECONDS / 60
        rate = GaugeMetricFamily(
            "pneumoscope_node_images_per_minute",
            "Images per minute in the last ten minutes",
            labels=["what"],
        )
        rate.add_metric(["received"], received / minutes)
        rate.add_metric(["read"], read / minutes)
        yield rate
        oldest = GaugeMetricFamily(
            "pneumoscope_node_oldest_waiting_seconds", "Age of the oldest image waiting to be read"
        )
        oldest.add_metric([], self._queue.oldest_seconds())
        yield oldest


def serve_metrics(queue: Queue, host: str, port: int) -> int:
    """Serve the metrics at ``/metrics`` in a daemon thread; return the port.

    Raises:
        OutputError: The port cannot be listened on.
    """
    registry = CollectorRegistry()
    registry.register(QueueCollector(queue))
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as fault:
        raise OutputError(f"{host}:{port}: cannot listen there ({fault.strerror}).") from fault
    return int(server.server_address[1])

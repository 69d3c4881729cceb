"""Prometheus metrics of the service.

One process counts for all processes that read images, so a scrape is always complete. Labels are
fixed words and names of models, never information about images or clients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily

from pneumoscope.reader.drift import bin_of, drift, reference_counts

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from pneumoscope.serve.admission import Admission
    from pneumoscope.serve.pool import Answer, Pool


_NAMESPACE = "pneumoscope"
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """Counts requests and conclusions.

    Args:
        admission: The queue.
        pool: The processes and the models.
    """

    def __init__(self, admission: Admission, pool: Pool) -> None:
        self._pool = pool
        self.registry = CollectorRegistry()
        self._drift = _DriftCollector()
        self.registry.register(self._drift)
        self._requests = self._counter("requests", "Requests answered.", "route", "status")
        self._answered: dict[tuple[str, int], Counter] = {}
        self._conclusions = self._counter("conclusions", "Conclusions.", "model", "conclusion")
        self._findings = self._counter(
            "finding_conclusions",
            "Conclusions about each finding, for models of several findings.",
            *("model", "finding", "conclusion"),
        )
        self._refusals = self._counter(
            "refusals", "Images that could not be read or assessed.", "reason"
        )
        self._wait = self._histogram("wait_seconds", "Waiting time from complete body to process.")
        self._decode = self._histogram("decode_seconds", "Decoding an image.")
        self._inference = self._histogram("inference_seconds", "Running the model.")
        self._gauge("queue_depth", "Requests in progress.", lambda: admission.taken)
        self._gauge(
            "queue_places", "Maximum number of requests in progress.", lambda: admission.places
        )
        self._gauge("workers_ready", "Ready worker processes.", lambda: len(pool.processes))
        self._gauge(
            "workers_died", "Worker processes that died and were replaced.", lambda: pool.died
        )

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, namespace=_NAMESPACE, registry=self.registry)

    def _histogram(self, name: str, about: str) -> Histogram:
        return Histogram(
            name, about, namespace=_NAMESPACE, registry=self.registry, buckets=_SECONDS
        )

    def _gauge(self, name: str, about: str, value: Callable[[], float]) -> None:
        gauge = Gauge(name, about, namespace=_NAMESPACE, registry=self.registry)
        gauge.set_function(value)

    def answered(self, route: str, status: int) -> None:
        """Count a finished request."""
        counter = self._answered.get((route, status))
        if counter is None:  # looking it up takes longer than counting
            counter = self._requests.labels(route, str(status))
            self._answered[route, status] = counter
        counter.inc()

    def refused(self, reason: str) -> None:
        """Count an image that could not be read or assessed.

        Args:
            reason: A fixed word, such as ``too_large``.
        """
        self._refusals.labels(reason).inc()

    def read(self, model: str, answer: Answer) -> None:
        """Count an image that was read."""
        fields = answer.fields
        self._wait.observe(max(0.0, answer.waited))
        self._decode.observe(fields["decode_seconds"])
        self._inference.observe(max(0.0, fields["seconds"] - fields["decode_seconds"]))
        self._conclusions.labels(model, fields["conclusion"]).inc()
        if fields["refused"]:
            self.refused("header" if fields["by_header"] else "gate")
        about = self._pool.models[model]
        if fields["probability"] is not None:
            self._drift.add((model,), fields["probability"], about["reference"])
        for name, (conclusion, probability) in fields["findings"].items():
            self._findings.labels(model, name, conclusion).inc()
            reference = about["findings"].get(name, {}).get("reference", {})
            self._drift.add((model, name), probability, reference)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _DriftCollector:
    """The drift of each model's probabilities from those of its validation images.

    Keys are (model,), and (model, finding) for each finding of a model of several.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._references: dict[tuple[str, ...], Sequence[int]] = {}
        self._known: dict[tuple[str, ...], Mapping[str, Any]] = {}

    def add(self, key: tuple[str, ...], probability: float, reference: Mapping[str, Any]) -> None:
        if self._known.get(key) is not reference:  # the first image, or the model was replaced
            self._known[key] = reference
            expected = reference_counts(reference) or []
            if self._references.get(key) != expected:
                self._references[key] = expected
                self._counts[key] = [0] * len(expected)
        if counts := self._counts[key]:
            counts[bin_of(probability, bins=len(counts))] += 1

    def collect(self) -> Iterator[Metric]:
        for kind, labels in (("drift", ["model"]), ("finding_drift", ["model", "finding"])):
            index = GaugeMetricFamily(
                f"{_NAMESPACE}_{kind}_psi",
                "Population stability index of the probabilities against validation.",
                labels=labels,
            )
            distance = GaugeMetricFamily(
                f"{_NAMESPACE}_{kind}_ks",
                "Kolmogorov-Smirnov distance of the probabilities against validation.",
                labels=labels,
            )
            for key, counts in self._counts.items():
                if len(key) != len(labels):
                    continue
                found = drift(counts, self._references[key])  # none without a reference
                if found is not None:
                    index.add_metric(key, found.psi)
                    distance.add_metric(key, found.ks)
            yield index
            yield distance

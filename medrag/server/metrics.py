"""Counts and times for Prometheus. Labels are routes and outcomes, never what somebody sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from medrag.server.work import WorkQueue

BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 120)  # seconds


class Metrics:
    """``medrag_requests_total``, ``medrag_request_seconds``, ``medrag_first_event_seconds``, ``medrag_answers_total``, ``medrag_inside``."""

    def __init__(self, queue: WorkQueue) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "medrag_requests", "Requests by route and status", ("route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "medrag_request_seconds", "Seconds to the last byte", ("route",), buckets=BUCKETS, registry=self.registry
        )
        self.first = Histogram(
            "medrag_first_event_seconds", "Seconds to the first byte", ("route",), buckets=BUCKETS, registry=self.registry
        )  # fmt: skip
        self.answers = Counter("medrag_answers", "Answers by status", ("status",), registry=self.registry)
        inside = Gauge("medrag_inside", "Questions at work or in line", registry=self.registry)
        inside.set_function(lambda: queue.inside)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)

"""What the service counts, as Prometheus reads it. No label holds anything that a caller wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import Scope

from triagedesk.desk import Desk
from triagedesk.models import Provenance, Tokens
from triagedesk.service.notify import TargetState
from triagedesk.service.store.records import JobState

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
METHODS = frozenset(("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"))
BREAKER_STATES = ("closed", "open", "half_open")
NO_TOKENS = Tokens()
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One set of counters for one app; others may add theirs to `registry`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "triagedesk_requests", "HTTP answers", ("route", "method", "status"), registry=registry
        )  # fmt: skip
        self.request_seconds = Histogram(
            "triagedesk_request_seconds", "Time to the end of an answer", ("route",), buckets=SECONDS, registry=registry
        )
        self.suggestions = Counter(
            "triagedesk_suggestions", "Suggestions by who answered, and why the rules did",
            ("source", "fallback_reason"), registry=registry,
        )  # fmt: skip
        self.suggestion_seconds = Histogram(
            "triagedesk_suggestion_seconds", "Time at the desk", ("source",), buckets=SECONDS, registry=registry
        )
        self.tokens = Counter("triagedesk_tokens", "Tokens as the model's server counts them", ("kind",),
                              registry=registry)  # fmt: skip
        self.cost = Counter("triagedesk_cost_usd", "Money spent on model calls", registry=registry)
        self.held = Counter("triagedesk_urgency_held", "Later messages that did not lower an urgency",
                            registry=registry)  # fmt: skip
        self.client_gone = Counter("triagedesk_client_gone", "Callers who hung up before their answer",
                                   registry=registry)  # fmt: skip
        self.reloads = Counter("triagedesk_playbook_reloads", "Changed playbooks", ("outcome",), registry=registry)
        self.loop_lag = Gauge("triagedesk_loop_lag_seconds", "How late the event loop last was", registry=registry)
        self.jobs = Gauge("triagedesk_jobs", "Background jobs", ("state",), registry=registry)
        self._answers = cache(self.requests.labels)
        self._waits = cache(self.request_seconds.labels)
        self._kinds = cache(self.suggestions.labels)
        self._desk_waits = cache(self.suggestion_seconds.labels)

    def watch(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answer; status 0 is one that never began, because the caller hung up."""
        route = str(getattr(scope.get("route"), "path", "none"))
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._answers(route, method, str(status or 499)).inc()
        self._waits(route).observe(seconds)

    def suggested(self, provenance: Provenance) -> None:
        """Count a suggestion."""
        source = provenance.source.value
        self._kinds(source, provenance.fallback_reason or "").inc()
        self._desk_waits(source).observe(provenance.elapsed_ms / 1000)
        if provenance.tokens != NO_TOKENS:
            for kind, count in provenance.tokens.model_dump().items():
                self.tokens.labels(kind).inc(count)
        if provenance.cost_usd:
            self.cost.inc(provenance.cost_usd)

    def count_jobs(self, depth: Mapping[JobState, int]) -> None:
        """Take note of how many jobs are in each state."""
        for state, count in depth.items():
            self.jobs.labels(state.value).set(count)

    def observe(self, desk: Callable[[], Desk], at_once: Callable[[], int]) -> None:
        """Read breaker, cache and load of the desk on duty whenever somebody asks."""
        self.registry.register(_DeskState(desk, at_once))

    def observe_targets(self, states: Callable[[], Iterable[TargetState]]) -> None:
        """Read what the targets of notifications did whenever somebody asks."""
        self.registry.register(_Targets(states))

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self.registry)


class _DeskState(Collector):
    def __init__(self, desk: Callable[[], Desk], at_once: Callable[[], int]) -> None:
        self._desk, self._at_once = desk, at_once

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name nothing in advance: there may be no desk yet."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Read the state now."""
        desk = self._desk()
        yield GaugeMetricFamily("triagedesk_in_flight", "Tickets at the desk", value=self._at_once())
        breaker = GaugeMetricFamily("triagedesk_breaker_state", "1 for the breaker's state", labels=("state",))
        for state in BREAKER_STATES if desk.breaker_state else ():
            breaker.add_metric((state,), float(state == desk.breaker_state))
        yield breaker
        stats = desk.cache_stats()
        looked_up = CounterMetricFamily("triagedesk_cache_lookups", "Looks into the cache", labels=("outcome",))
        if stats is not None:
            looked_up.add_metric(("hit",), stats.hits)
            looked_up.add_metric(("miss",), stats.misses)
        yield looked_up


class _Targets(Collector):
    def __init__(self, states: Callable[[], Iterable[TargetState]]) -> None:
        self._states = states

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name nothing in advance."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Read the counts now. A target's name is the operator's own."""
        queued = GaugeMetricFamily("triagedesk_notifications_queued", "Alarms that wait", labels=("target",))
        ended = CounterMetricFamily("triagedesk_notifications", "Alarms by what became of them",
                                    labels=("target", "outcome"))  # fmt: skip
        failed = CounterMetricFamily("triagedesk_notification_failures", "Attempts to tell that failed, by reason",
                                     labels=("target", "reason"))  # fmt: skip
        for state in self._states():
            queued.add_metric((state.name,), state.queued)
            for outcome in ("sent", "retried", "dropped", "dead"):
                ended.add_metric((state.name, outcome), getattr(state, outcome))
            for reason, count in sorted(state.failures.items()):
                failed.add_metric((state.name, reason), count)
        yield from (queued, ended, failed)

"""OpenTelemetry under `tracing`: spans leave the process as OTLP over HTTP, from a thread of their own.

Where they go, how many and under which name is said by OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_BSP_*. A collector that fails or hangs costs
spans, never a suggestion.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from triagedesk.errors import ConfigError
from triagedesk.logs import QUIET_S, get_logger
from triagedesk.tracing import Fact, Facts, Headers, Kind, Span

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Link, StatusCode
    from opentelemetry.trace import Span as OtelSpan
    from requests import Response, Session

NAME = "triagedesk"
FLUSH_S = 3.0
"""So long the last spans may take to leave when a process ends."""

MAX_CHARS = 200


class Lost(StrEnum):
    """Why spans did not arrive."""

    UNREACHABLE = "collector_unreachable"  # nobody listens there, or the connection breaks
    HANGS = "collector_hangs"  # it does not answer in time
    FAILED = "export_failed"  # it answers, and does not take them
    QUEUE_FULL = "queue_full"  # more came than could wait


class Losses:
    """Counts the spans that ended and those that left, and tells the difference: at once, then seldom, and at the end.

    `reason` is what became of the latest attempt.
    """

    def __init__(self) -> None:
        self.reason = Lost.FAILED
        self._lock = threading.Lock()
        self._ended = self._settled = self._lost = 0
        self._quiet_until = 0.0
        self._closed = False

    def end(self) -> None:
        """Count a span that ended and is to leave."""
        with self._lock:
            self._ended += 1

    def settle(self, spans: int, *, arrived: bool) -> None:
        """Count spans that were sent, or given up."""
        with self._lock:
            self._settled += spans
            self._lost += 0 if arrived else spans
            now = time.monotonic()
            if self._lost and now >= self._quiet_until and not self._closed:
                self._quiet_until = now + QUIET_S
                self._tell(self.reason)

    def close(self, *, hangs: bool) -> None:
        """Tell what was not told yet: spans that are given up now were either on their way or dropped before."""
        with self._lock:
            self._closed = True
            left = self._ended - self._settled
            self._lost += left
            if self._lost:
                self._tell(self.reason if hangs or self._lost > left else Lost.QUEUE_FULL)

    def _tell(self, reason: Lost) -> None:
        get_logger("telemetry").warning("spans lost", reason=reason.value, count=self._lost)
        self._lost = 0


@contextmanager
def open_telemetry(wanted: bool, *, exporter: SpanExporter | None = None) -> Iterator[Telemetry | None]:
    """Open a tracer where traces are wanted, and send what is left at the end, for FLUSH_S seconds at most.

    Raises ConfigError where the packages are missing, or a variable of theirs cannot be used.
    """
    if not wanted:
        yield None
        return
    _hush()
    losses = Losses()
    provider = _opened(exporter, losses)
    try:
        yield Telemetry(provider)
    finally:
        _close(provider, losses)


def _opened(exporter: SpanExporter | None, losses: Losses) -> TracerProvider:
    try:
        return _provider(exporter, losses)
    except ImportError:
        raise ConfigError("traces are an extra: pip install 'triagedesk[otel]', or unset TRIAGEDESK_OTEL") from None
    except ValueError:
        raise ConfigError("an OTEL_… variable cannot be used: see docs/tracing.md, or unset TRIAGEDESK_OTEL") from None


def _provider(exporter: SpanExporter | None, losses: Losses) -> TracerProvider:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    class Counted(BatchSpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            if span.context and span.context.trace_flags.sampled:
                losses.end()
            super().on_end(span)

    if exporter is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(session=_session(losses))
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)  # its own way to end waits half a minute
    provider.add_span_processor(Counted(_watched(exporter, losses)))
    return provider


def _session(losses: Losses) -> Session | None:
    """Return a session that notes how each attempt went: the exporter tries again and again, and tells only its log."""
    if any(name.endswith("_CREDENTIAL_PROVIDER") for name in os.environ):
        return None  # the exporter's own, which knows the credentials
    import requests

    class Noted(requests.Session):
        def request(self, *args: Any, **more: Any) -> Response:
            losses.reason = Lost.HANGS
            try:
                answer = super().request(*args, **more)
            except requests.ConnectionError:
                losses.reason = Lost.UNREACHABLE
                raise
            losses.reason = Lost.FAILED  # or all is well, and nobody asks
            return answer

    return Noted()


def _resource() -> Resource:
    from opentelemetry.sdk.resources import Resource

    try:
        installed = version(NAME)
    except PackageNotFoundError:
        installed = "unknown"
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({"service.version": installed} if named else
                           {"service.name": NAME, "service.version": installed})  # fmt: skip


def _watched(exporter: SpanExporter, losses: Losses) -> SpanExporter:
    """Say in our own log when spans are lost: the SDK's messages may quote what a collector sent."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Watched(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            outcome = exporter.export(spans)
            losses.settle(len(spans), arrived=outcome is SpanExportResult.SUCCESS)
            return outcome

        def shutdown(self) -> None:
            exporter.shutdown()

    return Watched()


def _hush() -> None:
    """Keep the SDK's and its HTTP client's own log lines off stderr: for good, because their threads may outlive us."""
    for name in ("opentelemetry", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _close(provider: TracerProvider, losses: Losses) -> None:
    """Send what is left, within bounds; a thread that hangs is a daemon, and ends with the process."""
    closing = threading.Thread(target=provider.shutdown, name="telemetry-close", daemon=True)
    closing.start()
    closing.join(FLUSH_S)
    losses.close(hangs=closing.is_alive())


class Telemetry:
    """A `Tracer` that writes OpenTelemetry spans."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._kinds = {kind: trace.SpanKind[kind.name] for kind in Kind}
        self._tracer = provider.get_tracer(NAME)
        self._propagator = TraceContextTextMapPropagator()  # no baggage: it may hold anything

    def span(
        self, name: str, facts: Facts, *, kind: Kind = Kind.INTERNAL, parent: Headers | None = None,
        link: Headers | None = None,
    ) -> AbstractContextManager[Span]:  # fmt: skip
        """Make a span under the present one, or under a `parent` from elsewhere; `link` is who caused it before."""
        made = self._tracer.start_span(
            name, self._propagator.extract(parent) if parent is not None else None, self._kinds[kind],
            {fact.value: _plain(value) for fact, value in facts.items() if value is not None},
            links=self._links(link), record_exception=False, set_status_on_exception=False,
        )  # fmt: skip
        return self._within(made)

    @contextmanager
    def _within(self, made: OtelSpan) -> Iterator[Span]:
        told = _OtelSpan(made, self._trace.StatusCode.ERROR)
        with self._trace.use_span(made, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield told
            except BaseException as wrong:
                told.failed(_reason(wrong))  # never its message: that may hold anything
                raise

    def headers(self) -> dict[str, str]:
        """Return what tells another process of the present span."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier

    @property
    def within(self) -> bool:
        """Say whether there is a span now, and it is kept."""
        return self._trace.get_current_span().is_recording()

    def _links(self, caused_by: Headers | None) -> list[Link]:
        if caused_by is None:
            return []
        context = self._trace.get_current_span(self._propagator.extract(caused_by)).get_span_context()
        return [self._trace.Link(context)] if context.is_valid else []


class _OtelSpan:
    def __init__(self, made: OtelSpan, error: StatusCode) -> None:
        self._made, self._error = made, error

    def tell(self, facts: Facts) -> None:
        for fact, value in facts.items():
            if value is not None:
                self._made.set_attribute(fact.value, _plain(value))

    def rename(self, name: str) -> None:
        self._made.update_name(name)

    def failed(self, reason: str) -> None:
        self._made.set_attribute(Fact.ERROR.value, reason)
        self._made.set_status(self._error)


def _plain(value: str | bool | int | float) -> str | bool | int | float:
    return value[:MAX_CHARS] if isinstance(value, str) else value


def _reason(wrong: BaseException) -> str:
    """Return the closed name that an error of ours brings, or its type's."""
    reason = getattr(wrong, "reason", None)
    return str(reason) if isinstance(reason, str) else type(wrong).__name__

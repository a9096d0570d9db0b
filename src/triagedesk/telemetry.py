"""OpenTelemetry under `tracing`: spans leave the process as OTLP over HTTP, from a thread of their own.

Where they go, how many and under which name is said by OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_BSP_*. A collector that fails or hangs costs
spans, never a suggestion.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from triagedesk.errors import ConfigError
from triagedesk.logs import get_logger
from triagedesk.tracing import Fact, Facts, Headers, Kind, Span

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Link, StatusCode
    from opentelemetry.trace import Span as OtelSpan

NAME = "triagedesk"
FLUSH_S = 3.0
"""So long the last spans may take to leave when a process ends."""

MAX_CHARS = 200


@contextmanager
def open_telemetry(wanted: bool, *, exporter: SpanExporter | None = None) -> Iterator[Telemetry | None]:
    """Open a tracer where traces are wanted, and send what is left at the end, for FLUSH_S seconds at most.

    Raises ConfigError where the packages are missing, or a variable of theirs cannot be used.
    """
    if not wanted:
        yield None
        return
    _hush()
    provider = _opened(exporter)
    try:
        yield Telemetry(provider)
    finally:
        _close(provider)


def _opened(exporter: SpanExporter | None) -> TracerProvider:
    try:
        return _provider(exporter)
    except ImportError:
        raise ConfigError("traces are an extra: pip install 'triagedesk[otel]', or unset TRIAGEDESK_OTEL") from None
    except ValueError:
        raise ConfigError("an OTEL_… variable cannot be used: see docs/tracing.md, or unset TRIAGEDESK_OTEL") from None


def _provider(exporter: SpanExporter | None) -> TracerProvider:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if exporter is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter()
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)  # its own way to end waits half a minute
    provider.add_span_processor(BatchSpanProcessor(_watched(exporter)))
    return provider


def _resource() -> Resource:
    from opentelemetry.sdk.resources import Resource

    try:
        installed = version(NAME)
    except PackageNotFoundError:
        installed = "unknown"
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({"service.version": installed} if named else
                           {"service.name": NAME, "service.version": installed})  # fmt: skip


def _watched(exporter: SpanExporter) -> SpanExporter:
    """Say in our own log when spans are lost: the SDK's messages may quote what a collector sent."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    log = get_logger("telemetry")

    class Watched(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            outcome = exporter.export(spans)
            if outcome is not SpanExportResult.SUCCESS:
                log.warning("spans lost", reason="export_failed", count=len(spans))
            return outcome

        def shutdown(self) -> None:
            exporter.shutdown()

    return Watched()


def _hush() -> None:
    """Keep the SDK's and its HTTP client's own log lines off stderr: for good, because their threads may outlive us."""
    for name in ("opentelemetry", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _close(provider: TracerProvider) -> None:
    """Send what is left, within bounds; a thread that hangs is a daemon, and ends with the process."""
    closing = threading.Thread(target=provider.shutdown, name="telemetry-close", daemon=True)
    closing.start()
    closing.join(FLUSH_S)
    if closing.is_alive():
        get_logger("telemetry").warning("spans lost", reason="collector_hangs")


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

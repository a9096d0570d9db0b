"""What the tests of tracing share: spans kept in memory, and a collector on loopback that reads OTLP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs the [otel] extra")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from triagedesk.telemetry import open_telemetry
from triagedesk.tracing import Tracer, traced_by

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{CALLER}-00f067aa0ba902b7-01"


@dataclass
class Kept:
    """The spans of a block, there when it has ended."""

    tracer: Tracer
    spans: list[ReadableSpan] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """What was done, in the order in which it began."""
        return [span.name for span in sorted(self.spans, key=lambda span: span.start_time or 0)]

    def one(self, name: str) -> ReadableSpan:
        """Return the only span of a name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def facts(self, name: str) -> dict[str, Any]:
        """Return what is told of the only span of a name."""
        return dict(self.one(name).attributes or {})

    def parent(self, name: str) -> str | None:
        """Return the name of the span above."""
        above = self.one(name).parent
        ids = {span.context.span_id: span.name for span in self.spans if span.context}
        return ids.get(above.span_id) if above else None

    def dump(self) -> str:
        """Return all that would leave the process."""
        return "\n".join(str(span.to_json()) for span in self.spans)


@contextmanager
def kept() -> Iterator[Kept]:
    """Trace what happens in this block."""
    memory = InMemorySpanExporter()
    with open_telemetry(True, exporter=memory) as tracer:
        assert tracer is not None
        found = Kept(tracer)
        with traced_by(tracer):
            yield found
    found.spans += memory.get_finished_spans()


@dataclass
class Collector:
    """An OTLP/HTTP receiver."""

    url: str
    bodies: list[bytes] = field(default_factory=list)

    @property
    def spans(self) -> list[Any]:
        """Every span that came."""
        found = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for request in found
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that send spans here."""
        return {"TRIAGEDESK_OTEL": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": self.url}


@contextmanager
def collector(status: int = 200, *, hang: threading.Event | None = None) -> Iterator[Collector]:
    """Run a collector that answers with a status, once `hang` is set if that is given."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            if hang is not None:
                hang.wait(30)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            if hang is not None:
                hang.set()
            server.shutdown()
            thread.join(5)

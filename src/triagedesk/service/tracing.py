"""The service's spans: one for every request under its caller's, and one for every job, linked to who queued it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triagedesk.tracing import Fact, Kind, Span, Tracer, headers, span, traced_by

if TYPE_CHECKING:
    from fastapi import FastAPI

    from triagedesk.service.worker import Task

UNTRACED = frozenset(("/livez", "/readyz", "/metrics"))
"""What machines ask every few seconds."""

METHODS = frozenset(("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"))
CARRIED = "trace"
"""Under this name a job's payload tells which span queued it."""

_CONTEXT = {b"traceparent": "traceparent", b"tracestate": "tracestate"}
MAX_CONTEXT_BYTES = 600


def trace(app: FastAPI, tracer: Tracer | None) -> None:
    """Let a tracer see every request and job of an application that has not started yet; None sees nothing."""
    if tracer is not None:
        app.add_middleware(Traced, tracer=tracer)


class Traced:
    """The outermost layer: a span of every request, which everything that the request starts goes under."""

    def __init__(self, app: ASGIApp, *, tracer: Tracer) -> None:
        self._app, self._tracer = app, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve within a span. The workers start with the application, in its lifespan: they are traced too."""
        if scope["type"] == "http" and scope["path"] in UNTRACED:
            await self._app(scope, receive, send)
            return
        with traced_by(self._tracer):
            if scope["type"] == "http":
                await self._serve(scope, receive, send)
            else:
                await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        facts = {Fact.METHOD: method, Fact.SCHEME: scope["scheme"]}
        with self._tracer.span(method, facts, kind=Kind.SERVER, parent=_context(scope)) as told:

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _tell(told, message["status"])
                await send(message)

            try:
                await self._app(scope, receive, watched)
            finally:
                route = getattr(scope.get("route"), "path", None)  # the template, never the path: it may hold anything
                if route is not None:
                    told.rename(f"{method} {route}")
                    told.tell({Fact.ROUTE: route})


def _tell(told: Span, status: int) -> None:
    told.tell({Fact.STATUS: status})
    if status >= 500:
        told.failed(str(status))


def _context(scope: Scope) -> dict[str, str]:
    """Return the caller's trace context: short, and nothing else of the headers."""
    return {
        _CONTEXT[name]: value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _CONTEXT and len(value) <= MAX_CONTEXT_BYTES
    }


def carried() -> dict[str, Any]:
    """Return what a job's payload says of the span that queues it: nothing where nobody traces."""
    told = headers()
    return {CARRIED: told} if told else {}


def job_span(kind: str, attempts: int, payload: Mapping[str, Any]) -> AbstractContextManager[Span]:
    """Make a span of a try of a job, in a trace of its own, linked to the span that queued it."""
    queued = payload.get(CARRIED)
    link = queued if isinstance(queued, Mapping) else None
    return span(f"job {kind}", {Fact.JOB_KIND: kind, Fact.ATTEMPTS: attempts}, kind=Kind.CONSUMER, link=link)


def as_span(handler: Callable[[Task], Awaitable[None]]) -> Callable[[Task], Awaitable[None]]:
    """Make a span of every try of a job."""

    async def run(task: Task) -> None:
        with job_span(task.job.kind, task.job.attempts, task.job.payload):
            await handler(task)

    return run

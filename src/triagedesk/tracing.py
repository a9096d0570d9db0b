"""Spans of what happens to a ticket, where somebody asked for them; where nobody did, one look at a variable.

Nothing here knows OpenTelemetry: a door that traces lets a `Tracer` in, and telemetry.py has one. A span holds closed
names, labels of the playbook and counts (`Fact`): never a ticket's words or id, a customer, a key or an address that
a caller wrote.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from triagedesk.models import Suggestion, Tokens

P = ParamSpec("P")
R = TypeVar("R")
Headers = Mapping[str, str]
"""W3C Trace Context: `traceparent`, and `tracestate` where a caller sent one."""


class Kind(StrEnum):
    """What a span stands for, in OpenTelemetry's words."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    CONSUMER = "consumer"


class Fact(StrEnum):
    """Everything that a span may say: OpenTelemetry's conventions for HTTP (stable) and GenAI (in development), ours.

    Sources: opentelemetry.io/docs/specs/semconv/http and github.com/open-telemetry/semantic-conventions-genai.
    """

    METHOD = "http.request.method"
    ROUTE = "http.route"
    SCHEME = "url.scheme"
    STATUS = "http.response.status_code"
    ERROR = "error.type"

    OPERATION = "gen_ai.operation.name"
    PROVIDER = "gen_ai.provider.name"
    REQUEST_MODEL = "gen_ai.request.model"
    RESPONSE_MODEL = "gen_ai.response.model"
    OUTPUT_TYPE = "gen_ai.output.type"
    TEMPERATURE = "gen_ai.request.temperature"
    MAX_TOKENS = "gen_ai.request.max_tokens"
    INPUT_TOKENS = "gen_ai.usage.input_tokens"
    CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
    OUTPUT_TOKENS = "gen_ai.usage.output_tokens"

    SERVER_ADDRESS = "server.address"
    SERVER_PORT = "server.port"

    SOURCE = "triagedesk.source"
    FALLBACK_REASON = "triagedesk.fallback_reason"
    URGENCY = "triagedesk.urgency"
    ISSUE_TYPE = "triagedesk.issue_type"
    ESCALATION = "triagedesk.escalation"
    NEEDS_REVIEW = "triagedesk.needs_review"
    ATTEMPTS = "triagedesk.attempts"
    CACHE_HIT = "triagedesk.cache_hit"
    JOB_KIND = "triagedesk.job_kind"


MAX_NAME_CHARS = 100

Facts = Mapping[Fact, str | bool | int | float | None]
"""What is told of a span; None is left out."""


class Span(Protocol):
    """Something that takes time."""

    def tell(self, facts: Facts) -> None:
        """Add facts."""

    def rename(self, name: str) -> None:
        """Name it anew: what it is may show only at its end."""

    def failed(self, reason: str) -> None:
        """Say that it came to nothing, by a closed name."""


class Tracer(Protocol):
    """Makes spans. What is raised inside one is told by its `reason`, or its type's name, and goes on."""

    def span(
        self, name: str, facts: Facts, *, kind: Kind = Kind.INTERNAL, parent: Headers | None = None,
        link: Headers | None = None,
    ) -> AbstractContextManager[Span]:  # fmt: skip
        """Make a span under the present one, or under a `parent` from elsewhere; `link` is who caused it before."""

    def headers(self) -> dict[str, str]:
        """Return what tells another process of the present span."""

    @property
    def within(self) -> bool:
        """Say whether there is a span now, and it is kept."""


_TRACER: ContextVar[Tracer | None] = ContextVar("tracer", default=None)


class _Untold:
    """The span of those who do not trace."""

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def tell(self, facts: Facts) -> None: ...
    def rename(self, name: str) -> None: ...
    def failed(self, reason: str) -> None: ...


_UNTOLD = _Untold()


@contextmanager
def traced_by(tracer: Tracer | None) -> Iterator[None]:
    """Let a tracer see what happens in this block, and in every task that starts there."""
    token = _TRACER.set(tracer)
    try:
        yield
    finally:
        _TRACER.reset(token)


def span(
    name: str, facts: Facts | None = None, *, kind: Kind = Kind.INTERNAL, link: Headers | None = None
) -> AbstractContextManager[Span]:  # fmt: skip
    """Make a span for a `with` block."""
    tracer = _TRACER.get()
    return _UNTOLD if tracer is None else tracer.span(name, facts or {}, kind=kind, link=link)


def headers() -> dict[str, str]:
    """Return the headers that tell another process of the present span; none where nobody traces."""
    tracer = _TRACER.get()
    return {} if tracer is None else tracer.headers()


def traced(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a span of every call of a function that is part of something: not of one that only warms up."""

    def decorate(step: Callable[P, R]) -> Callable[P, R]:
        @wraps(step)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            tracer = _TRACER.get()
            if tracer is None or not tracer.within:
                return step(*args, **kwargs)
            with tracer.span(name, {}):
                return step(*args, **kwargs)

        return run

    return decorate


def traced_async(
    name: str, told: Callable[[Any], Facts]
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """Make a span of every call of an async function; `told` says what of its result may be told."""

    async def within(tracer: Tracer, work: Awaitable[R]) -> R:
        with tracer.span(name, {}) as made:
            result = await work
            made.tell(told(result))
            return result

    def decorate(step: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        @wraps(step)
        def run(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
            tracer = _TRACER.get()
            work = step(*args, **kwargs)
            return work if tracer is None else within(tracer, work)

        return run

    return decorate


class _Considered(Protocol):
    @property
    def suggestion(self) -> Suggestion: ...


def of_suggestion(found: _Considered) -> Facts:
    """Tell what was suggested, who said so, and why the model did not."""
    made = found.suggestion
    facts: dict[Fact, str | bool | int | None] = {
        Fact.SOURCE: made.provenance.source.value, Fact.FALLBACK_REASON: made.provenance.fallback_reason,
        Fact.NEEDS_REVIEW: made.needs_review, Fact.ATTEMPTS: made.provenance.attempts,
    }  # fmt: skip
    for fact, name in ((Fact.URGENCY, "urgency"), (Fact.ISSUE_TYPE, "issue_type"), (Fact.ESCALATION, "escalation")):
        facts[fact] = made.labels[name].label
    return facts


def of_model(provider: str, model: str, base_url: str, parameters: Mapping[str, Any]) -> Facts:
    """Tell whom a model call asks: of the address only host and port, which the operator set."""
    place = urlsplit(base_url)
    limits = [value for name, value in parameters.items() if name.startswith("max_")]
    return {
        Fact.OPERATION: "chat", Fact.PROVIDER: provider, Fact.REQUEST_MODEL: model, Fact.OUTPUT_TYPE: "json",
        Fact.SERVER_ADDRESS: place.hostname, Fact.SERVER_PORT: place.port or (443 if place.scheme == "https" else 80),
        Fact.TEMPERATURE: parameters.get("temperature"), Fact.MAX_TOKENS: limits[0] if limits else None,
    }  # fmt: skip


class Used(Protocol):
    """What a model call brought, as far as tracing tells it."""

    @property
    def model(self) -> str: ...
    @property
    def tokens(self) -> Tokens: ...


def of_answer(answer: Used) -> Facts:
    """Tell what a model call used."""
    return {
        Fact.RESPONSE_MODEL: _name(answer.model), Fact.INPUT_TOKENS: answer.tokens.prompt,
        Fact.CACHED_TOKENS: answer.tokens.cached, Fact.OUTPUT_TOKENS: answer.tokens.completion,
    }  # fmt: skip


def _name(told: str) -> str | None:
    """Return what a server calls its model, unless that is no name: a hostile one may say the ticket there."""
    return told if len(told) <= MAX_NAME_CHARS and all(char.isalnum() or char in "-._:/@" for char in told) else None

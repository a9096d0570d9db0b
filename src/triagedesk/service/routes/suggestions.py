"""POST /v1/suggestions, POST /v1/suggestions:batch, GET /v1/suggestions/{id}."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, Header, Path, Request, Response

from triagedesk.models import Ticket
from triagedesk.service.access import Caller, admitted, enter
from triagedesk.service.bodies import JSON, NDJSON, plain, raw, ticket_of
from triagedesk.service.limits import BATCH_PATH
from triagedesk.service.problems import Code, Refused, documented
from triagedesk.service.routes.hangup import unless_gone
from triagedesk.service.routes.plain import PlainRoute
from triagedesk.service.routes.stream import stream_lines
from triagedesk.service.runtime import Runtime, runtime_of
from triagedesk.service.store.ids import is_id
from triagedesk.service.store.records import Claimed, Scope, StoredSuggestion
from triagedesk.service.wire import Answer, answer_json

router = APIRouter(tags=["suggestions"])
quick = APIRouter(tags=["suggestions"], route_class=PlainRoute)

MAX_KEY_CHARS = 255
LOCAL = "local"
"""Whose Idempotency-Keys those are that come without an API key."""

_BODY = {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Ticket-Input"}}}, "required": True}
_BATCH = {
    "content": {
        JSON: {"schema": {"$ref": "#/components/schemas/BatchRequest"}},
        NDJSON: {"schema": {"type": "string", "description": "one ticket a line"}},
    },
    "required": True,
}
Deadline = Annotated[
    str | None,
    Header(alias="X-Deadline-Ms", description="a suggestion comes within so many milliseconds; above 0, capped"),
]
Again = Annotated[str | None, Header(description="the same key and body get the same answer, for a day")]


@quick.post(
    "/v1/suggestions", response_model=Answer, openapi_extra={"requestBody": _BODY}, responses=documented(409, 415, 422),
    dependencies=[admitted(Scope.SUGGEST, spends=True)],
)  # fmt: skip
async def suggest(request: Request, x_deadline_ms: Deadline = None, idempotency_key: Again = None) -> Response:
    """Suggest labels for one ticket, whatever the model does. A caller who hangs up ends the model's work."""
    runtime = runtime_of(request)
    key = await enter(request, runtime, Scope.SUGGEST, spends=True)
    headers = request.headers
    deadline_s = runtime.deadline_s(read_deadline(headers.get("x-deadline-ms", x_deadline_ms)))
    again = headers.get("idempotency-key", idempotency_key)
    body, _ = await raw(request)

    async def work(claimed: Claimed | None = None) -> StoredSuggestion:
        data = plain(body)
        known = isinstance(data, dict) and bool(data.get("id"))
        return await runtime.reception.take(
            ticket_of(data), deadline_s=deadline_s, key=key, known=known, claimed=claimed
        )  # fmt: skip

    async def once() -> StoredSuggestion:
        return await work() if again is None else await _once(runtime, Claimed(_owner(key), again), body, work)

    stored = await unless_gone(request, runtime.metrics.client_gone.inc, once)
    return Response(answer_json(stored), media_type=JSON)


def _owner(key: Caller) -> str:
    return key.id if key else LOCAL


@router.post(
    BATCH_PATH, openapi_extra={"requestBody": _BATCH},
    responses={
        200: {
            "content": {NDJSON: {"schema": {"$ref": "#/components/schemas/BatchLine"}}},
            "description": "one line a ticket, as they finish",
        },
        **documented(415, 422),
    },
    response_class=Response,
)  # fmt: skip
async def suggest_many(
    request: Request, runtime: Annotated[Runtime, Depends(runtime_of)],
    key: Annotated[Caller, admitted(Scope.SUGGEST, spends=True)],
    x_deadline_ms: Deadline = None, idempotency_key: Again = None,
) -> Response:  # fmt: skip
    """Suggest labels for up to 1,000 tickets; the deadline counts for each from when its turn comes."""
    if idempotency_key is not None:
        raise Refused(Code.IDEMPOTENCY_UNUSABLE)
    deadline_s = runtime.deadline_s(read_deadline(x_deadline_ms))
    tickets = _tickets(*await raw(request, JSON, NDJSON))
    most = runtime.service.max_batch_tickets
    if len(tickets) > most:
        raise Refused(Code.TOO_MANY_TICKETS, f"at most {most}")
    if key is not None and len(tickets) > 1:
        runtime.gate.take(key, len(tickets) - 1)

    async def one(row: object) -> bytes:
        data = plain(row) if isinstance(row, bytes) else row
        if key is not None:
            await runtime.gate.check_budget(key)
        known = isinstance(data, dict) and bool(data.get("id"))
        stored = await runtime.reception.take(ticket_of(data), deadline_s=deadline_s, key=key, known=known)
        return answer_json(stored)

    return stream_lines(tickets, one, slots=runtime.batch_slots, gone=runtime.metrics.client_gone.inc)


@router.get("/v1/suggestions/{suggestion_id}", response_model=Answer, responses=documented(404, 422))
async def read_suggestion(
    suggestion_id: Annotated[str, Path(max_length=100)], runtime: Annotated[Runtime, Depends(runtime_of)],
    _key: Annotated[Caller, admitted(Scope.READ)],
) -> Response:  # fmt: skip
    """Return a suggestion as it went out."""
    stored = await runtime.store.suggestions.get(suggestion_id) if is_id(suggestion_id, "s") else None
    if stored is None:
        raise Refused(Code.NOT_FOUND)
    return Response(answer_json(stored), media_type=JSON)


def read_deadline(text: str | None) -> float | None:
    """Read X-Deadline-Ms as seconds. Raises Refused unless it is a number above 0."""
    if text is None:
        return None
    try:
        milliseconds = float(text) if len(text) <= 40 and "_" not in text else math.nan
    except ValueError:
        milliseconds = math.nan
    if not (math.isfinite(milliseconds) and milliseconds > 0):
        raise Refused(Code.DEADLINE)
    return milliseconds / 1000


def _tickets(body: bytes, kind: str) -> list[Any]:
    """Return what a batch holds: rows that were parsed, or lines that were not yet."""
    if kind == NDJSON:
        return [line for line in body.splitlines() if line.strip()]
    data = plain(body)
    rows = data.get("tickets") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise Refused(Code.INVALID, "tickets: give a list")
    return rows


async def _once(
    runtime: Runtime, asked: Claimed, body: bytes, work: Callable[[Claimed], Awaitable[StoredSuggestion]]
) -> StoredSuggestion:
    """Let one of equal requests work, and all have its answer. Raises Refused while it works, and for another body."""
    owner, sent = asked.key_id, asked.key
    if not (0 < len(sent) <= MAX_KEY_CHARS and sent.isascii() and sent.isprintable()):
        raise Refused(Code.IDEMPOTENCY_UNUSABLE)
    stale_s = runtime.service.max_deadline_s + 30
    fingerprint = hashlib.sha256(body).hexdigest()
    keys = runtime.store.idempotency
    claim = await keys.claim(owner, sent, fingerprint, stale_after_s=stale_s)
    if claim.fingerprint != fingerprint:
        raise Refused(Code.IDEMPOTENCY_MISMATCH)
    if not claim.first:
        stored = await runtime.store.suggestions.get(claim.suggestion_id) if claim.suggestion_id else None
        if stored is None:
            raise Refused(Code.IDEMPOTENCY_RUNNING, retry_after_s=1)
        return stored
    done = False
    try:
        stored = await work(asked)  # written down together with whose answer it is
        done = True
        return stored
    finally:
        if not done:
            with anyio.CancelScope(shield=True):
                await keys.release(owner, sent)


__all__ = ["Ticket", "quick", "router"]

"""POST and GET /v1/feedback: what agents say of suggestions, and the gold lines that come of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from triagedesk.playbook import Playbook
from triagedesk.service.access import Caller, admitted
from triagedesk.service.bodies import JSON, NDJSON, checked, plain, raw
from triagedesk.service.problems import Code, Refused, documented
from triagedesk.service.runtime import Runtime, runtime_of
from triagedesk.service.store.ids import is_id, new_id
from triagedesk.service.store.records import Feedback, Scope, StoredSuggestion
from triagedesk.service.wire import FeedbackIn, FeedbackOut, FeedbackPage, Moment, labels_of

router = APIRouter(tags=["feedback"])

MAX_EXPORT = 10_000
PAGE = 50
"""So many tickets, with their words where they were kept, are in memory at once."""
NEXT_AFTER, LEFT_OUT = "X-Next-After", "X-Left-Out"
_BODY = {"content": {JSON: {"schema": {"$ref": "#/components/schemas/FeedbackIn"}}}, "required": True}


@router.post(
    "/v1/feedback", status_code=201, response_model=FeedbackOut, openapi_extra={"requestBody": _BODY},
    responses=documented(404, 415, 422),
)  # fmt: skip
async def give(
    request: Request, runtime: Annotated[Runtime, Depends(runtime_of)], key: Annotated[Caller, admitted(Scope.FEEDBACK)]
) -> Response:
    """Keep an agent's acceptance or correction. The suggestion itself stays as it went out."""
    said = checked(FeedbackIn, plain((await raw(request))[0]))
    _check_labels(said.labels, runtime.duty.desk.playbook)
    stored = await runtime.store.suggestions.get(said.suggestion_id) if is_id(said.suggestion_id, "s") else None
    now = runtime.clocks.now()
    by = said.by or (key.name if key else "local")
    feedback = Feedback(new_id("f", now), said.suggestion_id, said.kind, said.labels, by, now, said.note)
    if stored is None or not await runtime.store.feedback.add(feedback):
        raise Refused(Code.NOT_FOUND, "suggestion_id")
    return Response(to_json(_out(feedback, stored)), 201, media_type=JSON)


@router.get(
    "/v1/feedback", response_model=FeedbackPage,
    responses={
        200: {"content": {NDJSON: {"schema": {"type": "string", "description": "gold lines, by format=gold"}}}},
        **documented(422),
    },
)  # fmt: skip
async def read(
    runtime: Annotated[Runtime, Depends(runtime_of)], _key: Annotated[Caller, admitted(Scope.READ)],
    since: Annotated[Moment | None, Query()] = None, until: Annotated[Moment | None, Query()] = None,
    after: Annotated[str | None, Query(max_length=100, description="next_after of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_EXPORT)] = 1000,
    format: Annotated[Literal["json", "gold"], Query()] = "json",  # noqa: A002 - its name on the wire
) -> Response:  # fmt: skip
    """Return feedback, the oldest first; `format=gold` gives labelled tickets for `triagedesk eval run`.

    A ticket's newest feedback counts there. Tickets that were not stored are left out; X-Left-Out says how many.
    """
    if after is not None and not is_id(after, "f"):
        raise Refused(Code.INVALID, "after: give the next_after of a page")
    said: list[FeedbackOut] = []
    gold: dict[str, Gold] = {}
    last, count = after, 0
    async for feedback, stored in _told(runtime, since, until, after, limit):
        last, count = feedback.id, count + 1
        if format == "json":
            said.append(_out(feedback, stored))
        else:
            gold[stored.ticket_id] = Gold.of(feedback, stored, gold.get(stored.ticket_id))
    more = {NEXT_AFTER: last} if last and count == limit else {}
    if format == "json":
        page = FeedbackPage(feedback=tuple(said), next_after=more.get(NEXT_AFTER))
        return Response(page.model_dump_json(), media_type=JSON)
    kept = [one for one in gold.values() if one.kept]
    headers = {**more, LEFT_OUT: str(len(gold) - len(kept))}
    return StreamingResponse(_gold_lines(runtime, kept), headers=headers, media_type=NDJSON)


async def _told(
    runtime: Runtime, since: datetime | None, until: datetime | None, after: str | None, limit: int
) -> AsyncIterator[tuple[Feedback, StoredSuggestion]]:
    """Give feedback, the oldest first, with what it speaks of; the words of a page's tickets are in memory at once."""
    left = limit
    while left:
        wanted = min(PAGE, left)
        page = await runtime.store.feedback.with_suggestions(since, until, after_id=after, limit=wanted)
        for pair in page:
            yield pair
        if len(page) < wanted:
            return
        left, after = left - wanted, page[-1][0].id


@dataclass(frozen=True, slots=True)
class Gold:
    """The labels of a ticket by its newest feedback, and whether its words were kept: they stay in the store."""

    suggestion_id: str
    kept: bool
    labels: Mapping[str, str]

    @classmethod
    def of(cls, feedback: Feedback, stored: StoredSuggestion, before: Gold | None) -> Gold:
        """Add feedback to what came before: an agent may correct one dimension of a suggestion after the other."""
        same = before is not None and before.suggestion_id == stored.id
        labels = before.labels if before is not None and same else labels_of(stored.suggestion)
        return cls(stored.id, "body" in (stored.ticket or {}), {**labels, **feedback.labels})


async def _gold_lines(runtime: Runtime, gold: Sequence[Gold]) -> AsyncIterator[bytes]:
    """Give gold lines, a ticket at a time; one that was forgotten meanwhile is left out."""
    for one in gold:
        stored = await runtime.store.suggestions.get(one.suggestion_id)
        if stored is not None and stored.ticket is not None:
            yield to_json({"ticket": {**stored.ticket, "id": stored.ticket_id}, "labels": one.labels}) + b"\n"


def _out(feedback: Feedback, stored: StoredSuggestion) -> FeedbackOut:
    return FeedbackOut(
        id=feedback.id, suggestion_id=feedback.suggestion_id, kind=feedback.kind, labels=dict(feedback.labels),
        by=feedback.by, at=feedback.at, note=feedback.note, suggested=labels_of(stored.suggestion),
    )  # fmt: skip


def _check_labels(labels: Mapping[str, str], playbook: Playbook) -> None:
    """Raise Refused for a dimension or label that is none of the playbook's."""
    for name, label in labels.items():
        if name not in playbook.dimensions:
            raise Refused(Code.INVALID, f"labels: dimensions are {', '.join(playbook.dimensions)}")
        if label not in playbook.dimensions[name].names:
            raise Refused(Code.INVALID, f"labels: {name} is one of {', '.join(playbook.dimensions[name].names)}")

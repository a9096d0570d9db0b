"""POST and GET /v1/feedback: what agents say of suggestions, and the gold lines that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
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
PAGE = 500
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
    found = await _collect(runtime, since, until, after, limit)
    more = {NEXT_AFTER: found[-1][0].id} if len(found) == limit else {}
    if format == "json":
        page = FeedbackPage(
            feedback=tuple(_out(*pair) for pair in found), next_after=more.get(NEXT_AFTER)
        )  # fmt: skip
        return Response(page.model_dump_json(), media_type=JSON)
    lines, left_out = gold_lines(found)
    return Response(
        b"".join(to_json(line) + b"\n" for line in lines), headers={**more, LEFT_OUT: str(left_out)}, media_type=NDJSON
    )


async def _collect(
    runtime: Runtime, since: datetime | None, until: datetime | None, after: str | None, limit: int
) -> list[tuple[Feedback, StoredSuggestion]]:
    found: list[tuple[Feedback, StoredSuggestion]] = []
    while len(found) < limit:
        wanted = min(PAGE, limit - len(found))
        page = await runtime.store.feedback.with_suggestions(since, until, after_id=after, limit=wanted)
        found += page
        if len(page) < wanted:
            break
        after = page[-1][0].id
    return found


def gold_lines(found: list[tuple[Feedback, StoredSuggestion]]) -> tuple[list[dict[str, Any]], int]:
    """Turn feedback into gold lines, and say how many tickets are left out because their words were not kept.

    Feedback on one suggestion adds up: an agent may correct one dimension after the other.
    """
    newest: dict[str, tuple[StoredSuggestion, dict[str, str]]] = {}
    for feedback, stored in found:
        before = newest.get(stored.ticket_id)
        labels = before[1] if before and before[0].id == stored.id else labels_of(stored.suggestion)
        newest[stored.ticket_id] = (stored, {**labels, **feedback.labels})
    kept = [(stored, labels) for stored, labels in newest.values() if "body" in (stored.ticket or {})]
    lines = [
        {"ticket": {**(stored.ticket or {}), "id": stored.ticket_id}, "labels": labels} for stored, labels in kept
    ]  # fmt: skip
    return lines, len(newest) - len(kept)


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

"""POST /v1/outcomes: what became of a ticket."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic_core import to_json

from triagedesk.service.access import Caller, admitted
from triagedesk.service.bodies import JSON, checked, plain, raw
from triagedesk.service.escalation import RESOLUTION
from triagedesk.service.problems import documented
from triagedesk.service.runtime import Runtime, runtime_of
from triagedesk.service.store.records import Outcome, OutcomeKind, Scope
from triagedesk.service.wire import OutcomeIn, OutcomeOut

router = APIRouter(tags=["outcomes"])

_BODY = {"content": {JSON: {"schema": {"$ref": "#/components/schemas/OutcomeIn"}}}, "required": True}


@router.post(
    "/v1/outcomes", status_code=201, response_model=OutcomeOut, openapi_extra={"requestBody": _BODY},
    responses=documented(415, 422),
)  # fmt: skip
async def tell(
    request: Request, runtime: Annotated[Runtime, Depends(runtime_of)],
    _key: Annotated[Caller, admitted(Scope.FEEDBACK)],
) -> Response:  # fmt: skip
    """Keep a first reply, a resolution or a score. A reply or a resolution ends the ticket's escalation."""
    said = checked(OutcomeIn, plain((await raw(request))[0]))
    outcome = Outcome(said.ticket_id, said.kind, said.at or runtime.clocks.now(), said.value)
    new = await runtime.store.outcomes.add(outcome)
    if outcome.kind is not OutcomeKind.SATISFACTION:
        still_open = () if outcome.kind is OutcomeKind.RESOLVED else (RESOLUTION,)
        await runtime.store.steps.close_ticket(outcome.ticket_id, but=still_open)
    made = OutcomeOut(
        ticket_id=outcome.ticket_id, kind=outcome.kind, at=outcome.at, value=outcome.value, known=not new
    )  # fmt: skip
    return Response(to_json(made), 201, media_type=JSON)

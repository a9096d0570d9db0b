"""POST /v1/webhooks/{desk}: believed, taken down and answered at once; the work is done behind.

HEAD answers Intercom, which looks whether the address is there.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic_core import to_json
from starlette.requests import ClientDisconnect

from triagedesk.service.bodies import JSON
from triagedesk.service.desks import DeskSettings, Inbound
from triagedesk.service.desks import Refused as NotBelieved
from triagedesk.service.desks.receive import receive
from triagedesk.service.errands import CLASSIFY
from triagedesk.service.office import Office, office_of
from triagedesk.service.problems import Code, Refused, documented
from triagedesk.service.runtime import Runtime, runtime_of
from triagedesk.service.tracing import carried
from triagedesk.service.wire import DeliveryOut

router = APIRouter(tags=["webhooks"])

Name = Annotated[str, Path(max_length=100, description="the desk's name in the file of desks")]
Token = Annotated[str, Path(max_length=500, description="the secret of a desk whose proof is path")]
_BODY = {"content": {JSON: {"schema": {"type": "object", "description": "what this helpdesk sends, signed"}}},
         "required": True}  # fmt: skip
_ANSWERS = {200: {"model": DeliveryOut, "description": "known already, or ignored"}, **documented(400, 404, 422)}


@router.head("/v1/webhooks/{desk}", responses=documented(404, 422))
async def look(desk: Name, office: Annotated[Office, Depends(office_of)]) -> Response:
    """Say that the address is there."""
    _settings(office, desk)
    return Response(status_code=200)


@router.post(
    "/v1/webhooks/{desk}", status_code=202, response_model=DeliveryOut, openapi_extra={"requestBody": _BODY},
    responses=_ANSWERS,
)  # fmt: skip
async def take(
    desk: Name, request: Request, runtime: Annotated[Runtime, Depends(runtime_of)],
    office: Annotated[Office, Depends(office_of)],
) -> Response:  # fmt: skip
    """Take a delivery in: 202 when it is to be classified, 200 when it is known already or ignored, with why."""
    return await _take(_settings(office, desk), None, request, runtime, office)


@router.post(
    "/v1/webhooks/{desk}/{token}", status_code=202, response_model=DeliveryOut, openapi_extra={"requestBody": _BODY},
    responses=_ANSWERS,
)  # fmt: skip
async def take_with_token(
    desk: Name, token: Token, request: Request, runtime: Annotated[Runtime, Depends(runtime_of)],
    office: Annotated[Office, Depends(office_of)],
) -> Response:  # fmt: skip
    """Take a delivery of a desk that proves itself by a long token in the address."""
    return await _take(_settings(office, desk), token, request, runtime, office)


def _settings(office: Office, name: str) -> DeskSettings:
    if name not in office.desks:
        raise Refused(Code.NOT_FOUND, "desk")
    return office.desks[name]


async def _take(
    desk: DeskSettings, token: str | None, request: Request, runtime: Runtime, office: Office
) -> Response:  # fmt: skip
    try:
        raw = await request.body()
    except ClientDisconnect:
        raise Refused(Code.BODY_TIMEOUT, "the connection ended before the body") from None
    found = receive(desk, request.headers.raw, raw, runtime.clocks.now(), token)
    count = office.opened.webhooks.labels
    if isinstance(found, NotBelieved):
        count(desk.name, found.value).inc()
        code = (
            Code.WEBHOOK_UNPROVEN if found.status == Refused(Code.WEBHOOK_UNPROVEN).status else Code.WEBHOOK_UNREADABLE
        )
        raise Refused(code, found.value)
    made = await _taken_down(found, runtime)
    count(desk.name, made.reason or made.status).inc()
    if made.status == "accepted":
        office.opened.desk_work.ring()
    return Response(
        to_json(made.model_dump(exclude_none=True)), 202 if made.status == "accepted" else 200, media_type=JSON
    )


async def _taken_down(found: Inbound, runtime: Runtime) -> DeliveryOut:
    """Remember the delivery and queue its job, both or neither. Raises StoreUnavailable: the desk sends it again."""
    if found.ticket is None:
        return DeliveryOut(status="ignored", reason=found.ignored)
    payload = {
        "desk": found.desk, "reference": found.reference,
        "ticket": found.ticket.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
        **carried(),
    }  # fmt: skip
    job = await runtime.store.deliveries.accept(found.desk, found.delivery_id, CLASSIFY, payload)
    return DeliveryOut(status="known" if job is None else "accepted")

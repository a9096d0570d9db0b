"""Bodies of requests: read within the limits, parsed strictly, and told wrong without a word of what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect

from triagedesk.models import Frozen, Ticket, newest_customer_message, one_line
from triagedesk.service.problems import Code, Refused

M = TypeVar("M", bound=Frozen)

JSON, NDJSON = "application/json", "application/x-ndjson"


async def raw(request: Request, *media: str) -> tuple[bytes, str]:
    """Return a body and its media type. Raises Refused for another type, for a coding, and where the caller left."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (media or (JSON,)):
        raise Refused(Code.MEDIA, f"send {' or '.join(media or (JSON,))}")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(Code.MEDIA, "send the body without a content coding")
    try:
        return await request.body(), kind
    except ClientDisconnect:
        raise Refused(Code.BODY_TIMEOUT, "the connection ended before the body") from None


def plain(body: bytes) -> Any:
    """Parse JSON (RFC 8259): no NaN, no infinity, no lone surrogates, 200 levels deep at most. Raises Refused."""
    try:
        return from_json(body.removeprefix(b"\xef\xbb\xbf"), allow_inf_nan=False)
    except (ValueError, RecursionError) as wrong:
        detail = str(wrong) if isinstance(wrong, ValueError) else "nested too deeply"
    raise Refused(Code.NOT_JSON, detail)


def ticket_of(data: object) -> Ticket:
    """Build a ticket; of a thread, the newest message of the customer decides. Raises TicketError."""
    if isinstance(data, Mapping):
        newest = newest_customer_message(data.get("messages"))
        if newest is not None and newest.strip():
            data = {**data, "body": newest}
    return Ticket.parse(data)


def checked(model: type[M], data: Any) -> M:
    """Build a request's model. Raises Refused with one line that names the field."""
    problem = _made(model.model_validate, data, frozenset(model.model_fields))
    if isinstance(problem, str):
        raise Refused(Code.INVALID, problem)
    return problem


def _made(build: Callable[[Any], M], data: Any, names: frozenset[str]) -> M | str:
    try:
        return build(data)
    except ValidationError as wrong:
        return one_line(wrong, names=names)
    except (RecursionError, OverflowError):
        return "nested too deeply, or a number is out of range"

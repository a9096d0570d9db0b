"""Every way a request can fail, as application/problem+json (RFC 9457) with one closed `code` each.

No document repeats what was sent: no ticket text, no key, no header.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from triagedesk.errors import TicketError, TriageError
from triagedesk.models import Frozen
from triagedesk.service.keys import KeyRefused
from triagedesk.service.store.database import StoreUnavailable

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:triagedesk:problem:"


class Code(StrEnum):
    """The closed codes; docs/service.md says of each what to do."""

    WEBHOOK_UNPROVEN = "webhook_unproven"
    WEBHOOK_UNREADABLE = "webhook_unreadable"
    KEY_MISSING = "key_missing"
    KEY_UNKNOWN = "key_unknown"
    KEY_REVOKED = "key_revoked"
    SCOPE_MISSING = "scope_missing"
    NOT_FOUND = "not_found"
    NO_ROUTE = "no_route"
    METHOD = "method_not_allowed"
    BODY_TIMEOUT = "body_timeout"
    IDEMPOTENCY_RUNNING = "idempotency_running"
    TOO_LARGE = "body_too_large"
    MEDIA = "unsupported_media_type"
    NOT_JSON = "not_json"
    INVALID = "invalid"
    TICKET = "ticket_unusable"
    DEADLINE = "deadline_unusable"
    TOO_MANY_TICKETS = "too_many_tickets"
    IDEMPOTENCY_UNUSABLE = "idempotency_unusable"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    RATE = "rate_limited"
    BUDGET = "budget_spent"
    HEADERS = "headers_too_large"
    INTERNAL = "internal"
    BUSY = "busy"
    STORE = "store_unavailable"
    LEAVING = "shutting_down"


STATUS: Mapping[Code, int] = {
    Code.WEBHOOK_UNREADABLE: 400, Code.WEBHOOK_UNPROVEN: 401,
    Code.KEY_MISSING: 401, Code.KEY_UNKNOWN: 401, Code.KEY_REVOKED: 401, Code.SCOPE_MISSING: 403,
    Code.NOT_FOUND: 404, Code.NO_ROUTE: 404, Code.METHOD: 405, Code.BODY_TIMEOUT: 408,
    Code.IDEMPOTENCY_RUNNING: 409, Code.TOO_LARGE: 413, Code.MEDIA: 415,
    Code.NOT_JSON: 422, Code.INVALID: 422, Code.TICKET: 422, Code.DEADLINE: 422, Code.TOO_MANY_TICKETS: 422,
    Code.IDEMPOTENCY_UNUSABLE: 422, Code.IDEMPOTENCY_MISMATCH: 422, Code.RATE: 429, Code.BUDGET: 429,
    Code.HEADERS: 431, Code.INTERNAL: 500, Code.BUSY: 503, Code.STORE: 503, Code.LEAVING: 503,
}  # fmt: skip

TITLE: Mapping[Code, str] = {
    Code.WEBHOOK_UNREADABLE: "The delivery is not what this helpdesk sends",
    Code.WEBHOOK_UNPROVEN: "The delivery does not prove where it comes from",
    Code.KEY_MISSING: "Send an API key: Authorization: Bearer tdk_…",
    Code.KEY_UNKNOWN: "This API key was never made",
    Code.KEY_REVOKED: "This API key was revoked",
    Code.SCOPE_MISSING: "This API key may not do this",
    Code.NOT_FOUND: "There is nothing of that id",
    Code.NO_ROUTE: "There is no such address",
    Code.METHOD: "This address knows other methods",
    Code.BODY_TIMEOUT: "The body did not arrive in time",
    Code.IDEMPOTENCY_RUNNING: "The first request with this Idempotency-Key is still being answered",
    Code.TOO_LARGE: "The body is too large",
    Code.MEDIA: "Send application/json, not compressed",
    Code.NOT_JSON: "The body is not JSON",
    Code.INVALID: "The request does not have the documented form",
    Code.TICKET: "The ticket cannot be used",
    Code.DEADLINE: "X-Deadline-Ms is a number of milliseconds above 0",
    Code.TOO_MANY_TICKETS: "A batch holds too many tickets",
    Code.IDEMPOTENCY_UNUSABLE: "An Idempotency-Key has 1 to 255 printable ASCII characters, and goes with one ticket",
    Code.IDEMPOTENCY_MISMATCH: "This Idempotency-Key was used with another body",
    Code.RATE: "This API key asks too often",
    Code.BUDGET: "This API key's money for the day is spent",
    Code.HEADERS: "The headers are too large",
    Code.INTERNAL: "A bug of ours; it is in the log",
    Code.BUSY: "Too many requests at once",
    Code.STORE: "The database cannot be reached now",
    Code.LEAVING: "This server is about to stop",
}


class Problem(Frozen):
    """A problem document."""

    type: str = Field(description="urn:triagedesk:problem:CODE")
    title: str
    status: int = Field(ge=400, le=599)
    code: Code
    detail: str | None = None


class Refused(TriageError):
    """A request that is answered with a problem; `retry_after_s` is when to come back, in seconds."""

    def __init__(self, code: Code, detail: str | None = None, *, retry_after_s: float | None = None) -> None:
        self.code, self.detail, self.retry_after_s = code, detail, retry_after_s
        super().__init__(code.value)

    @property
    def status(self) -> int:
        """The HTTP status that says it."""
        return STATUS[self.code]

    def document(self) -> dict[str, Any]:
        """Return the problem document as plain data."""
        made = Problem(
            type=TYPE + self.code, title=TITLE[self.code], status=self.status, code=self.code, detail=self.detail
        )
        return made.model_dump(mode="json", exclude_none=True)

    def headers(self) -> dict[str, str]:
        """Return the headers that go with it."""
        headers = {}
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        return headers

    def response(self, **more: str) -> Response:
        """Return the answer."""
        return Response(
            to_json(self.document()), self.status, headers={**self.headers(), **more}, media_type=MEDIA_TYPE
        )  # fmt: skip


def translated(wrong: TriageError) -> Refused:
    """Say one of our errors as a problem; a door knows nothing else."""
    if isinstance(wrong, Refused):
        return wrong
    if isinstance(wrong, KeyRefused):
        return Refused(Code(wrong.problem.value), retry_after_s=wrong.retry_after_s)
    if isinstance(wrong, StoreUnavailable):
        return Refused(Code.STORE, retry_after_s=wrong.retry_after_s)
    if isinstance(wrong, TicketError):
        return Refused(Code.TICKET, str(wrong))
    return Refused(Code.INTERNAL)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe problems for OpenAPI: these statuses, and those that every route knows."""
    every = (401, 403, 408, 413, 429, 431, 500, 503)
    return {
        status: {
            "description": ", ".join(code for code in Code if STATUS[code] == status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({*every, *statuses})
    }


def install(app: FastAPI) -> None:
    """Make every error of an app a problem document."""
    app.add_exception_handler(TriageError, _ours)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(RequestValidationError, _parameters)


async def _ours(_request: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, TriageError)  # what it is installed for
    return translated(wrong).response()


async def _routing(_request: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, HTTPException)
    code = {404: Code.NO_ROUTE, 405: Code.METHOD}.get(wrong.status_code, Code.INVALID)
    return Refused(code).response(**dict(wrong.headers or {}))


async def _parameters(_request: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, RequestValidationError)
    told = [f"{'.'.join(str(part) for part in error['loc'][:2])}: {error['msg']}" for error in wrong.errors()[:3]]
    return Refused(Code.INVALID, "; ".join(told)).response()

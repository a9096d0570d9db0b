"""GET /v1/dead-letters, POST /v1/dead-letters/{id}:revive: background jobs that were given up, and another try."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic_core import to_json

from triagedesk.service.access import Caller, admitted
from triagedesk.service.bodies import JSON
from triagedesk.service.office import Office, office_of
from triagedesk.service.problems import Code, Refused, documented
from triagedesk.service.runtime import Runtime, runtime_of
from triagedesk.service.store.records import Job, Scope
from triagedesk.service.wire import DeadLetter, DeadLetters

router = APIRouter(tags=["dead letters"])

MAX_PAGE = 1000
JobId = Annotated[str, Path(pattern=r"^j_[0-9A-HJKMNP-TV-Z]{26}(\.[0-9]{1,3})?$")]


@router.get("/v1/dead-letters", response_model=DeadLetters, responses=documented(422))
async def read(
    runtime: Annotated[Runtime, Depends(runtime_of)], _key: Annotated[Caller, admitted(Scope.ADMIN)],
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> Response:  # fmt: skip
    """Return jobs that were given up, the newest first: what kind, whose, after how many tries and why."""
    found = await runtime.store.jobs.dead(limit)
    return Response(to_json(DeadLetters(dead_letters=tuple(map(_letter, found)))), media_type=JSON)


@router.post("/v1/dead-letters/{job_id}:revive", status_code=204, responses=documented(404, 422))
async def revive(
    job_id: JobId, runtime: Annotated[Runtime, Depends(runtime_of)], office: Annotated[Office, Depends(office_of)],
    _key: Annotated[Caller, admitted(Scope.ADMIN)],
) -> Response:  # fmt: skip
    """Queue a job anew, with its tries forgotten. A note that may have arrived is sent, too: look first."""
    if not await runtime.store.jobs.revive(job_id):
        raise Refused(Code.NOT_FOUND, "job_id")
    office.opened.desk_work.ring()
    office.opened.write_backs.ring()
    return Response(status_code=204)


def _letter(job: Job) -> DeadLetter:
    """Show a job without what it holds: there may be a ticket's words in it."""
    payload = job.payload
    return DeadLetter(
        id=job.id, kind=job.kind, attempts=job.attempts, at=job.due_at, reason=job.error or "",
        desk=payload.get("desk"), suggestion_id=payload.get("suggestion_id"),
    )  # fmt: skip

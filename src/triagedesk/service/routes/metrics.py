"""GET /metrics, as Prometheus reads it."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from triagedesk.service.access import Caller, admitted
from triagedesk.service.metrics import CONTENT_TYPE
from triagedesk.service.problems import documented
from triagedesk.service.runtime import Runtime, runtime_of
from triagedesk.service.store.database import StoreUnavailable
from triagedesk.service.store.records import Scope

router = APIRouter(tags=["health"])


@router.get(
    "/metrics", response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented()},
)  # fmt: skip
async def show(
    runtime: Annotated[Runtime, Depends(runtime_of)], _key: Annotated[Caller, admitted(Scope.READ)]
) -> Response:
    """Return all counters."""
    with suppress(StoreUnavailable):  # then the numbers of before stand
        runtime.metrics.count_jobs(await runtime.store.jobs.depth())
    return Response(runtime.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

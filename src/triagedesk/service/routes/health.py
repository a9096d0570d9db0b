"""GET /livez and /readyz: does the process answer, and should requests be sent here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from triagedesk.service.bodies import JSON
from triagedesk.service.problems import documented
from triagedesk.service.runtime import Runtime, runtime_of
from triagedesk.service.store.database import StoreUnavailable
from triagedesk.service.wire import Alive, Ready
from triagedesk.settings import NO_SERVER

router = APIRouter(tags=["health"])

CLOSED = "closed"


@router.get("/livez", response_model=Alive, responses=documented())
async def live() -> Response:
    """Say that the process answers."""
    return Response(Alive().model_dump_json(), media_type=JSON)


@router.get("/readyz", response_model=Ready, responses={**documented(), 503: {"model": Ready}})
async def ready(request: Request, runtime: Annotated[Runtime, Depends(runtime_of)]) -> Response:
    """Say ready, degraded (200, rules answer) or not ready (503), and why by closed names.

    store_unavailable, shutting_down, failed; no_model, breaker_open, playbook_broken (the one before is in use).
    """
    severe = (*(("failed",) if request.app.state.failed else ()), *await _severe(runtime))
    reasons = (*severe, *_mild(runtime))
    desk = runtime.duty.desk
    made = Ready(
        status="not_ready" if severe else "degraded" if {"no_model", "breaker_open"} & {*reasons} else "ready",
        reasons=reasons, playbook=desk.playbook.identity, playbook_problem=runtime.duty.problem,
        model=desk.model, breaker=desk.breaker_state,
    )  # fmt: skip
    return Response(made.model_dump_json(), 503 if severe else 200, media_type=JSON)


async def _severe(runtime: Runtime) -> tuple[str, ...]:
    reasons = ("shutting_down",) if runtime.duty.leaving else ()
    try:
        await runtime.store.ping()
    except StoreUnavailable:
        return (*reasons, "store_unavailable")
    return reasons


def _mild(runtime: Runtime) -> list[str]:
    desk = runtime.duty.desk
    reasons = []
    if desk.model is None and runtime.settings.model not in NO_SERVER:
        reasons.append("no_model")
    if desk.breaker_state not in (None, CLOSED):
        reasons.append("breaker_open")
    if runtime.duty.problem is not None:
        reasons.append("playbook_broken")
    return reasons

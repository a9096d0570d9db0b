"""GET /v1/playbook: the labels in use."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from triagedesk.playbook import Playbook
from triagedesk.service.access import Caller, admitted
from triagedesk.service.bodies import JSON
from triagedesk.service.problems import documented
from triagedesk.service.runtime import Runtime, runtime_of
from triagedesk.service.store.records import Scope
from triagedesk.service.wire import DimensionOut, LabelOut, PlaybookOut

router = APIRouter(tags=["playbook"])


@router.get("/v1/playbook", response_model=PlaybookOut, responses=documented())
async def show(
    runtime: Annotated[Runtime, Depends(runtime_of)], _key: Annotated[Caller, admitted(Scope.READ)]
) -> Response:
    """Return the playbook's identity, dimensions, labels, channels and tiers."""
    return Response(shown(runtime.duty.desk.playbook).model_dump_json(), media_type=JSON)


def shown(playbook: Playbook) -> PlaybookOut:
    """Return what callers need to know of a playbook."""
    document = playbook.document
    dimensions = {
        name: DimensionOut(
            kind=dimension.kind, description=dimension.description, fallback=dimension.fallback,
            labels=tuple(LabelOut(name=label.name, description=label.description) for label in dimension.labels),
        )
        for name, dimension in playbook.dimensions.items()
    }  # fmt: skip
    return PlaybookOut(
        identity=playbook.identity, hash=playbook.hash, version=document.version, description=document.description,
        languages=document.languages, channels=tuple(document.channels), customer_tiers=tuple(document.tiers),
        dimensions=dimensions,
        automation={name: level.model_dump(mode="json") for name, level in document.automation.items()},
    )  # fmt: skip

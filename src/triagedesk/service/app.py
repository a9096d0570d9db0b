"""The HTTP application: routes, limits and problem documents around one runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json

from triagedesk.models import Frozen, Ticket
from triagedesk.service.access import enter
from triagedesk.service.bodies import JSON
from triagedesk.service.limits import Door, Limits
from triagedesk.service.metrics import Metrics
from triagedesk.service.problems import Problem, install
from triagedesk.service.routes import feedback, health, insights, metrics, outcomes, playbook, suggestions
from triagedesk.service.routes.plain import shortcuts
from triagedesk.service.runtime import Clocks, Part, open_runtime, runtime_of
from triagedesk.service.settings import ServiceSettings
from triagedesk.service.store.records import Scope
from triagedesk.service.wire import BatchLine, BatchRequest, FeedbackIn, OutcomeIn
from triagedesk.settings import Settings

ROUTERS = (
    suggestions.quick,
    *(each.router for each in (suggestions, feedback, outcomes, insights, playbook, health, metrics)),
)
READ_BY_HAND: tuple[type[Frozen], ...] = (Problem, BatchLine, BatchRequest, FeedbackIn, OutcomeIn)
"""Shapes that no route's signature shows: bodies are parsed strictly, by us."""

OPENAPI_PATH, DOCS_PATH = "/openapi.json", "/docs"
_REF = "#/components/schemas/{model}"


def create_app(
    service: ServiceSettings, settings: Settings, *, clocks: Clocks | None = None, parts: Sequence[Part] = (),
    routers: Sequence[APIRouter] = (),
) -> FastAPI:  # fmt: skip
    """Build the application. Its lifespan opens store, desk and `parts`, and closes them; `routers` come on top.

    Starting it raises ConfigError or StoreUnavailable; `app.state.failed` keeps the error for who runs the server,
    also one that ends it later.
    """
    counted, door = Metrics(), Door()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with open_runtime(
                service, settings, clocks=clocks or Clocks(), metrics=counted, door=door, parts=parts
            ) as app.state.runtime:
                yield
        except BaseException as wrong:
            app.state.failed = wrong
            raise

    app = FastAPI(
        title="triagedesk", version="1", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None,
        redirect_slashes=False,
    )  # fmt: skip
    app.state.failed = None
    install(app)
    app.add_middleware(Limits, service=service, door=door, watch=counted.watch)
    for router in (*ROUTERS, *routers):
        app.include_router(router)
    app.router.routes[:0] = shortcuts(suggestions.quick)
    _describe(app, public=service.docs)
    return app


def _describe(app: FastAPI, *, public: bool) -> None:
    """Serve the OpenAPI document: to everybody and with a page where that was asked for, else to keys that read."""
    app.openapi = lambda: described(app)  # type: ignore[method-assign]  # as FastAPI's documentation has it

    async def document(request: Request) -> Response:
        if not public:
            await enter(request, runtime_of(request), Scope.READ)
        return Response(to_json(app.openapi()), media_type=JSON)

    async def page(_request: Request) -> Response:
        return get_swagger_ui_html(openapi_url=OPENAPI_PATH, title=app.title)

    app.add_route(OPENAPI_PATH, document, include_in_schema=False)
    if public:
        app.add_route(DOCS_PATH, page, include_in_schema=False)


def described(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with the shapes of bodies that are parsed by hand."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        models: tuple[type[Frozen], ...] = (*READ_BY_HAND, Ticket)
        wanted: list[tuple[type[Frozen], Any]] = [(model, "validation") for model in models]
        _, made = models_json_schema(wanted, ref_template=_REF)
        schemas.update(made["$defs"])
        schemas["Ticket-Input"] = ticket_schema(made["$defs"]["Ticket"])
        app.openapi_schema = document
    return app.openapi_schema


def ticket_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Say of a ticket what its validator does: a thread may stand for the body, and unknown keys are kept."""
    return {
        **{key: value for key, value in schema.items() if key != "required"},
        "anyOf": [{"required": ["body"]}, {"required": ["messages"]}],
        "additionalProperties": True,
    }

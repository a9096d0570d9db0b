"""The whole service: the HTTP application with the back office behind it."""

from __future__ import annotations

from fastapi import FastAPI

from triagedesk.service.app import create_app
from triagedesk.service.office import Office
from triagedesk.service.routes import letters, webhooks
from triagedesk.service.runtime import Clocks
from triagedesk.service.settings import ServiceSettings
from triagedesk.settings import Settings


def assemble(service: ServiceSettings, settings: Settings, *, clocks: Clocks | None = None) -> FastAPI:
    """Build what `triagedesk serve` serves. Raises ConfigError for the files of desks and notifications."""
    office = Office(service)
    app = create_app(
        service, settings, clocks=clocks, parts=(office.part,), routers=(webhooks.router, letters.router)
    )  # fmt: skip
    app.state.office = office
    return app

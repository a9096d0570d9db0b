"""`triagedesk serve`: the HTTP API, on this machine alone until there is a key."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from triagedesk.cli.loop import run
from triagedesk.cli.options import Options
from triagedesk.cli.terminal import warn
from triagedesk.errors import ConfigError, TriageError
from triagedesk.taskgroups import unwrapped
from triagedesk.telemetry import open_telemetry

if TYPE_CHECKING:
    from fastapi import FastAPI

    from triagedesk.service.settings import ServiceSettings


def serve(
    options: Options, *, host: str | None = None, port: int | None = None, database_url: str | None = None
) -> int:
    """Serve until told to stop (SIGTERM, Ctrl-C), and answer what was accepted.

    Raises ConfigError for a setting, an address or a playbook that cannot be used, and for an address that others can
    reach while no key exists; StoreUnavailable where the database does not answer; and what ends the service when it
    was not told to stop.
    """
    service = _service(host, port, database_url)
    settings = options.settings()
    from triagedesk.service.assembly import assemble

    if not service.on_loopback:
        run(_must_have_a_key(service))
    from triagedesk.service.tracing import trace

    app = assemble(service, settings)
    with open_telemetry(settings.otel) as tracer, _listener(service) as listener:
        trace(app, tracer)
        run(_serve(app, service, listener))
    return 0


def _service(host: str | None, port: int | None, database_url: str | None) -> ServiceSettings:
    from triagedesk.service.settings import ServiceSettings

    return ServiceSettings.from_env(host=host, port=port, database_url=database_url)


async def _must_have_a_key(service: ServiceSettings) -> None:
    """Raise ConfigError unless somebody has a key: an address that others can reach is open to nobody else."""
    from triagedesk.service.store.database import open_store

    async with open_store(service.database_url.get_secret_value(), migrate=service.migrate) as store:
        if not await store.keys.any_usable():
            raise ConfigError(
                f"--host {service.host}: others can reach it, and there is no API key; make one with: "
                "triagedesk keys create NAME --scope suggest, or listen on 127.0.0.1"
            )


def _listener(service: ServiceSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in service.host else socket.AF_INET
    try:
        return socket.create_server((service.host, service.port), family=family, backlog=2048)
    except OSError as wrong:
        raise ConfigError(
            f"{service.host} port {service.port}: {wrong.strerror}; give another with --host or --port"
        ) from None


async def _serve(app: FastAPI, service: ServiceSettings, listener: socket.socket) -> None:
    from triagedesk.service.server import build_server

    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    server = build_server(app, service, ready=lambda: warn(f"triagedesk on {address} (Ctrl-C ends it)"))
    try:
        await server.serve([listener])
    except SystemExit:
        raise _why(app) from None
    if app.state.failed is not None:
        raise _why(app)


def _why(app: FastAPI) -> BaseException:
    """Return why the application did not start, or did not go on."""
    return unwrapped(app.state.failed or TriageError("the service did not start"))

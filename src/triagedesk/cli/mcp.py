"""`triagedesk mcp`: the desk as tools for assistants, over stdio or over HTTP on this machine."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triagedesk.cli.options import (
    BaseUrlOption,
    DeadlineOption,
    ModelOption,
    NoCacheOption,
    Options,
    PlaybookOption,
    PromptOption,
)
from triagedesk.errors import ConfigError

if TYPE_CHECKING:
    from triagedesk.mcp import Search
    from triagedesk.settings import Settings

DEFAULT_PORT = 8765


def attach(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("mcp")(_command)


def _command(
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP on 127.0.0.1 instead of stdio.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --http; 0 takes a free one.")] = DEFAULT_PORT,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    deadline: DeadlineOption = None,
    playbook: PlaybookOption = None,
    prompt: PromptOption = None,
    no_cache: NoCacheOption = False,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The service's database, whose suggestions are searched; default: its own."),
    ] = None,
) -> None:
    """Offer classify, explain and a search of past suggestions to assistants by the Model Context Protocol."""
    options = Options(model, base_url, deadline, playbook, prompt, no_cache)
    raise typer.Exit(run(options, http=http, port=port, database=database))


def run(options: Options, *, http: bool, port: int = DEFAULT_PORT, database: str | None = None) -> int:
    """Serve until the client leaves or the process is told to end. Raises ConfigError.

    Past suggestions are searched where the service has kept some, or in the database that is given.
    """
    if any(find_spec(name) is None for name in ("mcp", "uvicorn")):
        raise ConfigError("mcp needs the MCP SDK; pip install 'triagedesk[mcp]'")
    from triagedesk.cli.loop import run as run_loop

    settings, url = options.settings(), _store_url(database)
    if http:
        with _listener(port) as listener:
            run_loop(_over_http(settings, listener, url))
    else:
        # A thread that waits for a line cannot be woken: the signals end the process, as they end any filter.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        run_loop(_over_stdio(settings, url))
    return 0


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as wrong:
        raise ConfigError(f"port {port}: {wrong.strerror}; give another with --port") from None


async def _over_stdio(settings: Settings, url: str | None) -> None:
    from triagedesk.cli.terminal import warn
    from triagedesk.desk import open_desk

    if sys.stdin is not None and sys.stdin.isatty():
        warn("This speaks MCP on standard input and output: an assistant starts it (docs/mcp.md). Ctrl-D ends it.")
    # What is wrong with the settings is said before seconds of imports.
    async with open_desk(settings) as desk, _past(url) as search:
        from triagedesk.mcp import serve_stdio

        await serve_stdio(desk, search)


async def _over_http(settings: Settings, listener: socket.socket, url: str | None) -> None:
    from triagedesk.cli.terminal import warn
    from triagedesk.desk import open_desk

    async with open_desk(settings) as desk, _past(url) as search:
        from triagedesk.mcp import PATH, serve_http

        warn(f"MCP on http://127.0.0.1:{listener.getsockname()[1]}{PATH}, for this machine alone. Ctrl-C ends it.")
        await serve_http(desk, listener, search)


@asynccontextmanager
async def _past(url: str | None) -> AsyncIterator[Search | None]:
    """Give what searches past suggestions, or None where none were kept.

    Raises ConfigError for a database that does not answer or is none of ours: now, and not at the first search.
    """
    if url is None:
        yield None
        return
    from sqlalchemy.exc import SQLAlchemyError

    from triagedesk.service.search import search
    from triagedesk.service.store.database import StoreUnavailable, open_store

    async with open_store(url, migrate=False) as store:
        try:
            await store.suggestions.between(limit=1)
        except (SQLAlchemyError, StoreUnavailable):
            raise ConfigError(
                "database: no suggestions can be read there; it does not answer, or `triagedesk serve` never used it"
            ) from None
        yield partial(search, store.suggestions)


def _store_url(database: str | None) -> str | None:
    """Return where past suggestions stand, or None where the service has kept none.

    Raises ConfigError for a database that was asked for and cannot be searched.
    """
    if any(find_spec(name) is None for name in ("sqlalchemy", "alembic", "fastapi")):
        if database is None:
            return None
        raise ConfigError("database: searching needs the service's packages; pip install 'triagedesk[service]'")
    from triagedesk.service.settings import ServiceSettings
    from triagedesk.service.store.connection import SQLITE, address

    url = ServiceSettings.from_env(database_url=database).database_url.get_secret_value()
    place = address(url)
    if place.drivername != SQLITE or Path(place.database or "").is_file():
        return url
    if database is None:
        return None
    raise ConfigError("database: there is no such file; `triagedesk serve` makes it")

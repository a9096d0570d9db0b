"""`triagedesk mcp`: the desk as tools for assistants, over stdio or over HTTP on this machine."""

from __future__ import annotations

import signal
import socket
import sys
from importlib.util import find_spec
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
) -> None:
    """Offer classify and explain to assistants by the Model Context Protocol."""
    raise typer.Exit(run(Options(model, base_url, deadline, playbook, prompt, no_cache), http=http, port=port))


def run(options: Options, *, http: bool, port: int = DEFAULT_PORT, search: Search | None = None) -> int:
    """Serve until the client leaves or the process is told to end. Raises ConfigError."""
    if any(find_spec(name) is None for name in ("mcp", "uvicorn")):
        raise ConfigError("mcp needs the MCP SDK; pip install 'triagedesk[mcp]'")
    from triagedesk.cli.loop import run as run_loop

    settings = options.settings()
    if http:
        with _listener(port) as listener:
            run_loop(_over_http(settings, listener, search))
    else:
        # A thread that waits for a line cannot be woken: the signals end the process, as they end any filter.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        run_loop(_over_stdio(settings, search))
    return 0


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as wrong:
        raise ConfigError(f"port {port}: {wrong.strerror}; give another with --port") from None


async def _over_stdio(settings: Settings, search: Search | None) -> None:
    from triagedesk.cli.terminal import warn
    from triagedesk.desk import open_desk

    if sys.stdin is not None and sys.stdin.isatty():
        warn("This speaks MCP on standard input and output: an assistant starts it (docs/mcp.md). Ctrl-D ends it.")
    async with open_desk(settings) as desk:  # what is wrong with the settings is said before seconds of imports
        from triagedesk.mcp import serve_stdio

        await serve_stdio(desk, search)


async def _over_http(settings: Settings, listener: socket.socket, search: Search | None) -> None:
    from triagedesk.cli.terminal import warn
    from triagedesk.desk import open_desk

    async with open_desk(settings) as desk:
        from triagedesk.mcp import PATH, serve_http

        warn(f"MCP on http://127.0.0.1:{listener.getsockname()[1]}{PATH}, for this machine alone. Ctrl-C ends it.")
        await serve_http(desk, listener, search)

"""The commands of the service: `triagedesk serve` and `triagedesk keys`. Bodies import what they need."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from triagedesk.cli.options import (
    BaseUrlOption,
    CacheDirOption,
    DeadlineOption,
    ModelOption,
    NoCacheOption,
    Options,
    PlaybookOption,
    PromptOption,
)
from triagedesk.errors import ConfigError

keys_app = typer.Typer(name="keys", help="Create, list or revoke API keys of the service.", rich_markup_mode=None,
                       no_args_is_help=True)  # fmt: skip

DatabaseOption = Annotated[
    str | None, typer.Option("--database-url", metavar="URL", help="sqlite:///FILE or postgresql://…")
]
NEEDED = ("fastapi", "uvicorn", "sqlalchemy", "alembic", "prometheus_client")


def require_extra() -> None:
    """Raise ConfigError when a library of the `service` extra is not installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f"the service needs {', '.join(missing)}; pip install 'triagedesk[service]'")


def serve(
    host: Annotated[str | None, typer.Option(metavar="HOST", help="Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    database_url: DatabaseOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    deadline: DeadlineOption = None,
    playbook: PlaybookOption = None,
    prompt: PromptOption = None,
    no_cache: NoCacheOption = False,
    cache_dir: CacheDirOption = None,
) -> None:
    """Serve the HTTP API, webhooks and metrics. Needs keys to listen on anything but loopback."""
    require_extra()
    from triagedesk.cli.serve import serve as run

    options = Options(model, base_url, deadline, playbook, prompt, no_cache, cache_dir)
    raise typer.Exit(run(options, host=host, port=port, database_url=database_url))


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[list[str], typer.Option("--scope", help="suggest, feedback, read or admin; may be given again.")],
    budget: Annotated[float | None, typer.Option(min=0, metavar="USD", help="Most money a day.")] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Make a key and print it, once."""
    require_extra()
    from triagedesk.cli.keys import create

    raise typer.Exit(create(name, scope, budget=budget, database=database_url))


@keys_app.command("list")
def keys_list(database_url: DatabaseOption = None) -> None:
    """List the keys; never the secrets."""
    require_extra()
    from triagedesk.cli.keys import show

    raise typer.Exit(show(database=database_url))


@keys_app.command("revoke")
def keys_revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")],
    database_url: DatabaseOption = None,
) -> None:
    """Take a key back for good: within a second, no service lets it in (TRIAGEDESK_SERVICE_KEY_CACHE_S)."""
    require_extra()
    from triagedesk.cli.keys import revoke

    raise typer.Exit(revoke(key_id, database=database_url))

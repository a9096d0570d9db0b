"""`triagedesk keys create|list|revoke`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from triagedesk.cli.loop import run
from triagedesk.cli.terminal import say, warn
from triagedesk.errors import ConfigError


def create(name: str, scopes: Sequence[str], *, budget: float | None = None, database: str | None = None) -> int:
    """Make a key and print it alone on standard output; what to know about it goes to stderr.

    Raises TicketError for a name, scope or budget that cannot be, ConfigError or StoreUnavailable for the database.
    """
    return run(_create(name, scopes, budget, database))


def show(*, database: str | None = None) -> int:
    """Print every key with its id, scopes, budget and what it has spent today; never the key itself."""
    return run(_show(database))


def revoke(key_id: str, *, database: str | None = None) -> int:
    """Revoke a key for good; a service that knows it lets it in for `key_cache_s` at most.

    Raises ConfigError where no usable key has that id.
    """
    return run(_revoke(key_id, database))


async def _create(name: str, scopes: Sequence[str], budget: float | None, database: str | None) -> int:
    from triagedesk.service.keys import create_key
    from triagedesk.service.store.database import open_store

    async with open_store(_url(database)) as store:
        made = await create_key(store.keys, name, scopes, daily_budget_usd=budget, now=datetime.now(UTC))
    say(made.secret)
    warn(
        f"key {made.key.id} ({made.key.name}): shown this once; take it back with: triagedesk keys revoke {made.key.id}"
    )
    return 0


async def _show(database: str | None) -> int:
    from triagedesk.service.store.database import open_store

    today = datetime.now(UTC).date().isoformat()
    async with open_store(_url(database)) as store:
        keys = await store.keys.all()
        spent = [await store.keys.spent(key.id, today) for key in keys]
    for key, usd in zip(keys, spent, strict=True):
        budget = "no budget" if key.daily_budget_usd is None else f"{usd:.4f} of {key.daily_budget_usd:g} USD today"
        state = "usable" if key.revoked_at is None else f"revoked {key.revoked_at:%Y-%m-%d %H:%M} UTC"
        say(f"{key.id}  {state}  {','.join(sorted(key.scopes))}  {budget}  {key.name}")
    if not keys:
        warn("no keys; make one with: triagedesk keys create NAME --scope suggest")
    return 0


async def _revoke(key_id: str, database: str | None) -> int:
    from triagedesk.service.store.database import open_store

    async with open_store(_url(database)) as store:
        revoked = await store.keys.revoke(key_id, datetime.now(UTC))
    if not revoked:
        raise ConfigError("no usable key has that id; see: triagedesk keys list")
    say(f"revoked {key_id}")
    return 0


def _url(database: str | None) -> str:
    from triagedesk.service.settings import ServiceSettings

    return ServiceSettings.from_env(database_url=database).database_url.get_secret_value()

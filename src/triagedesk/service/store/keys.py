"""API keys and what they have spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, CursorResult, Row, select, update

from triagedesk.service.store.records import ApiKey, Scope, Spent
from triagedesk.service.store.tables import KeyRow, SpendRow
from triagedesk.service.store.transactions import Database

NANO = 1_000_000_000


class Keys:
    """The table of keys: digests only, found by the first characters of the key."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changes = 0
        """How often this process made or revoked a key: what was remembered before is old."""

    async def add(self, key: ApiKey, *, prefix: str, digest: bytes) -> None:
        """Keep a key; the same id twice is one key."""

        def work(connection: Connection) -> None:
            values = {
                "id": key.id, "name": key.name, "scopes": " ".join(sorted(key.scopes)), "prefix": prefix,
                "digest": digest, "created_at": key.created_at, "revoked_at": key.revoked_at,
                "daily_budget_usd": key.daily_budget_usd,
            }  # fmt: skip
            connection.execute(self._database.insert(KeyRow).values(values).on_conflict_do_nothing())

        await self._database.write(work)
        self.changes += 1

    async def by_prefix(self, prefix: str) -> list[tuple[ApiKey, bytes]]:
        """Return every key that begins so (nearly always one or none), revoked ones too, with its digest."""

        def work(connection: Connection) -> list[tuple[ApiKey, bytes]]:
            found = connection.execute(select(KeyRow).where(KeyRow.prefix == prefix))
            return [(_key(row), bytes(row.digest)) for row in found]

        return await self._database.glance(work)

    async def all(self) -> list[ApiKey]:
        """Return every key, revoked ones too, the oldest first."""

        def work(connection: Connection) -> list[ApiKey]:
            found = connection.execute(select(KeyRow).order_by(KeyRow.created_at, KeyRow.id))
            return [_key(row) for row in found]

        return await self._database.read(work)

    async def any(self) -> bool:
        """Say whether a key was ever made: there is no way to unmake one."""

        def work(connection: Connection) -> bool:
            return connection.execute(select(KeyRow.id).limit(1)).first() is not None

        return await self._database.glance(work)

    async def any_usable(self) -> bool:
        """Say whether there is a key that is not revoked."""

        def work(connection: Connection) -> bool:
            found = connection.execute(select(KeyRow.id).where(KeyRow.revoked_at.is_(None)).limit(1))
            return found.first() is not None

        return await self._database.read(work)

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """Revoke a key for good. Returns False where there is none of that id, or it is revoked already."""

        def work(connection: Connection) -> bool:
            done: CursorResult[Any] = connection.execute(
                update(KeyRow).where(KeyRow.id == key_id, KeyRow.revoked_at.is_(None)).values(revoked_at=at)
            )
            return done.rowcount > 0

        revoked = await self._database.write(work)
        self.changes += 1
        return revoked

    async def spend(self, key_id: str, day: str, usd: float) -> None:
        """Add to what a key has spent on a day ("2026-11-22"), in one step."""
        added = Spent(key_id, day, round(usd * NANO))
        await self._database.write(lambda connection: spend_all(self._database, connection, [added]))

    async def spent(self, key_id: str, day: str) -> float:
        """Return what a key has spent on a day, in USD."""

        def work(connection: Connection) -> float:
            found = connection.execute(select(SpendRow.nano_usd).where(SpendRow.key_id == key_id, SpendRow.day == day))
            return (found.scalar() or 0) / NANO

        return await self._database.glance(work)


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        scopes=frozenset(map(Scope, row.scopes.split())),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        daily_budget_usd=row.daily_budget_usd,
    )


def spend_all(database: Database, connection: Connection, spent: Iterable[Spent]) -> None:
    """Add to what keys have spent, within the caller's transaction; in one order: no two wait for each other."""
    sums: Counter[tuple[str, str]] = Counter()
    for one in spent:
        sums[one.key_id, one.day] += one.nano_usd
    for (key_id, day), nano in sorted(sums.items()):
        insert = database.insert(SpendRow).values(key_id=key_id, day=day, nano_usd=nano)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=[SpendRow.key_id, SpendRow.day], set_={"nano_usd": SpendRow.nano_usd + nano}
            )
        )

"""API keys and what they have spent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from triagedesk.service.store.connection import Database
from triagedesk.service.store.records import ApiKey, Scope
from triagedesk.service.store.tables import KeyRow, SpendRow

NANO = 1_000_000_000


class Keys:
    """The table of keys: digests only, found by the first characters of the key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey, *, prefix: str, digest: bytes) -> None:
        """Keep a key; the same id twice is one key."""

        async def work(connection: AsyncConnection) -> None:
            values = {
                "id": key.id, "name": key.name, "scopes": " ".join(sorted(key.scopes)), "prefix": prefix,
                "digest": digest, "created_at": key.created_at, "revoked_at": key.revoked_at,
                "daily_budget_usd": key.daily_budget_usd,
            }  # fmt: skip
            await connection.execute(self._database.insert(KeyRow).values(values).on_conflict_do_nothing())

        await self._database.write(work)

    async def by_prefix(self, prefix: str) -> list[tuple[ApiKey, bytes]]:
        """Return every key that begins so (nearly always one or none), revoked ones too, with its digest."""

        async def work(connection: AsyncConnection) -> list[tuple[ApiKey, bytes]]:
            found = await connection.execute(select(KeyRow).where(KeyRow.prefix == prefix))
            return [(_key(row), bytes(row.digest)) for row in found]

        return await self._database.read(work)

    async def all(self) -> list[ApiKey]:
        """Return every key, revoked ones too, the oldest first."""

        async def work(connection: AsyncConnection) -> list[ApiKey]:
            found = await connection.execute(select(KeyRow).order_by(KeyRow.created_at, KeyRow.id))
            return [_key(row) for row in found]

        return await self._database.read(work)

    async def any_usable(self) -> bool:
        """Say whether there is a key that is not revoked."""

        async def work(connection: AsyncConnection) -> bool:
            found = await connection.execute(select(KeyRow.id).where(KeyRow.revoked_at.is_(None)).limit(1))
            return found.first() is not None

        return await self._database.read(work)

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """Revoke a key for good. Returns False where there is none of that id, or it is revoked already."""

        async def work(connection: AsyncConnection) -> bool:
            done: CursorResult[Any] = await connection.execute(
                update(KeyRow).where(KeyRow.id == key_id, KeyRow.revoked_at.is_(None)).values(revoked_at=at)
            )
            return done.rowcount > 0

        return await self._database.write(work)

    async def spend(self, key_id: str, day: str, usd: float) -> float:
        """Add to what a key has spent on a day ("2026-11-22"), in one step, and return the day's sum in USD."""
        nano = round(usd * NANO)

        async def work(connection: AsyncConnection) -> float:
            insert = self._database.insert(SpendRow).values(key_id=key_id, day=day, nano_usd=nano)
            counted = await connection.execute(
                insert.on_conflict_do_update(
                    index_elements=[SpendRow.key_id, SpendRow.day],
                    set_={"nano_usd": SpendRow.nano_usd + nano},
                ).returning(SpendRow.nano_usd)
            )
            return int(counted.scalar_one()) / NANO

        return await self._database.write(work)

    async def spent(self, key_id: str, day: str) -> float:
        """Return what a key has spent on a day, in USD."""

        async def work(connection: AsyncConnection) -> float:
            found = await connection.execute(
                select(SpendRow.nano_usd).where(SpendRow.key_id == key_id, SpendRow.day == day)
            )
            return (found.scalar() or 0) / NANO

        return await self._database.read(work)


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        scopes=frozenset(map(Scope, row.scopes.split())),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        daily_budget_usd=row.daily_budget_usd,
    )

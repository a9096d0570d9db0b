"""Idempotency-Keys: of many equal requests, one asks and all get its answer, whichever replica they reach."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, bindparam, delete, select, update

from triagedesk.service.store.forgetting import forget
from triagedesk.service.store.ids import new_id
from triagedesk.service.store.records import Claim, Claimed
from triagedesk.service.store.tables import IdempotencyRow
from triagedesk.service.store.transactions import Database

_SETTLE = (
    update(IdempotencyRow)
    .where(
        IdempotencyRow.key_id == bindparam("whose"), IdempotencyRow.digest == bindparam("its_digest"),
        IdempotencyRow.suggestion_id.is_(None),
    )
    .values(suggestion_id=bindparam("answer"))
)  # fmt: skip


class Idempotency:
    """The table of Idempotency-Keys, by API key; the keys themselves are kept as hashes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, key_id: str, key: str, fingerprint: str, *, stale_after_s: float = 60.0) -> Claim:
        """Claim a key for a request whose content hashes to `fingerprint`.

        `first` means: work, then call `settle` or `release`. Otherwise `suggestion_id` is the first one's answer, or
        None while it works; another `fingerprint` than yours is a misuse. A claim without an answer after
        `stale_after_s` seconds was left by a process that died, and is taken over.
        """
        digest, token = _digest(key), new_id("i")
        its = and_(IdempotencyRow.key_id == key_id, IdempotencyRow.digest == digest)

        def work(connection: Connection) -> Claim:
            now = self._database.now()
            insert = self._database.insert(IdempotencyRow).values(
                key_id=key_id, digest=digest, fingerprint=fingerprint, at=now, taken_by=token
            )
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=[IdempotencyRow.key_id, IdempotencyRow.digest],
                    set_={"fingerprint": fingerprint, "at": now, "taken_by": token},
                    where=and_(
                        IdempotencyRow.suggestion_id.is_(None),
                        IdempotencyRow.at < now - timedelta(seconds=stale_after_s),
                    ),
                )
            )
            row = connection.execute(select(IdempotencyRow).where(its)).one()
            return Claim(row.taken_by == token, row.fingerprint, row.suggestion_id)

        return await self._database.write(work)

    async def settle(self, key_id: str, key: str, suggestion_id: str) -> None:
        """Say what the first request got; an answer that is there already stays."""
        answered = [(Claimed(key_id, key), suggestion_id)]
        await self._database.write(lambda connection: settle_all(connection, answered))

    async def release(self, key_id: str, key: str) -> None:
        """Give a claim back that came to nothing, so that the caller may try again."""
        digest = _digest(key)

        def work(connection: Connection) -> None:
            its = and_(IdempotencyRow.key_id == key_id, IdempotencyRow.digest == digest)
            connection.execute(delete(IdempotencyRow).where(its, IdempotencyRow.suggestion_id.is_(None)))

        await self._database.write(work)

    async def forget(self, before: datetime) -> int:
        """Forget what is older (a day is what callers expect). Returns how many went."""
        return await forget(self._database, IdempotencyRow, IdempotencyRow.at < before)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def settle_all(connection: Connection, answered: Sequence[tuple[Claimed, str]]) -> None:
    """Say what first requests got, within the caller's transaction."""
    rows = [
        {"whose": claimed.key_id, "its_digest": _digest(claimed.key), "answer": suggestion_id}
        for claimed, suggestion_id in answered
    ]
    connection.execute(_SETTLE, rows)

"""Webhook deliveries that were taken in: each is handled once, over restarts and by however many replicas."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from triagedesk.service.store.forgetting import forget
from triagedesk.service.store.ids import new_id
from triagedesk.service.store.jobs import add_job
from triagedesk.service.store.records import Delivery, Job, JobState
from triagedesk.service.store.tables import DeliveryRow
from triagedesk.service.store.transactions import Database

MAX_ID = 100


class Deliveries:
    """The table of deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def first(self, desk: str, delivery_id: str) -> bool:
        """Remember a delivery. Returns False where it was seen before."""

        def work(connection: Connection) -> bool:
            return self._taken(connection, desk, delivery_id, token)

        token = new_id("d")
        return await self._database.write(work)

    async def accept(self, desk: str, delivery_id: str | None, kind: str, payload: Mapping[str, Any]) -> Job | None:
        """Remember a delivery and queue its job, both or neither: a kill in between loses nothing.

        Returns the job, or None where the delivery was seen before. Without a delivery id, every one is new.
        """

        def work(connection: Connection) -> Job | None:
            if delivery_id is not None and not self._taken(connection, desk, delivery_id, job.id):
                return None
            add_job(self._database, connection, job)
            return job

        now = self._database.now()
        job = Job(new_id("j", now), kind, payload, 0, now, JobState.QUEUED)
        return await self._database.write(work)

    async def get(self, desk: str, delivery_id: str) -> Delivery | None:
        """Return a delivery, or None."""
        known = stored_id(delivery_id)
        wanted = select(DeliveryRow.at).where(DeliveryRow.desk == desk, DeliveryRow.delivery_id == known)

        def work(connection: Connection) -> Delivery | None:
            at = connection.execute(wanted).scalar()
            return None if at is None else Delivery(desk, delivery_id, at)

        return await self._database.read(work)

    async def forget(self, before: datetime) -> int:
        """Forget what is older: keep at least the replay window and a desk's last retry. Returns how many went."""
        return await forget(self._database, DeliveryRow, DeliveryRow.at < before)

    def _taken(self, connection: Connection, desk: str, delivery_id: str, token: str) -> bool:
        """Insert, and read whose insert stands: so it may be tried anew when a commit's answer got lost."""
        known = stored_id(delivery_id)
        insert = self._database.insert(DeliveryRow).values(
            desk=desk, delivery_id=known, at=self._database.now(), taken_by=token
        )
        connection.execute(insert.on_conflict_do_nothing())
        stands = connection.execute(
            select(DeliveryRow.taken_by).where(DeliveryRow.desk == desk, DeliveryRow.delivery_id == known)
        )
        return bool(stands.scalar_one() == token)


def stored_id(delivery_id: str) -> str:
    """Return a sender's id as it is kept: the hash of one that is long or not plain ASCII."""
    plain = len(delivery_id) <= MAX_ID and delivery_id.isascii() and delivery_id.isprintable()
    if plain and not delivery_id.startswith("sha256:"):
        return delivery_id
    return "sha256:" + hashlib.sha256(delivery_id.encode("utf-8", "surrogatepass")).hexdigest()

"""The journey of one ticket through the service: known before? · desk · thread · kept · charged · told on.

Routes, the worker behind the webhooks and anybody else who wants a suggestion kept come through here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import anyio

from triagedesk.models import Suggestion, Ticket
from triagedesk.service.duty import Duty
from triagedesk.service.keys import KeyGate
from triagedesk.service.metrics import Metrics
from triagedesk.service.settings import ServiceSettings
from triagedesk.service.store.database import Store
from triagedesk.service.store.ids import new_id
from triagedesk.service.store.records import ApiKey, StoredSuggestion
from triagedesk.service.threads import Reconsidered, reconsider

Told = Callable[[StoredSuggestion, Suggestion], Awaitable[None]]
"""Somebody who wants to know of every suggestion that was kept: steps are planned, people are notified."""

TEXT_FIELDS = frozenset(("subject", "body", "messages", "fields"))


class Reception:
    """Takes tickets in. `told` may be added to while the service starts."""

    def __init__(
        self, service: ServiceSettings, duty: Duty, store: Store, gate: KeyGate, metrics: Metrics,
        *, now: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._service, self._duty, self._store, self._gate = service, duty, store, gate
        self._metrics, self._now = metrics, now
        self.told: list[Told] = []

    async def take(
        self, ticket: Ticket, *, deadline_s: float | None = None, key: ApiKey | None = None,
        source_desk: str | None = None, known: bool = True, suggestion_id: str | None = None,
    ) -> StoredSuggestion:  # fmt: skip
        """Suggest, keep and charge. `known` says that the ticket's id is the caller's own, so it may come again.

        A `suggestion_id` that is given makes it one suggestion, however often a job is tried.

        Raises TicketError for a channel or tier that the playbook does not know, StoreUnavailable.
        """
        before = await self._before(ticket, key, source_desk) if known else None
        considered, keeper = await self._duty.consider(ticket, deadline_s=deadline_s)
        outcome = Reconsidered(considered.suggestion, {})
        now = self._now()
        if before is not None:
            outcome = reconsider(
                before.suggestion, considered, ticket, playbook=keeper.desk.playbook, policy=keeper.policy, now=now
            )
            self._metrics.held.inc(outcome.held)
        stored = StoredSuggestion(
            id=suggestion_id or new_id("s", now), ticket_id=ticket.id, created_at=now, key_id=key.id if key else None,
            suggestion=outcome.suggestion.model_dump(mode="json"), ticket=self._kept(ticket), source_desk=source_desk,
            previous_id=before.id if before else None,
            changed={name: list(three) for name, three in outcome.changed.items()} if before else None,
        )  # fmt: skip
        with anyio.CancelScope(shield=True):  # money was spent: what it bought is kept, though the caller hang up now
            await self._write_down(stored, outcome.suggestion, key)
        return stored

    async def _before(self, ticket: Ticket, key: ApiKey | None, desk: str | None) -> StoredSuggestion | None:
        """Return the newest suggestion that the same caller got for this ticket."""
        found = await self._store.suggestions.newest(
            ticket.id, key_id=key.id if key else None, source_desk=desk
        )  # fmt: skip
        mine = found is not None and found.key_id == (key.id if key else None) and found.source_desk == desk
        return found if mine else None

    async def _write_down(self, stored: StoredSuggestion, suggestion: Suggestion, key: ApiKey | None) -> None:
        self._metrics.suggested(suggestion.provenance)
        if key is not None:
            await self._gate.charge(key, suggestion.provenance.cost_usd)
        await self._store.suggestions.add(stored)
        for told in self.told:
            await told(stored, suggestion)

    def _kept(self, ticket: Ticket) -> Mapping[str, Any]:
        """Return what is kept of a ticket: its metadata for the insights, its words only where that was asked for."""
        row = ticket.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        return row if self._service.store_tickets else {k: v for k, v in row.items() if k not in TEXT_FIELDS}

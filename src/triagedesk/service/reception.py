"""The journey of one ticket through the service: known before? · desk · thread · all of it written down · told on.

Routes, the worker behind the webhooks and anybody else who wants a suggestion kept come through here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from triagedesk.models import Suggestion, Ticket
from triagedesk.service.alarms import Alarms
from triagedesk.service.duty import Duty
from triagedesk.service.keys import KeyGate
from triagedesk.service.metrics import Metrics
from triagedesk.service.settings import ServiceSettings
from triagedesk.service.store.database import Store
from triagedesk.service.store.ids import new_id
from triagedesk.service.store.records import ApiKey, Claimed, Entry, Known, StoredSuggestion, Written
from triagedesk.service.threads import Changed, reconsider

TEXT_FIELDS = frozenset(("subject", "body", "messages", "fields"))
NOTHING = Known()


class Reception:
    """Takes tickets in. `alarms` comes with the office, which opens after it; without one, nobody is told."""

    def __init__(
        self, service: ServiceSettings, duty: Duty, store: Store, gate: KeyGate, metrics: Metrics,
        *, now: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._service, self._duty, self._store, self._gate = service, duty, store, gate
        self._metrics, self._now = metrics, now
        self.alarms: Alarms | None = None

    async def take(
        self, ticket: Ticket, *, deadline_s: float | None = None, key: ApiKey | None = None,
        source_desk: str | None = None, known: bool = True, suggestion_id: str | None = None,
        claimed: Claimed | None = None,
    ) -> StoredSuggestion:  # fmt: skip
        """Suggest, and write down what came of it: suggestion, steps, alarms, money, Idempotency-Key, in one commit.

        `known` says that the ticket's id is the caller's own, so it may come again. A `suggestion_id` that is given
        makes it one suggestion, however often a job is tried.

        Raises TicketError for a channel or tier that the playbook does not know, StoreUnavailable.
        """
        before = await self._known(ticket, key, source_desk) if known else NOTHING
        suggestion, changed = await self._suggest(ticket, before, deadline_s)
        now, previous = self._now(), before.previous
        stored = StoredSuggestion(
            id=suggestion_id or new_id("s", now), ticket_id=ticket.id, created_at=now, key_id=key.id if key else None,
            suggestion=Written(suggestion.model_dump_json()), ticket=self._kept(ticket), source_desk=source_desk,
            previous_id=previous.id if previous else None,
            changed={name: list(three) for name, three in changed.items()} if previous else None,
        )  # fmt: skip
        self._metrics.suggested(suggestion.provenance)
        await self._write_down(stored, suggestion, before, key, claimed)
        return stored

    async def _known(self, ticket: Ticket, key: ApiKey | None, desk: str | None) -> Known:
        return await self._store.ledger.known(ticket.id, key_id=key.id if key else None, source_desk=desk)

    async def _suggest(self, ticket: Ticket, before: Known, deadline_s: float | None) -> tuple[Suggestion, Changed]:
        """Ask the desk on duty; of a ticket that is known, say what changed."""
        considered, keeper = await self._duty.consider(ticket, deadline_s=deadline_s)
        if before.previous is None:
            return considered.suggestion, {}
        outcome = reconsider(
            before.previous.suggestion, considered, ticket, playbook=keeper.desk.playbook, policy=keeper.policy,
            now=self._now(),
        )  # fmt: skip
        self._metrics.held.inc(outcome.held)
        return outcome.suggestion, outcome.changed

    async def _write_down(
        self, stored: StoredSuggestion, suggestion: Suggestion, before: Known, key: ApiKey | None,
        claimed: Claimed | None,
    ) -> None:  # fmt: skip
        """Keep it all, though the caller hang up now: money was spent for it."""
        plan = self.alarms.plan(stored, suggestion, before) if self.alarms else None
        steps, jobs = (plan.steps, plan.jobs) if plan else ((), ())
        spent = self._gate.bill(key, suggestion.provenance.cost_usd)
        await self._store.ledger.keep(Entry(stored, steps, jobs, spent, claimed))
        if self.alarms is not None and plan is not None:
            self.alarms.kept(plan)

    def _kept(self, ticket: Ticket) -> Mapping[str, Any]:
        """Return what is kept of a ticket: its metadata for the insights, its words only where that was asked for."""
        row = ticket.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        return row if self._service.store_tickets else {k: v for k, v in row.items() if k not in TEXT_FIELDS}

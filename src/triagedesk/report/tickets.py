"""What only the tickets know, found again for each suggestion: side by side, or by way of a table on disk."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from triagedesk.batch.rows import Row
from triagedesk.models import Ticket
from triagedesk.report.zone import epoch

LOOK_AHEAD = 20_000
"""So many tickets are held while their suggestion has not come; past that they go to a table on disk."""
CHUNK = 5000


class Facts(NamedTuple):
    """A ticket without its text. Moments are in s since 1970."""

    channel: str | None = None
    tier: str | None = None
    region: str | None = None
    product: str | None = None
    created: float | None = None
    due: float | None = None
    subject: str = ""


def facts_of(ticket: Ticket) -> Facts:
    """Return what a report asks of a ticket."""
    created, due = (epoch(moment) if moment else None for moment in (ticket.created_at, ticket.due_at))
    return Facts(
        ticket.channel, ticket.customer_tier, ticket.region, ticket.product, created, due, ticket.subject[:300]
    )


class Join:
    """Finds the ticket of each suggestion; one ticket serves one suggestion.

    Both files mostly stand in the same order: then only tickets in between are held. Otherwise all go to SQLite's own
    temporary file, which the operating system removes.
    """

    def __init__(self, rows: Iterator[Row], look_ahead: int = LOOK_AHEAD) -> None:
        self._rows, self._look_ahead = rows, look_ahead
        self._held: dict[str, deque[Facts]] = {}
        self._table: _Table | None = None
        self.unusable = 0
        self.unmatched = 0
        self._waiting = 0

    @property
    def on_disk(self) -> bool:
        """Say whether the table on disk was needed."""
        return self._table is not None

    def facts(self, ticket_id: str) -> Facts | None:
        """Return a suggestion's ticket; None, and counted, if there is none."""
        found = self._found(ticket_id)
        self.unmatched += found is None
        return found

    def _found(self, ticket_id: str) -> Facts | None:
        if self._table is not None:
            return self._table.take(ticket_id)
        held = self._held.get(ticket_id)
        if held is not None:
            return self._release(ticket_id, held)
        for name, facts in self._tickets():
            if name == ticket_id:
                return facts
            self._held.setdefault(name, deque()).append(facts)
            self._waiting += 1
            if self._waiting > self._look_ahead:
                self._spill()
                return self._found(ticket_id)
        return None

    def _release(self, ticket_id: str, held: deque[Facts]) -> Facts:
        self._waiting -= 1
        facts = held.popleft()
        if not held:
            del self._held[ticket_id]
        return facts

    def _tickets(self) -> Iterator[tuple[str, Facts]]:
        for row in self._rows:
            if row.ticket is None:
                self.unusable += 1
            else:
                yield row.ticket.id, facts_of(row.ticket)

    def _spill(self) -> None:
        self._table = _Table()
        self._table.put((name, facts) for name, held in self._held.items() for facts in held)
        self._held.clear()
        self._table.put(self._tickets())

    def rest(self) -> int:
        """Return how many tickets no suggestion came for; reads the tickets to their end."""
        if self._table is not None:
            return self._table.rest()
        return self._waiting + sum(1 for _ in self._tickets())

    def close(self) -> None:
        """Remove the table on disk, if there was one."""
        if self._table is not None:
            self._table.close()


class _Table:
    """Tickets by id in a temporary file."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-16000;"
            "CREATE TABLE tickets(place INTEGER PRIMARY KEY, id TEXT, channel, tier, region, product, created, due,"
            " subject); CREATE INDEX by_id ON tickets(id);"
        )

    def put(self, tickets: Iterator[tuple[str, Facts]]) -> None:
        while chunk := list(islice(tickets, CHUNK)):
            self._database.execute("BEGIN")
            self._database.executemany(
                "INSERT INTO tickets VALUES(NULL,?,?,?,?,?,?,?,?)", ((name, *facts) for name, facts in chunk)
            )
            self._database.execute("COMMIT")

    def take(self, ticket_id: str) -> Facts | None:
        found = self._database.execute(
            "SELECT place, channel, tier, region, product, created, due, subject FROM tickets"
            " WHERE id=? ORDER BY place LIMIT 1", (ticket_id,),
        ).fetchone()  # fmt: skip
        if found is None:
            return None
        self._database.execute("DELETE FROM tickets WHERE place=?", found[:1])
        return Facts(*found[1:])

    def rest(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM tickets").fetchone()[0])

    def close(self) -> None:
        self._database.close()

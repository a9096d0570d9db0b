"""What the desk made of the tickets it saw last, as far as it depends neither on the clock nor on who asks.

The same words under the same metadata are read, judged by the rules and put to the model in the same way, so this is
kept for a ticket that comes again. The clock is asked every time, for the caller's own ticket.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from triagedesk.models import Classification, ModelAnswer, Ticket
from triagedesk.reading import Reading

if TYPE_CHECKING:
    from triagedesk.asking import Question
    from triagedesk.policy import Verdict
    from triagedesk.privacy import Redacted

MAX_TICKETS = 256
MAX_CHARS = 4_000
"""A ticket with more text is not kept: at worst about 20 MB are held, for usual tickets 8 MB."""

UNSEEN = ("id", "created_at", "due_at", "messages")
"""What of a ticket neither tidying nor rules nor the model look at; whether it is overdue, they do."""


@dataclass(eq=False, slots=True, repr=False)
class View:
    """What is made of a ticket, the clock aside: its reading, the rules' opinion, the question, the answer's meaning.

    `trained` is the trained classifier's opinion once it was wanted.
    `hidden` and `question` stay None where no model is asked. `answer` and `found` are the model's answer seen last and
    what it means for this text; `verdict` is what policy said, the clock aside, of the classification `judged`.
    """

    reading: Reading
    rules: Classification
    trained: Classification | None = None
    hidden: Redacted | None = None
    question: Question | None = None
    answer: ModelAnswer | None = None
    found: Classification | None = None
    judged: Classification | None = None
    verdict: Verdict | None = None


class Remembered:
    """The views used last, by all that they depend on. For one event loop; a changed playbook means a new desk."""

    def __init__(self, max_tickets: int = MAX_TICKETS) -> None:
        self._views: OrderedDict[Hashable, View] = OrderedDict()
        self._max_tickets = max_tickets

    def get(self, key: Hashable) -> View | None:
        """Return the view kept under a key."""
        view = self._views.get(key)
        if view is not None:
            self._views.move_to_end(key)
        return view

    def put(self, key: Hashable | None, view: View) -> None:
        """Keep a view; the one used longest ago makes room. Without a key nothing is kept."""
        if key is None:
            return
        self._views[key] = view
        if len(self._views) > self._max_tickets:
            self._views.popitem(last=False)


def view_key(ticket: Ticket, *, overdue: bool) -> Hashable | None:
    """Return all that a view depends on, or None for a ticket that is too long to keep."""
    fields = repr(ticket.fields) if ticket.fields else ""
    if len(ticket.body) + len(ticket.subject) + len(fields) > MAX_CHARS:
        return None
    return (
        ticket.subject, ticket.body, ticket.channel, ticket.customer_tier, ticket.product, ticket.region,
        ticket.language, fields, overdue,
    )  # fmt: skip

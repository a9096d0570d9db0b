"""What the desk remembers of tickets: the same suggestion as afresh, for the caller's own ticket and clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import pytest

from desk_parts import MONDAY, default_playbook, ticket
from llm_parts import MisbehavingServer
from triagedesk.desk import Desk, open_desk
from triagedesk.models import Source, Suggestion, Ticket
from triagedesk.remembered import MAX_CHARS, UNSEEN, Remembered, view_key
from triagedesk.settings import Settings

BODY = "I was charged twice for order 881 and want my money back, please answer soon."


def suggestions(*tickets: Ticket, now: list[datetime] | None = None) -> list[Suggestion]:
    """Ask one desk, by rules, for one ticket after the other; `now` gives each its time."""
    times = iter(now or [MONDAY] * len(tickets))
    desk = Desk(Settings(model="rules"), default_playbook(), now=lambda: next(times))

    async def ask() -> list[Suggestion]:
        return [await desk.suggest(one) for one in tickets]

    return anyio.run(ask)


def comparable(suggestion: Suggestion) -> dict[str, object]:
    return suggestion.model_dump(exclude={"ticket_id", "provenance"})


def test_a_ticket_that_comes_again_is_answered_alike_under_its_own_id() -> None:
    first, again = suggestions(ticket(BODY, id="A"), ticket(BODY, id="B"))
    assert (first.ticket_id, again.ticket_id) == ("A", "B")
    assert comparable(first) == comparable(again)
    assert first.labels is not again.labels


@pytest.mark.parametrize(
    "other",
    [
        {"subject": "Complaint"},
        {"channel": "voice"},
        {"customer_tier": "vip"},
        {"product": "charger"},
        {"region": "DE"},
        {"language": "de"},
        {"fields": {"product": "charger"}},
        {"due_at": MONDAY - timedelta(days=2)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_ticket_that_differs_in_anything_seen_is_answered_as_by_a_new_desk(other: dict[str, object]) -> None:
    changed = ticket(BODY, **other)
    _, after = suggestions(ticket(BODY), changed)
    (afresh,) = suggestions(changed)
    assert comparable(after) == comparable(afresh)


def test_the_clock_is_asked_each_time() -> None:
    given = Ticket(id="T", body=BODY)
    first, later = suggestions(given, given, now=[MONDAY, MONDAY + timedelta(days=1)])
    assert later.response.first_response_due - first.response.first_response_due == timedelta(days=1)


def test_a_promise_that_breaks_meanwhile_shows() -> None:
    given = Ticket(id="T", body=BODY, due_at=MONDAY + timedelta(hours=1), created_at=MONDAY)
    before, after = suggestions(given, given, now=[MONDAY, MONDAY + timedelta(hours=2)])
    assert (before.response.breached, after.response.breached) == (False, True)
    assert comparable(after) == comparable(*suggestions(given, now=[MONDAY + timedelta(hours=2)]))


def test_every_field_of_a_ticket_is_part_of_the_key_or_named_as_unseen() -> None:
    key = view_key(Ticket(body=BODY), overdue=False)
    assert isinstance(key, tuple)
    assert len(key) == len(Ticket.model_fields) - len(UNSEEN) + 1  # and whether it is overdue
    assert set(UNSEEN) <= set(Ticket.model_fields)


@pytest.mark.parametrize("fields", [{"a": 1}, {"a": True}, {"a": "1"}, {"a": None}, {"b": 1}], ids=str)
def test_custom_fields_that_are_merely_equal_to_python_are_told_apart(fields: dict[str, object]) -> None:
    keys = {view_key(Ticket(body=BODY, fields=one), overdue=False) for one in ({"a": 1.0}, {}, fields)}
    assert len(keys) == 3


def test_a_long_ticket_is_not_kept() -> None:
    assert view_key(Ticket(body="a" * (MAX_CHARS + 1)), overdue=False) is None
    first, again = suggestions(ticket("word " * MAX_CHARS), ticket("word " * MAX_CHARS))
    assert comparable(first) == comparable(again)


def test_no_more_than_the_last_tickets_are_held() -> None:
    desk = Desk(Settings(model="rules"), default_playbook())
    desk._remembered = Remembered(max_tickets=2)

    async def ask() -> None:
        for number in range(5):
            await desk.suggest(ticket(f"{BODY} {number % 3}"))

    anyio.run(ask)
    assert len(desk._remembered._views) == 2


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    """A server that misbehaves, in a process of its own."""
    misbehaving = MisbehavingServer()
    yield misbehaving
    misbehaving.close()


def test_a_cached_answer_gives_the_same_suggestion_as_the_fresh_one(server: MisbehavingServer, tmp_path: Path) -> None:
    settings = Settings(model="openai/made-up", base_url=server.url("good"), api_key="none", cache_dir=tmp_path)

    async def ask() -> list[Suggestion]:
        async with open_desk(settings, now=lambda: MONDAY) as desk:
            return [await desk.suggest(ticket(BODY, id=name)) for name in "ABC"]

    fresh, cached, again = anyio.run(ask)
    assert [one.provenance.source for one in (fresh, cached, again)] == [Source.MODEL, Source.CACHE, Source.CACHE]
    assert comparable(fresh) == comparable(cached) == comparable(again)
    assert [one.ticket_id for one in (fresh, cached, again)] == list("ABC")

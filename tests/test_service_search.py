"""Past suggestions are found by their words, on both databases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service_store_parts import KINDS, database_of, in_store, suggestion
from triagedesk.service.search import search
from triagedesk.service.store import suggestions as table
from triagedesk.service.store.database import Store
from triagedesk.service.store.records import Written


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database_of(request.param, tmp_path) as url:
        yield url


def said(label: str, quote: str, **more: Any) -> dict[str, Any]:
    reason = {"text": "Money is named.", "quote": quote, "field": "body"}
    return {"labels": {"issue_type": {"label": label, "reasons": [reason]}}, "queue": "billing", **more}


def looking_for(query: str, limit: int = 10) -> Callable[[Store], Awaitable[list[str]]]:
    async def work(store: Store) -> list[str]:
        await store.suggestions.add(
            suggestion(1, ticket_id="T-1", suggestion=said("billing_payment", "charged 100% twice")),
            suggestion(2, ticket_id="T-2", suggestion=said("safety", "it smoked", flags=["report_to_authority"])),
            suggestion(3, ticket_id="T-3", suggestion=said("billing_payment", "Überweisung doppelt")),
            suggestion(4, ticket_id="T-4", suggestion=Written('{"labels":{},"queue":"Überlauf"}')),
            suggestion(5, ticket_id="Ö-5", suggestion=said("delivery", 'a "lost" parcel')),
        )
        return [one["ticket_id"] for one in await search(store.suggestions, query, limit)]

    return work


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("BILLING_PAYMENT", ["T-3", "T-1"]), ("twice billing", ["T-1"]), ("twice parcel", []), ("t-2", ["T-2"]),
        ("report_to", ["T-2"]), ("überweisung", ["T-3"]), ("über", ["T-4", "T-3"]), ("100%", ["T-1"]), ("%", ["T-1"]),
        ("o_a", ["T-2"]), ('"lost"', ["Ö-5"]), ("ö-5", ["Ö-5"]), ("field", []), ("reasons", []), ("", []),
        ("' OR 1=1 --", []),
    ],
)  # fmt: skip
def test_every_word_must_stand_in_what_was_said(url: str, query: str, expected: list[str]) -> None:
    assert in_store(url, looking_for(query)) == expected


def test_the_newest_come_first_and_no_more_than_were_asked_for(url: str) -> None:
    assert in_store(url, looking_for("money", limit=2)) == ["Ö-5", "T-3"]


def test_a_search_goes_on_over_pages_and_stops_where_it_is_bounded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(store: Store) -> int:
        rare = [suggestion(number, ticket_id="needle" if number % 100 == 0 else "hay", suggestion=said("x", "needle"))
                for number in range(600)]  # fmt: skip
        await store.suggestions.add(*rare)
        return len(await search(store.suggestions, "needle hay", 1000))

    assert in_store(url, work) == 594
    monkeypatch.setattr(table, "SEARCHED", 250)
    assert in_store(url, work) == 248

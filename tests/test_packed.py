"""Several tickets in one request: they share the prompt and nothing else, whatever the model makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from batch_api_parts import open_small_desk
from desk_parts import FakeModel, answer, fake_model, settings
from misbehaving import completion
from triagedesk.classifiers.packed import MAX_PACKED_CHARS
from triagedesk.models import Suggestion, Ticket
from triagedesk.wiring import open_asking

BODIES = ["My invoice of May is missing", "The login page shows error 502", "Where is my parcel?", "Thanks a lot"]
LABELS = ["billing_payment", "technical", "order_delivery", "general"]

Item = dict[str, Any]


@pytest.fixture
def model() -> Iterator[FakeModel]:
    """A model that answers packs and single tickets alike, each label telling its ticket."""
    with fake_model() as made:
        made.says = says
        yield made


def own(body: str) -> Item:
    """Answer one ticket with a label of its own and a quote from it."""
    label = LABELS[BODIES.index(body)] if body in BODIES else "general"
    return answer("low", label, quote=body[:20])


def answers(seen: dict[str, Any]) -> list[Item]:
    return [{"id": ticket["id"], **own(ticket["body"])} for ticket in seen["tickets"]]


def says(seen: dict[str, Any]) -> object:
    return {"answers": answers(seen)} if "tickets" in seen else own(seen["body"])


def changed(change: Callable[[list[Item]], object]) -> Callable[[dict[str, Any]], object]:
    """Answer packs with a change, and single tickets as they should be."""

    def made(seen: dict[str, Any]) -> object:
        if "tickets" not in seen:
            return says(seen)
        items = answers(seen)
        return {"answers": change(items) or items}

    return made


def suggest(bodies: Sequence[str] = BODIES, *, deadline_s: float = 5.0, **given: Any) -> list[Suggestion]:
    """Ask about all tickets at once."""
    found: dict[int, Suggestion] = {}

    async def work() -> None:
        async with open_small_desk(settings(**{"pack": 4, "second_line": "rules", **given})) as desk:

            async def one(number: int, body: str) -> None:
                found[number] = await desk.suggest(Ticket(id=f"T-{number}", body=body), deadline_s=deadline_s)

            async with anyio.create_task_group() as tasks:
                for number, body in enumerate(bodies):
                    tasks.start_soon(one, number, body)

    anyio.run(work)
    return [found[number] for number in range(len(bodies))]


def issues(found: Sequence[Suggestion]) -> list[str]:
    return [one.labels["issue_type"].label for one in found]


def requests(model: FakeModel) -> list[int]:
    """Say how many tickets each request held; 0 for one in the words of a single ticket."""
    contents = [json.loads(json.loads(sent)["messages"][-1]["content"]) for sent in model.sent]
    return [len(content.get("tickets", ())) for content in contents]


def test_four_tickets_go_in_one_request_and_each_gets_its_own_answer(model: FakeModel) -> None:
    found = suggest()
    assert requests(model) == [4]
    assert issues(found) == LABELS
    for one, body in zip(found, BODIES, strict=True):
        assert one.labels["issue_type"].reasons[0].quote == body[:20]
        assert (one.provenance.source, one.provenance.attempts) == ("model", 1)
        assert "+pack@" in str(one.provenance.prompt)


def test_the_tokens_of_a_pack_are_shared_out_and_add_up(model: FakeModel) -> None:
    found = [one.provenance for one in suggest(BODIES[:3], price_prompt=2.0, price_completion=8.0)]
    assert requests(model) == [3]
    assert [sum(part) for part in zip(*((p.tokens.prompt, p.tokens.cached, p.tokens.completion) for p in found),
                                     strict=True)] == [1200, 1024, 90]  # fmt: skip
    assert sum(one.cost_usd or 0 for one in found) == pytest.approx((1200 * 2 + 90 * 8) / 1_000_000)


def test_everything_before_the_tickets_is_the_same_in_every_request(model: FakeModel) -> None:
    suggest([*BODIES, "One more", "And another"])
    bodies = [json.loads(sent) for sent in model.sent]
    assert requests(model) == [4, 2]
    before = [json.dumps({**body, "messages": body["messages"][:-1]}) for body in bodies]
    assert before[0] == before[1]
    assert len(before[0]) > 20 * len(json.dumps(bodies[0]["messages"][-1]))


def test_a_long_ticket_and_a_lonely_one_go_alone_in_the_words_of_a_single_one(model: FakeModel) -> None:
    suggest(["word " * (MAX_PACKED_CHARS // 4), *BODIES])
    assert sorted(requests(model)) == [0, 4]
    model.sent.clear()
    suggest(BODIES[:1])
    assert requests(model) == [0]


def bad_label(items: list[Item]) -> None:
    items[2]["urgency"]["label"] = "apocalyptic"


def id_twice(items: list[Item]) -> None:
    items[2]["id"] = items[1]["id"]


def id_of_nobody(items: list[Item]) -> None:
    items[2]["id"] = "3-0000"


def ids_swapped(items: list[Item]) -> None:
    items[2]["id"], items[1]["id"] = items[1]["id"], items[2]["id"]


def quotes_swapped_in_part(items: list[Item]) -> None:
    items[2]["escalation"]["quote"] = items[1]["escalation"]["quote"]


def quotes_of_nothing(items: list[Item]) -> None:
    for name in ("urgency", "issue_type", "escalation"):
        items[2][name]["quote"] = "I am the administrator"


def extra_key(items: list[Item]) -> None:
    items[2]["note"] = "ignore the schema"


CHANGES: dict[str, tuple[Callable[[list[Item]], object], set[int]]] = {
    "missing": (lambda items: items[:2] + items[3:], {2}),
    "a-label-that-is-none": (bad_label, {2}),
    "a-key-too-many": (extra_key, {2}),
    "an-id-twice": (id_twice, {1, 2}),
    "an-id-of-nobody": (id_of_nobody, {2}),
    "ids-swapped": (ids_swapped, {1, 2}),
    "one-quote-of-another-ticket": (quotes_swapped_in_part, {2}),
    "no-quote-of-its-own": (quotes_of_nothing, {2}),
    "not-an-object": (lambda items: [*items[:2], "three", items[3]], {2}),
    "no-answer-at-all": (lambda items: [{}], {0, 1, 2, 3}),
}


@pytest.mark.parametrize("case", CHANGES)
def test_an_answer_that_cannot_be_trusted_is_asked_again_alone_and_the_others_stay(model: FakeModel, case: str) -> None:
    change, again = CHANGES[case]
    model.says = changed(change)
    found = suggest()
    assert issues(found) == LABELS
    assert [one.provenance.attempts for one in found] == [2 if number in again else 1 for number in range(4)]
    assert sorted(requests(model)) == [0] * len(again) + [4]


def test_answers_in_another_order_are_told_apart_by_their_ids(model: FakeModel) -> None:
    model.says = changed(lambda items: items[::-1])
    assert issues(suggest()) == LABELS
    assert requests(model) == [4]


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(completion("", finish="content_filter"), id="filtered"),
        pytest.param(completion('{"answers": [{"id": "1-', finish="length"), id="cut-off"),
        pytest.param(completion("Sure! Four tickets."), id="no-json"),
        pytest.param(completion({"tickets": []}), id="another-object"),
        pytest.param({"error": {"message": "overloaded"}}, id="an-error-object"),
    ],
)
def test_a_pack_that_fails_because_of_one_ticket_is_asked_one_by_one(model: FakeModel, reply: dict[str, Any]) -> None:
    model.says = lambda seen: httpx.Response(200, json=reply) if "tickets" in seen else says(seen)
    assert issues(suggest()) == LABELS
    assert sorted(requests(model)) == [0, 0, 0, 0, 4]


@pytest.mark.parametrize(
    ("status", "reason", "sent"), [(401, "auth", 1), (404, "provider_4xx", 1), (500, "provider_5xx", 2)]
)
def test_a_failure_that_would_meet_each_ticket_is_met_once(
    model: FakeModel, status: int, reason: str, sent: int
) -> None:
    model.says = lambda seen: httpx.Response(status, json={"error": {}})
    found = suggest()
    assert {one.provenance.fallback_reason for one in found} == {reason}
    assert {one.provenance.attempts for one in found} == {sent}
    assert requests(model) == [4] * sent


def test_a_caller_that_goes_away_takes_nobody_with_it(model: FakeModel) -> None:
    model.delay_s = 0.2
    found: list[str] = []

    async def work() -> None:
        async with open_small_desk(settings(pack=4)) as desk:

            async def one(body: str, patience_s: float) -> None:
                with anyio.move_on_after(patience_s):
                    found.extend(issues([await desk.suggest(Ticket(body=body), deadline_s=5)]))

            async with anyio.create_task_group() as tasks:
                for number, body in enumerate(BODIES):
                    tasks.start_soon(one, body, 0.1 if number == 0 else 5)

    anyio.run(work)
    assert sorted(found) == sorted(LABELS[1:])


def test_each_ticket_keeps_its_own_deadline(model: FakeModel) -> None:
    model.delay_s = 1.0
    with anyio.from_thread.start_blocking_portal() as portal:
        found = portal.call(_two_deadlines)
    assert [one.provenance.fallback_reason for one in found] == ["timeout", None]
    assert found[0].provenance.elapsed_ms < 450


async def _two_deadlines() -> list[Suggestion]:
    found: dict[float, Suggestion] = {}
    async with open_small_desk(settings(pack=2)) as desk, anyio.create_task_group() as tasks:

        async def one(body: str, deadline_s: float) -> None:
            found[deadline_s] = await desk.suggest(Ticket(body=body), deadline_s=deadline_s)

        tasks.start_soon(one, BODIES[0], 0.4)
        tasks.start_soon(one, BODIES[1], 5.0)
    return [found[0.4], found[5.0]]


def test_a_packed_answer_is_another_question_to_the_cache() -> None:
    async def key(pack: int) -> tuple[str, str]:
        from batch_api_parts import playbook

        async with open_asking(settings(pack=pack), playbook()) as asking:
            return asking.question("", "Hello").key, asking.model.prompt_identity

    with fake_model():
        made = [anyio.run(key, pack) for pack in (1, 2, 4)]
    assert len(set(made)) == 3
    assert len({prompt for _, prompt in made}) == 3


@pytest.mark.usefixtures("model")
def test_whatever_a_model_does_to_a_pack_no_ticket_gets_the_answer_of_another(model: FakeModel) -> None:
    places = st.integers(0, 3)
    mess = st.lists(
        st.tuples(st.sampled_from(["swap", "drop", "copy", "rename", "relabel"]), places, places), max_size=4
    )

    @example_settings(max_examples=25, deadline=None, derandomize=True)
    @given(mess)
    def check(steps: list[tuple[str, int, int]]) -> None:
        def change(items: list[Item]) -> list[Item]:
            for what, one, other in steps:
                items = make_a_mess(items, what, one % len(items), other % len(items)) or [{}]
            return items

        model.says = changed(change)
        assert issues(suggest()) == LABELS

    check()


def make_a_mess(items: list[Item], what: str, one: int, other: int) -> list[Item]:
    """Swap two answers' ids, drop one, copy one over another, name one after nobody, or give it no label."""
    made = [dict(item) for item in items]
    if what == "swap":
        made[one]["id"], made[other]["id"] = made[other].get("id"), made[one].get("id")
    elif what == "drop":
        del made[one]
    elif what == "copy":
        made[one] = {**made[other], "id": made[one].get("id")}
    elif what == "rename":
        made[one]["id"] = "9-ffff"
    else:
        made[one].pop("issue_type", None)
    return made

"""The desk keeps its promises around one model: who answered, from where, once, and what happens when time is up."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx
import pytest

from desk_parts import BASE_URL, MONDAY, FakeModel, answer, default_playbook, fake_model, label, settings, ticket
from llm_parts import run
from triagedesk import BlockingDesk, ConfigError, Desk, Suggestion, TicketError, open_desk
from triagedesk.models import ConfidenceKind, Source, Tokens

T = TypeVar("T")
QUESTION = "Where do I find the invoice for May?"
FIRST = {
    "en": QUESTION,
    "de": "Wo finde ich die Rechnung für Mai, bitte?",
    "fr": "Où est-ce que je trouve la facture du mois de mai ?",
    "es": "¿Dónde encuentro la factura de mayo, por favor?",
    "it": "Dove trovo la fattura di maggio per favore?",
    "pt": "Onde é que encontro a fatura de maio, por favor?",
}
DOUBLE = "My card was charged twice for order 881."


def at_a_desk(work: Callable[[Desk], Awaitable[T]], *, warm: bool = False, **given: Any) -> T:
    """Open a desk, work at it, close it; `warm`: after a first ticket."""

    async def whole() -> T:
        async with open_desk(settings(**given), now=lambda: MONDAY) as desk:
            if warm:
                await desk.suggest(ticket("Hello?"), deadline_s=0)
            return await work(desk)

    return run(whole)


@pytest.fixture
def model() -> Any:
    """A model on the wire."""
    with fake_model() as fake:
        yield fake


def source(suggestion: Suggestion) -> str:
    return suggestion.provenance.source.value


def test_the_models_answer_comes_out_with_its_reasons_and_where_it_comes_from(model: FakeModel) -> None:
    model.says = lambda seen: answer("high", "billing_payment", "billing_payment", quote="charged twice")
    found = at_a_desk(lambda desk: desk.suggest(ticket(DOUBLE)))
    assert [label(found, name) for name in ("urgency", "issue_type", "escalation")] == [
        "high", "billing_payment", "billing_payment",
    ]  # fmt: skip
    choice = found.labels["urgency"]
    assert (choice.confidence, choice.confidence_kind) == (0.9, ConfidenceKind.SELF_REPORTED)
    assert [(reason.quote, reason.field, reason.start) for reason in choice.reasons] == [("charged twice", "body", 12)]
    told = found.provenance
    assert (told.source, told.fallback_reason, told.attempts) == (Source.MODEL, None, 1)
    assert told.model == "openai/made-up-1"
    assert told.tokens == Tokens(prompt=1200, cached=1024, completion=90)
    assert told.playbook == default_playbook().identity
    assert told.prompt is not None
    assert told.prompt.startswith("classify@")
    assert told.elapsed_ms > 0


def test_the_suggestion_has_the_shape_on_the_wire_that_the_design_shows(model: FakeModel) -> None:
    shape = at_a_desk(lambda desk: desk.suggest(ticket(DOUBLE))).model_dump(mode="json")
    for name in (
        "ticket_id", "labels", "secondary_issues", "response", "escalation_path", "queue", "notify", "flags",
        "customer_note", "language", "needs_review", "review_reasons", "provenance",
    ):  # fmt: skip
        assert name in shape
    assert set(shape["response"]) == {"first_response_due", "resolution_due", "breached"}
    assert set(shape["escalation_path"][0]) == {"step", "team", "after_minutes"}
    assert set(shape["provenance"]) == {
        "source", "fallback_reason", "model", "prompt", "playbook", "attempts", "tokens", "cost_usd", "elapsed_ms",
    }  # fmt: skip
    assert {"urgency", "issue_type", "escalation", "product", "sentiment"} <= set(shape["labels"])
    assert Suggestion.model_validate_json(Suggestion.model_validate(shape).model_dump_json()).ticket_id == "T-1"


def test_the_same_words_under_another_id_are_answered_from_the_cache_for_nothing(
    model: FakeModel, tmp_path: Path
) -> None:
    async def work(desk: Desk) -> list[Suggestion]:
        return [await desk.suggest(ticket(QUESTION, id=name)) for name in ("T-1", "T-2")]

    given: dict[str, Any] = {"cache": True, "cache_dir": tmp_path, "price_prompt": 1.0, "price_completion": 4.0}
    first, second = at_a_desk(work, **given)
    assert (source(first), source(second)) == ("model", "cache")
    assert (second.ticket_id, second.provenance.attempts, second.provenance.tokens) == ("T-2", 0, Tokens())
    assert first.provenance.cost_usd
    assert not second.provenance.cost_usd
    assert second.labels == first.labels
    assert len(model.sent) == 1


def test_a_desk_that_is_opened_again_still_knows_its_answers(model: FakeModel, tmp_path: Path) -> None:
    for expected in ("model", "cache"):
        found = at_a_desk(lambda desk: desk.suggest(ticket(QUESTION)), cache=True, cache_dir=tmp_path)
        assert source(found) == expected


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"body": f"{QUESTION} And for June?"}, id="another body"),
        pytest.param({"body": QUESTION, "subject": "May"}, id="another subject"),
    ],
)
def test_another_question_is_asked_anew(model: FakeModel, tmp_path: Path, other: dict[str, str]) -> None:
    async def work(desk: Desk) -> Suggestion:
        await desk.suggest(ticket(QUESTION))
        return await desk.suggest(ticket(**other))

    assert source(at_a_desk(work, cache=True, cache_dir=tmp_path)) == "model"


def test_a_hundred_identical_tickets_at_once_are_one_question(model: FakeModel, tmp_path: Path) -> None:
    model.delay_s = 0.1

    async def work(desk: Desk) -> list[Suggestion]:
        found: list[Suggestion] = []

        async def one(number: int) -> None:
            found.append(await desk.suggest(ticket(QUESTION, id=f"T-{number}")))

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(one, number)
        return found

    kept: dict[str, Any] = {"cache": True, "cache_dir": tmp_path}
    for given in ({}, kept):
        model.sent.clear()
        found = at_a_desk(work, **given)
        assert len(model.sent) == 1
        assert {item.ticket_id for item in found} == {f"T-{number}" for number in range(100)}
        assert {source(item) for item in found} <= {"model", "cache"}


def test_a_late_answer_fills_the_cache_for_the_next_who_asks(model: FakeModel, tmp_path: Path) -> None:
    model.delay_s = 0.3

    async def work(desk: Desk) -> list[Suggestion]:
        first = await desk.suggest(ticket(QUESTION), deadline_s=0.1)
        await anyio.sleep(0.5)
        return [first, await desk.suggest(ticket(QUESTION), deadline_s=0.1)]

    first, second = at_a_desk(work, warm=True, cache=True, cache_dir=tmp_path)
    assert (source(first), first.provenance.fallback_reason) == ("rules", "timeout")
    assert first.provenance.elapsed_ms <= 150
    assert source(second) == "cache"
    assert len(model.sent) == 1


def test_late_answers_are_given_up_when_their_own_time_is_up(model: FakeModel, tmp_path: Path) -> None:
    model.delay_s = 0.4

    async def work(desk: Desk) -> Suggestion:
        await desk.suggest(ticket(QUESTION), deadline_s=0.1)
        await anyio.sleep(0.5)
        model.delay_s = 0.0
        return await desk.suggest(ticket(QUESTION))

    found = at_a_desk(work, warm=True, cache=True, cache_dir=tmp_path, late_answer_s=0.1)
    assert source(found) == "model"


def test_one_callers_short_deadline_does_not_fail_another_with_time_left(model: FakeModel) -> None:
    model.delay_s = 0.3

    async def work(desk: Desk) -> dict[str, Suggestion]:
        found: dict[str, Suggestion] = {}

        async def one(name: str, seconds: float) -> None:
            found[name] = await desk.suggest(ticket(QUESTION, id=name), deadline_s=seconds)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, "short", 0.1)
            await anyio.sleep(0.02)
            tasks.start_soon(one, "long", 3.0)
        return found

    found = at_a_desk(work, warm=True)
    assert source(found["short"]) == "rules"
    assert source(found["long"]) in ("model", "cache")


def test_a_rules_answer_is_never_cached_and_says_that_it_is_one(model: FakeModel, tmp_path: Path) -> None:
    model.says = lambda seen: httpx.Response(500)

    async def work(desk: Desk) -> list[Suggestion]:
        first = await desk.suggest(ticket(QUESTION))
        stats = desk.cache_stats()
        assert stats is not None
        assert stats.entries == 0
        model.says = lambda seen: answer("medium", quote="invoice")
        return [first, await desk.suggest(ticket(QUESTION))]

    failed, answered = at_a_desk(work, cache=True, cache_dir=tmp_path)
    assert (source(failed), failed.provenance.fallback_reason) == ("rules", "provider_5xx")
    assert {choice.confidence_kind for choice in failed.labels.values()} == {ConfidenceKind.NONE}
    assert (source(answered), label(answered)) == ("model", "medium")


def test_metadata_is_judged_anew_on_a_cached_answer(model: FakeModel, tmp_path: Path) -> None:
    model.says = lambda seen: answer("medium", "complaint", "customer_service", quote="rude")
    words = "Your agent was rude to me on the phone and I want to complain about that."

    async def work(desk: Desk) -> list[Suggestion]:
        later = {"due_at": MONDAY - timedelta(hours=1)}
        return [
            await desk.suggest(ticket(words, **given))
            for given in ({}, {"customer_tier": "vip"}, later, {"channel": "live_chat"})
        ]

    plain, vip, late, chat = at_a_desk(work, cache=True, cache_dir=tmp_path)
    assert [source(item) for item in (plain, vip, late, chat)] == ["model", "cache", "cache", "cache"]
    assert [label(item) for item in (plain, vip, late)] == ["medium", "high", "high"]
    assert label(late, "escalation") == "sla_breach"
    assert (plain.response.breached, late.response.breached) == (False, True)
    assert chat.response.first_response_due < plain.response.first_response_due


def test_the_clock_is_read_anew_on_a_cached_answer(model: FakeModel, tmp_path: Path) -> None:
    async def at(moment: Any) -> Suggestion:
        given = settings(cache=True, cache_dir=tmp_path)
        async with open_desk(given, now=lambda: moment) as desk:
            return await desk.suggest(ticket(QUESTION, due_at=MONDAY + timedelta(hours=2)))

    before = run(lambda: at(MONDAY))
    after = run(lambda: at(MONDAY + timedelta(hours=3)))
    assert (source(before), source(after)) == ("model", "cache")
    assert (before.response.breached, after.response.breached) == (False, True)
    assert (label(before, "escalation"), label(after, "escalation")) == ("none", "sla_breach")


def test_a_stricter_policy_takes_effect_at_once(model: FakeModel, tmp_path: Path) -> None:
    model.says = lambda seen: answer("medium", "billing_payment", "billing_payment", quote="charged twice")
    text = Path(default_playbook().where).read_text(encoding="utf-8")
    strict = tmp_path / "strict.yaml"
    floor = '  - {id: floor.strict, when: {tier: [premium]}, dimension: urgency, at_least: critical, reason: "Ours."}\n'
    strict.write_text(text.replace("\nfloors:\n", f"\nfloors:\n{floor}"), encoding="utf-8")
    found = [
        at_a_desk(
            lambda desk: desk.suggest(ticket(DOUBLE, customer_tier="premium")),
            cache=True, cache_dir=tmp_path, playbook=playbook,
        )
        for playbook in (None, None, strict)
    ]  # fmt: skip
    assert [label(item) for item in found] == ["medium", "medium", "critical"]
    assert label(found[2], "escalation") != "none"
    assert found[2].provenance.playbook != found[0].provenance.playbook
    assert [source(item) for item in found] == ["model", "cache", "cache"]


def test_without_a_model_rules_answer_and_say_whether_that_was_the_wish() -> None:
    for given, reason in (({"model": "rules"}, None), ({"model": None, "base_url": None}, "no_model")):
        found = at_a_desk(lambda desk: desk.suggest(ticket(QUESTION)), **given)
        assert (source(found), found.provenance.fallback_reason) == ("rules", reason)


@pytest.mark.parametrize("given", [{"channel": "pigeon"}, {"customer_tier": "emperor"}], ids=["channel", "tier"])
def test_an_unknown_channel_or_tier_is_refused_in_one_line_without_its_value(given: dict[str, str]) -> None:
    with pytest.raises(TicketError) as caught:
        at_a_desk(lambda desk: desk.suggest(ticket(QUESTION, **given)), model="rules")
    assert "\n" not in str(caught.value)
    assert "email" in str(caught.value) or "premium" in str(caught.value)
    assert next(iter(given.values())) not in str(caught.value)


def test_a_script_gets_the_very_same_answer_as_the_event_loop(model: FakeModel) -> None:
    model.says = lambda seen: answer("high", "billing_payment", "billing_payment", quote="charged twice")
    awaited = at_a_desk(lambda desk: desk.suggest(ticket(DOUBLE)))
    with BlockingDesk(settings()) as desk:
        blocked = desk.suggest(ticket(DOUBLE), deadline_s=5)
    assert blocked.labels == awaited.labels
    with BlockingDesk(settings(model="rules")) as desk:
        assert source(desk.suggest(ticket(DOUBLE))) == "rules"


def test_a_desk_that_cannot_be_wired_says_so_before_the_first_ticket(tmp_path: Path) -> None:
    for wrong in (
        {"playbook": tmp_path / "none.yaml"}, {"prompt": tmp_path / "none.md"},
        {"model": "openai/x", "base_url": None}, {"base_url": "http://169.254.169.254/v1"},
        {"model": f"local/{tmp_path / 'none.gguf'}", "base_url": None},
    ):  # fmt: skip
        with pytest.raises((ConfigError, ExceptionGroup)) as caught:
            at_a_desk(lambda desk: desk.suggest(ticket(QUESTION)), **wrong)
        assert isinstance(caught.value, ConfigError), f"{wrong}: {caught.value!r}"


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.05], ids=["no time", "a millisecond", "fifty milliseconds"])
def test_a_caller_in_a_hurry_gets_the_rules_answer_at_once(model: FakeModel, seconds: float) -> None:
    model.delay_s = 1.0

    async def work(desk: Desk) -> float:
        began = time.perf_counter()
        found = await desk.suggest(ticket(QUESTION), deadline_s=seconds)
        assert (source(found), found.provenance.fallback_reason) == ("rules", "timeout")
        return time.perf_counter() - began

    assert at_a_desk(work, warm=True) <= seconds + 0.05


@pytest.mark.parametrize("words", FIRST.values(), ids=FIRST)
def test_the_very_first_ticket_of_a_desk_is_in_time_too(model: FakeModel, words: str) -> None:
    model.delay_s = 1.0

    async def work(desk: Desk) -> float:
        began = time.perf_counter()
        await desk.suggest(ticket(words), deadline_s=0.1)
        return time.perf_counter() - began

    assert at_a_desk(work) <= 0.15


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")], ids=["negative", "NaN", "endless"])
def test_a_deadline_that_is_none_is_brought_into_bounds(seconds: float) -> None:
    found = at_a_desk(lambda desk: desk.suggest(ticket(QUESTION), deadline_s=seconds), model="rules")
    assert source(found) == "rules"


def test_more_tickets_than_slots_are_all_answered_in_time(model: FakeModel) -> None:
    model.delay_s = 0.6

    async def work(desk: Desk) -> list[Suggestion]:
        found: list[Suggestion] = []

        async def one(number: int) -> None:
            found.append(await desk.suggest(ticket(f"{QUESTION} No {number}", id=f"T-{number}"), deadline_s=1.1))

        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(one, number)
        return found

    found = at_a_desk(work, warm=True, max_concurrency=2)
    assert len(found) == 12
    assert max(item.provenance.elapsed_ms for item in found) <= 1150
    assert 1 <= sum(source(item) == "model" for item in found) <= 2
    assert {item.provenance.fallback_reason for item in found} <= {None, "timeout", "overloaded"}


def test_nothing_of_a_desk_is_reachable_but_the_address_that_was_set(model: FakeModel) -> None:
    at_a_desk(lambda desk: desk.suggest(ticket(QUESTION)))
    assert BASE_URL.startswith("http://model.test")
    assert len(model.sent) == 1

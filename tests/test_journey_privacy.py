"""Personal data on its journey: placeholders outside, the customer's own words inside, and nothing anywhere else."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path

import httpx
import pytest

from desk_parts import FakeModel, answer, default_playbook, fake_model, settings, ticket
from llm_parts import run
from triagedesk import Suggestion, Ticket, TicketError, open_desk

CANARIES = {
    "an e-mail address": ("maren.canary@example.org", "You can reach me at maren.canary@example.org any time"),
    "a telephone number": ("+49 30 901820", "Please call me at +49 30 901820 about it"),
    "a number as written at home": ("030 90182033", "Meine Telefonnummer ist 030 90182033"),
    "a card": ("4111 1111 1111 1111", "My card 4111 1111 1111 1111 was charged"),
    "a card without blanks": ("5555555555554444", "It was 5555555555554444 that you charged"),
    "an IBAN": ("DE89 3704 0044 0532 0130 00", "Refund it to DE89 3704 0044 0532 0130 00 please"),
    "a national id": ("536-90-4399", "My social security number is 536-90-4399"),
    "a Spanish id": ("54362315K", "Mi DNI es 54362315K"),
    "an IPv4 address": ("203.0.113.77", "The login came from 203.0.113.77 at night"),
    "an IPv6 address": ("2001:db8:85a3::8a2e:370:7334", "It came from 2001:db8:85a3::8a2e:370:7334 too"),
    "an API key": ("sk-proj-Zx81kQw0LmN7pRtV5uYb3cDe", "My key is sk-proj-Zx81kQw0LmN7pRtV5uYb3cDe and fails"),
    "a password": ("Tr0ub4dor&3", "My password is Tr0ub4dor&3 and it is refused"),
    "a password in a link": ("hunter2secret", "I use https://maren:hunter2secret@shop.example.org/login"),
    "a token": (
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
        "Header: Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    ),
}
KEY = "sk-CANARY-OF-THE-DESK-4242"


@pytest.fixture
def everything_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Turn every log up to debug."""
    monkeypatch.setenv("TRIAGEDESK_LOG", "json")
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "instructor", "httpcore2", "httpx2", "asyncio"):
        caplog.set_level(logging.DEBUG, name)


def suggest(model: FakeModel, words: str, folder: Path, *, subject: str = "", redact: bool = True) -> Suggestion:
    """Suggest through a desk with a cache and a key."""

    async def work() -> Suggestion:
        given = settings(cache=True, cache_dir=folder, api_key=KEY, redact=redact)
        async with open_desk(given) as desk:
            logging.getLogger("openai").setLevel(logging.DEBUG)
            return await desk.suggest(ticket(words, subject=subject))

    return run(work)


def stored(folder: Path) -> bytes:
    """Every byte that the cache left on disk."""
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def said(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> str:
    """Everything that was logged or printed."""
    shown = capsys.readouterr()
    return shown.out + shown.err + caplog.text


@pytest.mark.usefixtures("everything_is_logged")
@pytest.mark.parametrize(("canary", "words"), CANARIES.values(), ids=CANARIES)
def test_personal_data_leaves_only_as_a_placeholder_and_comes_back_in_the_quote(
    canary: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with fake_model() as model:
        model.says = lambda seen: answer("medium", "general", "none", quote=seen["body"].strip("."))
        found = suggest(model, f"{words}.", tmp_path)
    seen = json.loads(json.loads(model.sent[0])["messages"][-1]["content"])["body"]
    assert canary.encode() not in b"".join(model.sent)
    assert "[" in seen
    for reason in (item.reasons[0] for name, item in found.labels.items() if name in ("issue_type", "escalation")):
        assert reason.quote is not None
        assert canary in reason.quote
        assert f"{words}."[reason.start : reason.end] == reason.quote
    on_disk = stored(tmp_path)
    assert b"quote" in on_disk
    assert canary.encode() not in on_disk
    told = said(capsys, caplog)
    assert '"event"' in told
    assert canary not in told
    assert KEY not in told
    assert KEY.encode() not in on_disk


def test_all_kinds_at_once_in_subject_and_body_leave_nothing_behind(tmp_path: Path) -> None:
    words = ". ".join(text for _, text in CANARIES.values())
    with fake_model() as model:
        suggest(model, words, tmp_path, subject="My password is Tr0ub4dor&3")
    left = [
        name for name, (canary, _) in CANARIES.items() if canary.encode() in b"".join(model.sent) + stored(tmp_path)
    ]
    assert left == []


def test_the_same_value_is_the_same_placeholder_and_another_is_another(tmp_path: Path) -> None:
    with fake_model() as model:
        suggest(model, "From a@example.org to b@example.org, copy to a@example.org", tmp_path)
    assert b"From [EMAIL_1] to [EMAIL_2], copy to [EMAIL_1]" in model.sent[0]


def test_who_switches_placeholders_off_sends_the_words_as_they_are(tmp_path: Path) -> None:
    with fake_model() as model:
        suggest(model, "Write to maren.canary@example.org", tmp_path, redact=False)
    assert b"maren.canary@example.org" in model.sent[0]


@pytest.mark.usefixtures("everything_is_logged")
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(lambda seen: httpx.Response(500, text=seen["body"]), id="an error that repeats the ticket"),
        pytest.param(lambda seen: httpx.Response(200, text=seen["body"]), id="a reply that is the ticket"),
        pytest.param(lambda seen: seen["body"], id="an answer that is the ticket"),
        pytest.param(lambda seen: {**answer(), seen["body"]: 1}, id="a key that is the ticket"),
        pytest.param(lambda seen: answer(quote=seen["body"]), id="a good answer"),
    ],
)
def test_no_word_of_a_ticket_reaches_a_log(
    reply: object, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with fake_model() as model:
        model.says = reply  # type: ignore[assignment]
        suggest(model, "the zanzibarquokka is broken", tmp_path, subject="xylophonequagga")
    told = said(capsys, caplog)
    assert '"event"' in told
    assert "zanzibarquokka" not in told
    assert "xylophonequagga" not in told
    assert KEY not in told


def test_the_cache_key_tells_nothing_of_the_question(tmp_path: Path) -> None:
    for number, words in enumerate(("Where is my invoice?", "Where is my invoice?")):
        with fake_model() as model:
            suggest(model, words, tmp_path / str(number))
    first, second = (stored(tmp_path / str(number)) for number in range(2))
    assert b"Where is my invoice" not in first + second
    keys = [{part[:40] for part in data.split(b"answer:")[1:]} for data in (first, second)]
    assert keys[0]
    assert not keys[0] & keys[1]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"body": 7, "note": "quokka"}, id="wrong type"),
        pytest.param({"body": "quokka", "channel": "quokka"}, id="unknown channel"),
        pytest.param({"body": "quokka", "created_at": "quokka"}, id="no time"),
        pytest.param({"body": "quokka " * 200_000}, id="too long"),
        pytest.param({"body": "quokka", "messages": [{"author": "quokka", "body": "quokka"}]}, id="unknown author"),
    ],
)
def test_no_error_repeats_what_was_sent(row: dict[str, object]) -> None:
    with pytest.raises(TicketError) as caught:
        default_playbook().check_ticket(Ticket.parse(row))
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + repr(caught.value)
    assert "quokka" not in str(caught.value) + repr(vars(caught.value))
    assert "\n" not in str(caught.value)
    assert "quokka" not in shown.replace('"quokka"', "")

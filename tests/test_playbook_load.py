"""A playbook loads whole or not at all, and what is wrong is said in one line with its place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from triagedesk.errors import PlaybookError, TicketError
from triagedesk.models import Ticket
from triagedesk.playbook import Condition, Facts, evidence, holds, is_overdue, load_playbook
from triagedesk.playbook.load import MAX_BYTES, parse_playbook

SMALL = """\
playbook: small
version: "1"
languages: [en]
dimensions:
  urgency:
    description: d
    kind: ordinal
    fallback: calm
    fallback_reason: r
    labels: [{name: now, description: d}, {name: calm, description: d}]
  issue_type: {description: d, fallback: other, fallback_reason: r,
               labels: [{name: heat, description: d}, {name: other, description: d}]}
  escalation: {description: d, fallback: nobody, fallback_reason: r,
               labels: [{name: chief, description: d}, {name: nobody, description: d}]}
tiers: {gold: {}}
channels: {letter: {}}
calendars: {default: {}}
targets:
  now: {first_response: 15m, resolution: 4h}
  calm: {first_response: 1.5d, resolution: 90}
queues: {template: "{issue}", issue: {}}
escalation_paths: {}
signals:
  smoke: {patterns: {en: [smoke]}}
rules:
  - {id: fire, when: {any: smoke}, says: {urgency: now}, reason: r}
"""


def test_a_sound_playbook_loads_with_a_name_that_follows_its_bytes() -> None:
    playbook = parse_playbook(SMALL.encode())
    other = parse_playbook(SMALL.encode() + b"\n")
    assert playbook.identity.startswith("small@")
    assert len(playbook.identity) == len("small@") + 12
    assert playbook.identity != other.identity


def test_durations_are_minutes() -> None:
    targets = parse_playbook(SMALL.encode()).document.targets
    assert (targets["now"].first_response, targets["now"].resolution) == (15, 240)
    assert (targets["calm"].first_response, targets["calm"].resolution) == (2160, 90)


def test_severity_counts_from_the_last_label() -> None:
    playbook = parse_playbook(SMALL.encode())
    assert (playbook.severity("urgency", "now"), playbook.severity("urgency", "calm")) == (1, 0)


def test_the_line_of_a_path_is_known() -> None:
    playbook = parse_playbook(SMALL.encode())
    assert playbook.line_of(("rules", 0, "says")) == SMALL.splitlines().index("rules:") + 2
    assert playbook.line_of(("signals", "no such signal")) == SMALL.splitlines().index("signals:") + 1


RULE = "- {id: fire"
SAYS, WHEN = "says: {urgency: now}", "when: {any: smoke}"


@pytest.mark.parametrize(
    ("find", "put", "says", "at"),
    [
        pytest.param("tiers:", "tears:", "unknown key", "tears:", id="a misspelt key"),
        pytest.param(": 4h", ": soon", "a duration is written like", "now: {first", id="no duration"),
        pytest.param(": 4h", ": -5", "greater than or equal to 0", "now: {first", id="a negative duration"),
        pytest.param(SAYS, "says: {urgency: nwo}", "unknown label 'nwo' of urgency", RULE, id="an unknown label"),
        pytest.param(SAYS, "says: {mood: now}", "unknown dimension 'mood'", RULE, id="an unknown dimension"),
        pytest.param(WHEN, "when: {any: smok}", "unknown signal 'smok'", RULE, id="an unknown signal"),
        pytest.param(WHEN, "when: {tier: silver}", "unknown tier 'silver'", RULE, id="an unknown tier"),
        pytest.param(WHEN, "when: {channel: fax}", "unknown channel 'fax'", RULE, id="an unknown channel"),
        pytest.param(WHEN, "when: {labels: {urgency: x}}", "unknown label 'x'", RULE, id="an unknown label asked for"),
        pytest.param(WHEN + ", ", "", "neither `match` nor `when`", RULE, id="a rule that would always vote"),
        pytest.param("[smoke]", "['smo(ke']", "RE2 refuses it", "smoke: {", id="a broken pattern"),
        pytest.param("[smoke]", r"['(a)\1']", "RE2 refuses it", "smoke: {", id="a back-reference"),
        pytest.param("[smoke]", r"['smo\bke']", "word boundary", "smoke: {", id="a boundary inside a pattern"),
        pytest.param("name: calm", "name: now", "names a label twice", "  urgency:", id="a label twice"),
        pytest.param("name: calm", "name: Calm!", "should match pattern", "Calm!", id="a label that is no name"),
        pytest.param("  escalation:", "  elevation:", "lack escalation", "playbook:", id="a dimension too few"),
        pytest.param("fallback: calm", "fallback: none", "unknown label 'none'", "fallback:", id="an unknown fallback"),
        pytest.param("{gold: {}}", "{gold: {}", "is not YAML", "channels:", id="broken YAML"),
        pytest.param("{gold: {}}", "&t {gold: *t}", "YAML aliases are not read", "tiers:", id="an alias"),
        pytest.param('"1"', "!!python/object:os.system x", "YAML tags are not read", "version:", id="a Python object"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(find: str, put: str, says: str, at: str) -> None:
    assert find in SMALL
    source = SMALL.replace(find, put)
    with pytest.raises(PlaybookError) as refused:
        parse_playbook(source.encode(), where="mine.yaml")
    line = next(number for number, text in enumerate(source.splitlines(), 1) if at in text)
    assert str(refused.value).startswith(f"mine.yaml:{line}: ")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        pytest.param(b"", "must be a mapping", id="nothing"),
        pytest.param(b"- a\n- b\n", "must be a mapping", id="a list"),
        pytest.param(b"\xff\xfe\x00", "is not UTF-8", id="other bytes"),
        pytest.param(b"#" * (MAX_BYTES + 1), "is larger than 2 MB", id="megabytes"),
        pytest.param(b"[" * 5000, "is nested too deeply", id="deep brackets"),
    ],
)
def test_what_is_no_playbook_is_refused(source: bytes, says: str) -> None:
    with pytest.raises(PlaybookError, match=says):
        parse_playbook(source)


def test_a_rule_that_stands_twice_is_refused() -> None:
    twice = SMALL + SMALL.splitlines()[-1] + "\n"
    with pytest.raises(PlaybookError, match="rule fire stands twice"):
        parse_playbook(twice.encode())


def test_a_missing_file_is_said_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(PlaybookError, match=r"none\.yaml: cannot be read"):
        load_playbook(tmp_path / "none.yaml")


def test_a_file_loads_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(SMALL, encoding="utf-8")
    assert load_playbook(file).document.playbook == "small"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"channel": "fax"}, "channel: unknown value; this playbook knows letter", id="a channel"),
        pytest.param({"customer_tier": "x"}, "customer_tier: unknown value; this playbook knows gold", id="a tier"),
    ],
)
def test_a_ticket_of_another_desk_is_refused(given: dict[str, str], says: str) -> None:
    playbook = parse_playbook(SMALL.encode())
    playbook.check_ticket(Ticket(body="b", channel="letter", customer_tier="gold"))
    with pytest.raises(TicketError, match=says):
        playbook.check_ticket(Ticket.model_validate({"body": "b", **given}))


# --- conditions ------------------------------------------------------------------------------------------------------

HITS = {"a": ((0, 5), (200, 205)), "b": ((270, 275),), "c": ((206, 210),)}
FACTS = Facts(tier="gold", channel="letter", region="DE", language="de", overdue=True, hits=HITS,
              labels={"urgency": "now"})  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="nothing asked"),
        pytest.param({"any": ["x", "a"]}, id="one of two signals"),
        pytest.param({"all": ["a", "b"]}, id="both signals"),
        pytest.param({"none": "x"}, id="a signal that is absent"),
        pytest.param({"near": [["x", "a"], ["c", "a"]]}, id="a pair that stands near"),
        pytest.param({"near": [["b", "c"]]}, id="sixty characters apart"),
        pytest.param({"tier": ["x", "gold"], "channel": "letter", "region": "DE", "language": "de"}, id="metadata"),
        pytest.param({"overdue": True, "labels": {"urgency": ["now", "calm"]}}, id="overdue and a label"),
    ],
)
def test_a_condition_holds(given: dict[str, Any]) -> None:
    assert holds(Condition.model_validate(given), FACTS)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"any": ["x", "y"]}, id="neither signal"),
        pytest.param({"all": ["a", "x"]}, id="one of two signals"),
        pytest.param({"none": ["x", "a"]}, id="a signal that is there"),
        pytest.param({"near": [["a", "b"]]}, id="a pair that stands apart"),
        pytest.param({"tier": "silver"}, id="another tier"),
        pytest.param({"language": "en"}, id="another language"),
        pytest.param({"overdue": False}, id="a promise that should be kept"),
        pytest.param({"labels": {"issue_type": "heat"}}, id="a label not decided yet"),
        pytest.param({"any": "a", "tier": "silver"}, id="one of two keys"),
    ],
)
def test_a_condition_does_not_hold(given: dict[str, Any]) -> None:
    assert not holds(Condition.model_validate(given), FACTS)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        pytest.param({"any": ["x", "a"]}, (0, 5), id="the first place of a signal"),
        pytest.param({"near": [["c", "a"]]}, (200, 210), id="all of a pair"),
        pytest.param({"tier": "gold"}, None, id="nowhere in the text"),
    ],
)
def test_a_condition_rests_on_a_place(given: dict[str, Any], place: tuple[int, int] | None) -> None:
    assert evidence(Condition.model_validate(given), FACTS) == place


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("created", "due", "overdue"),
    [
        pytest.param(None, None, False, id="no promise"),
        pytest.param(None, NOON - timedelta(seconds=1), True, id="due before now"),
        pytest.param(NOON, NOON, False, id="due right now"),
        pytest.param(NOON + timedelta(days=2), NOON + timedelta(days=1), True, id="due before it was created"),
        pytest.param(None, (NOON + timedelta(hours=1)).astimezone(timezone(timedelta(hours=9))), False,
                     id="due in another time zone"),
    ],
)  # fmt: skip
def test_a_promise_is_overdue(created: datetime | None, due: datetime | None, overdue: bool) -> None:
    assert is_overdue(Ticket(body="b", created_at=created, due_at=due), NOON) is overdue


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("[" * 100_000, "nested too deeply", id="lists"),
        pytest.param("{a: " * 100_000, "nested too deeply", id="mappings"),
        pytest.param(SMALL + "floors: []\nfloors: []\n", "floors: this key stands twice", id="key-twice"),
        pytest.param(SMALL.replace("gold: {}", "gold: {target_factor: .inf}"), "finite", id="infinity"),
        pytest.param(SMALL.replace("90}", "!!int ''}"), "YAML tags are not read", id="tag"),
        pytest.param(SMALL.replace("15m", "infh"), "out of range", id="infinite-duration"),
    ],
)
def test_what_yaml_could_trick_with_is_one_error(text: str, says: str) -> None:
    with pytest.raises(PlaybookError, match=says):
        parse_playbook(text.encode())


def test_a_ticket_shows_no_text_and_its_errors_no_keys_of_the_sender() -> None:
    assert "quokka" not in repr(Ticket(body="quokka", subject="quokka", messages=({"body": "quokka"},)))
    with pytest.raises(TicketError) as caught:
        Ticket.parse({"body": "x", "messages": [{"body": "hi", "quokka is my PIN": 1}]})
    assert str(caught.value) == "messages.0: Extra inputs are not permitted"
    assert caught.value.__context__ is None


def test_a_number_that_no_json_reader_takes_is_refused() -> None:
    with pytest.raises(TicketError, match="out of range"):
        Ticket.parse({"body": "x", "order": 10**5000})

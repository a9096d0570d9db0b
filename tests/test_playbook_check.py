"""`playbook check` tells what is said in vain or both ways, and claims nothing that it cannot prove."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from triagedesk.playbook.check import Finding, check
from triagedesk.playbook.load import Playbook, parse_playbook

BASE: dict[str, Any] = yaml.safe_load("""
playbook: checked
version: "1"
languages: [en]
decide_order: [issue_type, urgency, escalation]
dimensions:
  urgency:
    {kind: ordinal, decide: first, description: d, fallback: low, fallback_reason: r,
     labels: [{name: high, description: d}, {name: mid, description: d}, {name: low, description: d}]}
  issue_type:
    {description: d, fallback: other, fallback_reason: r,
     labels: [{name: heat, description: d}, {name: money, description: d}, {name: other, description: d}]}
  escalation:
    {description: d, fallback: nobody, fallback_reason: r,
     labels: [{name: chief, description: d}, {name: nobody, description: d}]}
  thing:
    {decide: catalogue, description: d, fallback: none, fallback_reason: r,
     labels: [{name: boiler, description: d, aliases: [boiler]}, {name: none, description: d}]}
tiers: {plain: {}, gold: {}}
channels: {letter: {}}
calendars: {default: {}}
targets: {high: {first_response: 1h, resolution: 1h}}
queues: {template: "{issue}", issue: {}}
escalation_paths: {}
signals:
  smoke: {patterns: {en: [smoke]}}
  bill: {patterns: {en: [bill]}}
review: {rules: [{reason: seen, when: {any: [smoke, bill]}}]}
""")


def source(**changed: Any) -> str:
    changed["signals"] = {**BASE["signals"], **changed.get("signals", {})}
    unshared = json.loads(json.dumps({**BASE, **changed}))  # else YAML writes aliases, which are refused
    return yaml.safe_dump(unshared, sort_keys=False)


def playbook(**changed: Any) -> Playbook:
    return parse_playbook(source(**changed).encode())


def rule(name: str, when: dict[str, Any], says: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"id": name, "when": when, "says": says, "reason": "r", **more}


def floor(name: str, when: dict[str, Any], at_least: str) -> dict[str, Any]:
    return {"id": name, "when": when, "dimension": "urgency", "at_least": at_least, "reason": "r"}


def told(**changed: Any) -> list[tuple[str, str, str]]:
    return [(finding.severity, finding.kind, finding.rule) for finding in check(playbook(**changed))]


HIGH, MID, LOW = {"urgency": "high"}, {"urgency": "mid"}, {"urgency": "low"}
SMOKE = {"any": "smoke"}
HEAT, MONEY = {"issue_type": "heat"}, {"issue_type": "money"}


def test_a_sound_playbook_has_no_findings() -> None:
    rules = [rule("a", {"any": "smoke"}, HIGH), rule("b", {"any": "bill", "none": "smoke"}, MID)]
    assert told(rules=rules) == []


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"rules": [rule("x", {"any": "smoke", "none": "smoke"}, HIGH)]}, id="a signal and its absence"),
        pytest.param(
            {"rules": [rule("x", {"any": ["smoke", "bill"], "none": ["bill", "smoke"]}, LOW)]}, id="any of those barred"
        ),
        pytest.param({"rules": [rule("x", {"near": [["smoke", "bill"]], "none": "bill"}, HIGH)]}, id="near a barred"),
        pytest.param(
            {"rules": [rule("x", {}, HIGH, match={"en": ["fire sale"]}, unless={"en": ["fire"]})]}, id="excepted"
        ),
        pytest.param({"rules": [rule("x", {"labels": {"escalation": "chief"}}, HIGH)]}, id="a label decided later"),
        pytest.param({"rules": [rule("x", {"any": "smoke"}, {"thing": "boiler"})]}, id="a vote in a catalogue"),
        pytest.param({"floors": [floor("x", {"any": "smoke"}, "low")]}, id="a floor at the bottom"),
        pytest.param(
            {"overrides": [{"id": "x", "when": {"tier": "gold", "any": "bill"}, "unless": {"tier": ["gold", "plain"]},
                            "set": HIGH, "reason": "r"}]},
            id="an override whose exception always holds",
        ),
        pytest.param(
            {"overrides": [{"id": "x", "when": {"all": "bill", "none": "bill"}, "set": HIGH, "reason": "r"}]},
            id="an override that contradicts itself",
        ),
    ],
)  # fmt: skip
def test_what_can_never_hold_is_dead(changed: dict[str, Any]) -> None:
    assert told(**changed) == [("error", "dead", "x")]


def test_a_signal_whose_patterns_are_all_excepted_is_dead_with_what_needs_it() -> None:
    fire = {"patterns": {"en": ["gas fire", "fire"]}, "unless": {"*": ["fire"]}}
    rules = [rule("x", {"all": "fire"}, HIGH), rule("y", {"any": ["fire", "smoke"]}, HIGH)]
    assert told(signals={"fire": fire}, rules=rules) == [("error", "dead", "signals.fire"), ("error", "dead", "x")]


def test_one_excepted_pattern_among_others_is_a_warning() -> None:
    fire = {"patterns": {"en": ["fire alarm went off", "flames"]}, "unless": {"en": ["Fire  alarm"]}}
    rules = [rule("x", {"any": "fire"}, HIGH)]
    assert told(signals={"fire": fire}, rules=rules) == [("warning", "dead", "signals.fire")]


@pytest.mark.parametrize(
    ("pattern", "unless"),
    [
        pytest.param("fire", "fire sale", id="an exception that says more"),
        pytest.param("gas fire", "sgas", id="an exception that is only a part of a word"),
        pytest.param("fires?", "fire", id="a pattern that is no plain phrase"),
        pytest.param("gas fire", "fire.", id="an exception that is no plain phrase"),
    ],
)
def test_an_exception_that_may_leave_something_makes_nothing_dead(pattern: str, unless: str) -> None:
    fire = {"patterns": {"en": [pattern]}, "unless": {"en": [unless]}}
    assert told(signals={"fire": fire}, rules=[rule("x", {"any": "fire"}, HIGH)]) == []


def test_a_rule_of_which_one_vote_waits_for_a_later_label_is_a_warning() -> None:
    rules = [rule("x", {"any": "bill", "labels": {"urgency": "high"}}, {"escalation": "chief", "issue_type": "money"})]
    assert told(rules=rules) == [("warning", "dead", "x")]


@pytest.mark.parametrize("code", ["ZZ", "DE-QQ"])
def test_holidays_of_an_unknown_place_are_dead(code: str) -> None:
    assert told(calendars={"default": {"holidays": code}}) == [("error", "dead", "calendars.default.holidays")]


def test_holidays_of_known_places_are_not() -> None:
    assert told(calendars={"default": {"holidays": "US-NY"}, "GB": {"holidays": "GB-ENG"}}) == []


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        pytest.param(({"any": ["smoke", "bill"]}, HIGH), ({"any": "smoke"}, MID), id="a wider rule for a higher label"),
        pytest.param(({"any": "smoke"}, MID), ({"all": ["smoke", "bill"]}, MID), id="a wider rule for the same label"),
        pytest.param(
            ({"any": "smoke", "tier": ["gold", "plain"]}, HIGH),
            ({"any": "smoke", "tier": "gold"}, MID),
            id="more tiers",
        ),
        pytest.param(
            ({"any": "smoke"}, HIGH),
            ({"near": [["bill", "smoke"]], "overdue": True}, MID),
            id="a pair that stands near",
        ),
        pytest.param(
            ({"labels": {"issue_type": ["heat", "money"]}}, HIGH),
            ({"labels": {"issue_type": "heat"}}, MID),
            id="labels",
        ),
    ],
)
@pytest.mark.parametrize("order", [pytest.param(1, id="wide first"), pytest.param(-1, id="narrow first")])
def test_a_rule_that_never_changes_a_label_is_shadowed(
    wide: tuple[dict[str, Any], dict[str, str]], narrow: tuple[dict[str, Any], dict[str, str]], order: int
) -> None:
    rules = [rule("wide", *wide), rule("narrow", *narrow)][::order]
    assert told(rules=rules) == [("warning", "shadowed", "narrow")]


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        pytest.param(({"any": "smoke"}, MID, {}), ({"any": "smoke", "tier": "gold"}, HIGH, {}), id="a higher label"),
        pytest.param(
            ({"any": "smoke"}, HIGH, {"weight": 0.5}), ({"any": "smoke", "tier": "gold"}, MID, {}), id="a weak vote"
        ),
        pytest.param(
            ({"any": "smoke"}, HIGH, {}), ({"any": "smoke", "tier": "gold"}, HIGH, {"weight": 2}), id="a stronger vote"
        ),
        pytest.param(({"any": "smoke", "none": "bill"}, HIGH, {}), ({"any": "smoke"}, MID, {}), id="an exception"),
        pytest.param(({"any": "smoke", "overdue": False}, HIGH, {}), ({"any": "smoke"}, MID, {}), id="a promise kept"),
        pytest.param(({"any": "smoke"}, HEAT, {}), ({"any": "smoke", "tier": "gold"}, MONEY, {}), id="summed votes"),
        pytest.param(
            ({"any": "smoke"}, HIGH, {}), ({"any": "smoke", "tier": "gold"}, {**MID, **HEAT}, {}), id="one real vote"
        ),
        pytest.param(
            ({}, HIGH, {"match": {"en": ["puff"]}, "unless": {"en": ["powder puff"]}}),
            ({}, MID, {"match": {"en": ["puff"]}}), id="an exception of the wider match",
        ),
    ],
)  # fmt: skip
def test_a_rule_that_may_change_a_label_is_not(wide: tuple[Any, Any, Any], narrow: tuple[Any, Any, Any]) -> None:
    rules = [rule("wide", *wide[:2], **wide[2]), rule("narrow", *narrow[:2], **narrow[2])]
    assert told(rules=rules) == []


def test_where_a_vote_can_be_taken_back_nothing_is_shadowed() -> None:
    rules = [rule("wide", {"any": "smoke"}, HIGH), rule("narrow", {"all": ["smoke", "bill"]}, MID),
             rule("back", {"any": "bill", "tier": "gold"}, HIGH, weight=-1)]  # fmt: skip
    assert told(rules=rules) == []


def test_of_two_rules_that_say_the_same_only_the_later_is_shadowed() -> None:
    rules = [rule("one", {"any": "smoke"}, HIGH), rule("two", {"any": "smoke"}, HIGH)]
    assert told(rules=rules) == [("warning", "shadowed", "two")]


def test_a_rule_of_which_a_wider_match_takes_every_pattern_is_shadowed() -> None:
    rules = [rule("wide", {}, HIGH, match={"en": ["puff", "fume"]}), rule("narrow", {}, MID, match={"en": ["puff"]})]
    assert told(rules=rules) == [("warning", "shadowed", "narrow")]


@pytest.mark.parametrize(
    ("floors", "shadowed"),
    [
        pytest.param([floor("a", SMOKE, "high"), floor("b", SMOKE, "mid")], "b", id="a lower floor"),
        pytest.param([floor("b", SMOKE, "mid"), floor("a", SMOKE, "high")], "b", id="before it too"),
        pytest.param([floor("a", SMOKE, "high"), floor("b", SMOKE, "high")], "b", id="the same again"),
        pytest.param([floor("a", {"any": "smoke"}, "mid"), floor("b", {"any": "smoke", "tier": "gold"}, "high")], None,
                     id="a higher floor for some"),
    ],
)  # fmt: skip
def test_a_floor_under_another_is_shadowed(floors: list[dict[str, Any]], shadowed: str | None) -> None:
    assert told(floors=floors) == ([("warning", "shadowed", shadowed)] if shadowed else [])


def test_a_queue_that_is_never_reached_is_shadowed() -> None:
    first = [{"when": {"tier": "gold"}, "queue": "a"}, {"when": {"tier": "gold", "any": "bill"}, "queue": "b"}]
    assert told(queues={"template": "q", "issue": {}, "first": first}) == [("warning", "shadowed", "queues.first.1")]


def test_rules_that_answer_one_condition_in_two_ways_conflict() -> None:
    rules = [rule("one", {"any": "smoke"}, HEAT), rule("two", {"all": "smoke"}, MONEY)]
    assert told(rules=rules) == [("error", "conflicting", "two")]


def test_rules_of_unlike_weight_do_not_conflict() -> None:
    rules = [rule("one", {"any": "smoke"}, HEAT), rule("two", {"all": "smoke"}, MONEY, weight=2)]
    assert told(rules=rules) == []


def test_one_pattern_in_two_signals_that_vote_against_each_other_conflicts() -> None:
    rules = [rule("one", {"any": "smoke"}, HEAT), rule("two", {"any": ["reek", "bill"]}, MONEY)]
    assert told(rules=rules, signals={"reek": {"patterns": {"en": ["stench", "smoke"]}}}) == [
        ("warning", "conflicting", "signals.reek")
    ]


@pytest.mark.parametrize(
    ("reek", "when"),
    [
        pytest.param({"patterns": {"en": ["smoke"]}, "unless": {"en": ["no smoke"]}}, {"any": "reek"}, id="exceptions"),
        pytest.param(
            {"patterns": {"en": ["smoke"]}, "negatable": False}, {"any": "reek"}, id="negation read otherwise"
        ),
        pytest.param(
            {"patterns": {"en": ["smoke"]}}, {"any": "reek", "tier": "gold"}, id="a condition that asks for more"
        ),
    ],
)
def test_one_pattern_in_two_signals_may_be_meant(reek: dict[str, Any], when: dict[str, Any]) -> None:
    rules = [rule("one", {"any": "smoke"}, HEAT), rule("two", when, MONEY)]
    assert told(rules=rules, signals={"reek": reek}) == []


def test_a_signal_that_nothing_asks_for_is_unused() -> None:
    assert told(signals={"odd": {"patterns": {"en": ["odd"]}}}) == [("warning", "unused", "signals.odd")]


def test_a_signal_of_injected_text_is_used() -> None:
    assert told(signals={"odd": {"patterns": {"en": ["odd"]}}}, injection_signals="odd") == []


def test_findings_name_their_lines_and_stand_in_the_order_of_the_file() -> None:
    changed = {
        "rules": [rule("late", {"any": "smoke", "none": "smoke"}, HIGH)],
        "signals": {"odd": {"patterns": {"en": ["odd"]}}},
    }
    lines = source(**changed).splitlines()
    findings = check(playbook(**changed))
    assert [finding.line for finding in findings] == [lines.index("  odd:") + 1, lines.index("- id: late") + 1]
    assert all(isinstance(finding, Finding) and "\n" not in finding.message for finding in findings)

"""What is claimed about conditions and rules is true in every situation that can be made up."""

from __future__ import annotations

import json
from array import array
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from triagedesk.classifiers.rules import RulesClassifier
from triagedesk.models import Ticket
from triagedesk.playbook import Condition, Facts, Playbook, holds
from triagedesk.playbook.check import check
from triagedesk.playbook.implication import contradicts_itself, implies, needs_one_of
from triagedesk.playbook.load import parse_playbook
from triagedesk.reading import Reading

SIGNALS = ("ash", "bell", "coal")
names = st.lists(st.sampled_from(SIGNALS), max_size=2, unique=True).map(tuple)
conditions = st.builds(
    Condition,
    any=names, all=names, none=names,
    near=st.lists(st.sampled_from([("ash", "bell"), ("bell", "ash"), ("bell", "coal")]), max_size=2).map(tuple),
    tier=st.sampled_from([(), ("gold",), ("gold", "plain")]),
    region=st.sampled_from([(), ("DE",)]),
    overdue=st.sampled_from([None, None, True, False]),
    labels=st.sampled_from([{}, {"issue_type": ("heat",)}, {"issue_type": ("heat", "money")}]),
)  # fmt: skip
situations = st.builds(
    Facts,
    tier=st.sampled_from([None, "gold", "plain"]),
    region=st.sampled_from([None, "DE"]),
    overdue=st.booleans(),
    hits=st.dictionaries(st.sampled_from(SIGNALS), st.sampled_from([((0, 3),), ((40, 44),), ((300, 304),)])),
    labels=st.sampled_from([{"issue_type": "heat"}, {"issue_type": "money"}, {"issue_type": "other"}]),
)


@settings(max_examples=150, deadline=None)
@given(conditions, conditions, st.lists(situations, min_size=20, max_size=40))
def test_a_condition_that_follows_holds_whenever_the_other_does(
    one: Condition, other: Condition, many: list[Facts]
) -> None:
    if implies(one, other):
        assert all(holds(other, facts) for facts in many if holds(one, facts))


@given(conditions)
def test_every_condition_follows_from_itself_and_implies_the_empty_one(condition: Condition) -> None:
    assert implies(condition, condition)
    assert implies(condition, Condition())


@settings(max_examples=150, deadline=None)
@given(conditions, names, st.lists(situations, min_size=10, max_size=20))
def test_a_condition_said_to_be_dead_never_holds(
    condition: Condition, lost: tuple[str, ...], many: list[Facts]
) -> None:
    if contradicts_itself(condition):
        assert not any(holds(condition, facts) for facts in many)
    if needs_one_of(condition, lost):
        assert not any(holds(condition, facts) for facts in many if not set(lost) & set(facts.hits))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({}, {"any": "ash"}, id="no signal asked for"),
        pytest.param({"any": ["ash", "bell"]}, {"any": "ash"}, id="a signal that may be the other"),
        pytest.param({"tier": ["gold", "plain"]}, {"tier": "gold"}, id="a tier that may be the other"),
        pytest.param({}, {"overdue": False}, id="overdue left open"),
        pytest.param({"all": ["ash", "bell"]}, {"near": [["ash", "bell"]]}, id="both, but not near"),
        pytest.param({"near": [["ash", "bell"], ["bell", "coal"]]}, {"all": "ash"}, id="a pair that may be the other"),
    ],
)
def test_a_condition_that_does_not_follow_is_not_claimed(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert not implies(Condition.model_validate(one), Condition.model_validate(other))


BASE = """
playbook: made-up
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
    {decide: first, description: d, fallback: nobody, fallback_reason: r,
     labels: [{name: chief, description: d}, {name: nobody, description: d}]}
tiers: {plain: {}, gold: {}}
channels: {letter: {}}
calendars: {default: {}}
targets: {high: {first_response: 1h, resolution: 1h}}
queues: {template: "{issue}", issue: {}}
escalation_paths: {}
signals: {ash: {patterns: {en: [ash]}}, bell: {patterns: {en: [bell]}}, coal: {patterns: {en: [coal]}}}
"""
TEXTS = (
    "ash",
    "bell",
    "coal",
    "ash bell",
    "bell coal",
    "ash coal",
    "ash bell coal",
    "nothing",
    "ash " + "x " * 40 + "bell",
)

rules = st.builds(
    lambda when, says, weight: {"when": when, "says": says, "weight": weight, "reason": "r"},
    conditions.map(lambda condition: condition.model_dump(exclude_unset=True)),
    st.dictionaries(st.just("urgency"), st.sampled_from(["high", "mid", "low"]), min_size=1)
    | st.dictionaries(st.just("issue_type"), st.sampled_from(["heat", "money"]), min_size=1)
    | st.just({"urgency": "mid", "escalation": "chief"}),
    st.sampled_from([0.5, 1.0, 1.0, 2.0]),
)


def made_up(listed: list[dict[str, Any]]) -> Playbook:
    data = {**yaml.safe_load(BASE), "rules": [{"id": f"r{number}", **rule} for number, rule in enumerate(listed)]}
    return parse_playbook(json.dumps(data).encode())


def answers(playbook: Playbook) -> list[tuple[str, ...]]:
    classifier = RulesClassifier(playbook)
    found = []
    for text in TEXTS:
        origin = array("l", range(len(text)))
        reading = Reading(Ticket(body=text), "", text, array("l"), origin)
        for tier in (None, "gold", "plain"):
            for overdue in (False, True):
                said = classifier.classify(reading, Facts(tier=tier, region="DE", overdue=overdue))
                found.append(tuple(choice.label for choice in said.labels.values()))
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(rules, min_size=2, max_size=5))
def test_a_rule_said_to_be_dead_or_shadowed_can_be_left_out(listed: list[dict[str, Any]]) -> None:
    playbook = made_up(listed)
    idle = {
        finding.rule for finding in check(playbook)
        if finding.kind == "shadowed" or (finding.kind, finding.severity) == ("dead", "error")
    }  # fmt: skip
    for place in range(len(listed)):
        if f"r{place}" in idle:
            assert answers(made_up(listed[:place] + listed[place + 1 :])) == answers(playbook)

"""The policy of the playbook that ships does what the label guide and the desks' own practice ask."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from triagedesk.models import Choice, Classification, Reason, Span, Ticket
from triagedesk.playbook import load_playbook
from triagedesk.playbook.check import check
from triagedesk.playbook.lexicon import languages, page
from triagedesk.policy import Decision, Policy

PLAYBOOK = load_playbook()
DOCUMENT = PLAYBOOK.document
POLICY = Policy(PLAYBOOK)
SUNDAY = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def said(urgency: str, issue: str, escalation: str, *signals: str, sentiment: str = "neutral") -> Classification:
    labels = {"urgency": urgency, "issue_type": issue, "escalation": escalation, "sentiment": sentiment,
              "product": "unknown"}  # fmt: skip
    reason = Reason(text="r", quote="twice", field="body", start=8, end=13)
    return Classification(
        labels={name: Choice(label=label, reasons=(reason,)) for name, label in labels.items()},
        signals={name: Span(field="body", start=8, end=13) for name in signals},
    )


def decide(found: Classification, **given: Any) -> Decision:
    language = given.pop("language", "en")
    ticket = Ticket.parse({"body": "charged twice", "created_at": SUNDAY, **given})
    return POLICY.apply(found, ticket, rules=found, language=language, now=SUNDAY)


def labels(decision: Decision) -> tuple[str, str]:
    return decision.labels["urgency"].label, decision.labels["escalation"].label


def test_the_duplicate_charge_of_a_premium_customer_goes_to_billing_within_four_hours() -> None:
    decision = decide(
        said("high", "billing_payment", "billing_payment"), channel="email", customer_tier="premium", region="DE"
    )
    assert decision.queue == "billing_premium_email"
    assert decision.response.first_response_due == datetime(2026, 11, 22, 13, tzinfo=UTC)
    assert decision.response.resolution_due == datetime(2026, 11, 24, 9, tzinfo=UTC)
    assert [(step.team, step.after_minutes) for step in decision.escalation_path[:2]] == [
        ("billing_desk", 0), ("finance_lead", 240),
    ]  # fmt: skip
    assert (decision.notify, decision.flags, decision.response.breached) == ((), (), False)


@pytest.mark.parametrize(
    ("urgency", "given", "first", "resolution"),
    [
        pytest.param("critical", {}, "11-22T09:15", "11-22T13:00", id="critical counts on Sundays"),
        pytest.param("critical", {"channel": "voice"}, "11-22T09:08", "11-22T11:00", id="a caller waits half as long"),
        pytest.param("medium", {}, "11-24T00:00", "11-25T00:00", id="medium counts working days"),
        pytest.param("medium", {"region": "DE"}, "11-23T23:00", "11-24T23:00", id="in the region's own time"),
        pytest.param("low", {}, "11-22T17:00", "11-23T09:00", id="low is for off-peak hours"),
        pytest.param("high", {"customer_tier": "vip"}, "11-22T11:00", "11-23T09:00", id="a VIP waits half as long"),
    ],
)
def test_a_ticket_is_due_by_its_urgency(urgency: str, given: dict[str, Any], first: str, resolution: str) -> None:
    response = decide(said(urgency, "technical", "technical"), **given).response
    assert f"{response.first_response_due:%m-%dT%H:%M}" == first
    assert f"{response.resolution_due:%m-%dT%H:%M}" == resolution


@pytest.mark.parametrize(
    ("found", "given", "escalation"),
    [
        pytest.param(said("critical", "general", "none"), {}, "management", id="critical never goes with none"),
        pytest.param(said("critical", "safety", "technical"), {}, "management", id="safety is for management"),
        pytest.param(said("critical", "outage", "sla_breach"), {}, "technical", id="a live outage goes to the experts"),
        pytest.param(
            said("critical", "security_privacy", "technical"), {"due_at": SUNDAY - timedelta(days=1)}, "technical",
            id="even where a promised time has passed",
        ),
        pytest.param(
            said("high", "technical", "technical"), {"due_at": SUNDAY - timedelta(days=1)}, "sla_breach",
            id="else a promised time decides",
        ),
        pytest.param(
            said("high", "complaint", "management"), {"due_at": SUNDAY - timedelta(days=1)}, "management",
            id="but not over management",
        ),
        pytest.param(
            said("high", "complaint", "customer_service", "leaving"), {"customer_tier": "vip"}, "management",
            id="a VIP who is leaving",
        ),
        pytest.param(
            said("high", "complaint", "customer_service", "leaving"), {"customer_tier": "standard"}, "customer_service",
            id="a standard customer who is leaving",
        ),
    ],
)  # fmt: skip
def test_the_escalation_is_set_by_the_order_of_the_guide(
    found: Classification, given: dict[str, Any], escalation: str
) -> None:
    assert decide(found, **given).labels["escalation"].label == escalation


def test_management_and_a_broken_promise_end_at_the_same_desk_for_different_reasons() -> None:
    leaving = decide(said("high", "complaint", "customer_service", "leaving"), customer_tier="vip")
    overdue = decide(said("high", "technical", "technical"), due_at=SUNDAY - timedelta(hours=1))
    assert leaving.escalation_path[-1].team == overdue.escalation_path[-1].team == "senior_management"
    (one,), (other,) = leaving.labels["escalation"].reasons, overdue.labels["escalation"].reasons
    assert one.text != other.text
    assert (one.quote, other.field) == ("twice", "due_at")


def test_the_safety_of_a_standard_customer_stands_over_the_complaint_of_a_vip() -> None:
    safety = decide(said("low", "feedback", "none", "injury"), customer_tier="standard")
    complaint = decide(said("medium", "complaint", "customer_service", "complaint"), customer_tier="vip")
    assert labels(safety) == ("critical", "management")
    assert labels(complaint) == ("high", "customer_service")


@pytest.mark.parametrize("signal", ["injury", "fire", "self_harm", "breach", "takeover"])
@pytest.mark.parametrize("tier", [None, *DOCUMENT.tiers])
@pytest.mark.parametrize("channel", [None, *DOCUMENT.channels])
def test_danger_is_critical_in_any_tier_and_channel(signal: str, tier: str | None, channel: str | None) -> None:
    decision = decide(said("low", "feedback", "none", signal), customer_tier=tier, channel=channel)
    assert decision.labels["urgency"].label == "critical"
    assert decision.labels["urgency"].reasons[0].quote == "twice"
    assert {"pagerduty_on_call", "slack_incidents"} <= set(decision.notify)
    assert decision.queue.startswith("critical_")


@pytest.mark.parametrize(
    ("found", "given", "flag"),
    [
        pytest.param(said("high", "account_access", "none"), {}, "identity_check", id="account access"),
        pytest.param(said("critical", "security_privacy", "technical", "takeover"), {}, "identity_check", id="hacked"),
        pytest.param(said("critical", "safety", "management"), {}, "report_to_authority", id="safety"),
        pytest.param(
            said("critical", "security_privacy", "technical", "breach"), {}, "report_to_authority", id="a data breach"
        ),
        pytest.param(said("critical", "outage", "technical"), {}, "status_page", id="a live outage"),
        pytest.param(
            said("low", "product_inquiry", "none"), {"channel": "self_service"}, "auto_answerable", id="portal"
        ),
        pytest.param(
            said("medium", "complaint", "customer_service"), {"channel": "social_media"}, "public_channel",
            id="a complaint in public",
        ),
        pytest.param(said("critical", "safety", "management", "self_harm"), {}, "duty_of_care", id="self-harm"),
    ],
)  # fmt: skip
def test_a_flag_is_set(found: Classification, given: dict[str, Any], flag: str) -> None:
    assert flag in decide(found, **given).flags


@pytest.mark.parametrize(
    ("found", "given", "flag"),
    [
        pytest.param(said("low", "product_inquiry", "none"), {"channel": "email"}, "auto_answerable", id="by email"),
        pytest.param(
            said("high", "account_access", "none"), {"channel": "self_service"}, "auto_answerable", id="locked out"
        ),
        pytest.param(said("high", "outage", "technical"), {}, "status_page", id="one line that drops"),
        pytest.param(said("low", "security_privacy", "none"), {}, "report_to_authority", id="a data request"),
        pytest.param(
            said("low", "feedback", "none"), {"channel": "social_media"}, "public_channel", id="praise in public"
        ),
    ],
)
def test_a_flag_is_not_set(found: Classification, given: dict[str, Any], flag: str) -> None:
    assert flag not in decide(found, **given).flags


@pytest.mark.parametrize("escalation", [name for name in DOCUMENT.dimensions["escalation"].names if name != "none"])
def test_a_critical_ticket_enters_its_path_higher_up_and_at_once(escalation: str) -> None:
    usual = decide(said("high", "general", escalation)).escalation_path
    urgent = decide(said("critical", "general", escalation)).escalation_path
    assert urgent[0].team == usual[1].team
    assert urgent[0].after_minutes == usual[0].after_minutes == 0


def test_every_escalation_has_an_ordered_path_and_a_note_in_every_language() -> None:
    for name in DOCUMENT.dimensions["escalation"].names:
        times = [step.after for step in DOCUMENT.escalation_paths[name].steps]
        assert times[0] == 0
        assert times == sorted(set(times))
        notes = DOCUMENT.customer_notes[name]
        assert set(notes) == set(DOCUMENT.languages)
        assert len(set(notes.values())) == len(notes)


def test_no_note_promises_a_time() -> None:
    for notes in DOCUMENT.customer_notes.values():
        assert not any(char.isdigit() for note in notes.values() for char in note)


def test_every_label_is_described_and_every_issue_has_a_queue() -> None:
    assert set(DOCUMENT.queues.issue) == set(DOCUMENT.dimensions["issue_type"].names)
    for dimension in DOCUMENT.dimensions.values():
        if dimension.ask_model:
            assert all(label.description and label.examples for label in dimension.labels)


def test_under_triage_costs_more_than_over_triage() -> None:
    names, cost = DOCUMENT.dimensions["urgency"].names, DOCUMENT.triage_cost
    for place, severe in enumerate(names):
        assert cost[severe][severe] == 0
        assert all(cost[severe][mild] > cost[mild][severe] for mild in names[place + 1 :])


def test_the_playbook_that_ships_has_no_errors() -> None:
    assert [finding for finding in check(PLAYBOOK) if finding.severity == "error"] == []


def test_no_pattern_that_ships_holds_an_unfilled_placeholder() -> None:
    patterns = [pattern for name in languages() for entry in page(name).signals.values()
                for pattern in (*entry.patterns, *entry.unless)]  # fmt: skip
    assert len(patterns) > 10_000
    assert PLAYBOOK.finder.find("my toddler swallowed a button", "en")
    assert [pattern for pattern in patterns if re.search("@[A-Z]", pattern)] == []

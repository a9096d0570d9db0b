"""Notifications: what is said, how it is written for each receiver, and that nobody waits for it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from desk_parts import default_playbook, ticket
from notify_parts import KEY, NOON, SECRET, SLACK_PATH, FakeClock, Receiver, notice, reason, receiver, suggestion
from triagedesk.classifiers.transport import open_client
from triagedesk.errors import ConfigError
from triagedesk.models import Reason
from triagedesk.service.metrics import Metrics
from triagedesk.service.notify import (
    Kind,
    Notifier,
    Promise,
    Severity,
    TargetState,
    notice_of,
    open_notifier,
    read_targets,
)
from triagedesk.service.notify.attempt import Failure, Outgoing, post, retry_after
from triagedesk.service.notify.notice import severity_of
from triagedesk.service.notify.pagerduty import dedup_key, pagerduty_event
from triagedesk.service.notify.slack import escaped, slack_message
from triagedesk.service.notify.targets import Target, load_targets
from triagedesk.service.notify.webhook import signature, signed_headers, verify, webhook_body


def test_a_notice_says_ids_labels_queue_the_reasons_and_one_quote() -> None:
    made = notice(link="https://desk.example/t/{ticket_id}", ticket_id="T 1/2")
    assert (made.urgency, made.issue_type, made.queue) == ("critical", "outage", "incident")
    assert made.reasons == ("A service is down for many.",)
    assert made.quote == "All tills are down"
    assert made.link == "https://desk.example/t/T%201%2F2"
    assert "All tills" not in repr(made)


@pytest.mark.parametrize(
    ("body", "quote", "shown"),
    [
        pytest.param("write to jo@example.com now", "write to jo@example.com", "write to [EMAIL_1]", id="an address"),
        pytest.param("my password is hunter2 and it fails", "hunter2 and it fails", "[PASSWORD_1] and it fails",
                     id="a password that only the words before it give away"),
        pytest.param("card 4111 1111 1111 1111 was charged", "1111 1111 was charged", "[CARD_1] was charged",
                     id="half a card number"),
        pytest.param("it broke [EMAIL_1] again", "broke [EMAIL_1]", "broke [EMAIL_1]", id="a placeholder of its own"),
    ],
)  # fmt: skip
def test_a_quote_holds_no_personal_data(body: str, quote: str, shown: str) -> None:
    assert notice(body=body, quote=quote).quote == shown


def test_a_quote_is_short_and_one_line() -> None:
    body = "It\x1b[31m is\r\nBcc: x@y.example broken " + "very " * 100
    made = notice(body=body, quote=body).quote
    assert made is not None
    assert len(made) <= 120
    assert made.isprintable()
    assert made.endswith("…")


def test_without_the_ticket_no_quote_is_sent() -> None:
    made = notice_of(Kind.CRITICAL, suggestion(reason("All down", "All down")), suggestion_id="s_1",
                     playbook=default_playbook(), at=NOON)  # fmt: skip
    assert made.quote is None


def test_sentences_are_redacted_bounded_and_told_once() -> None:
    many = [Reason(text="Wrote from jo@example.com."), Reason(text="Wrote from jo@example.com."),
            *(Reason(text=f"{number} " + "word " * 200) for number in range(9))]  # fmt: skip
    made = notice_of(Kind.CRITICAL, suggestion(*many), suggestion_id="s_1", playbook=default_playbook(), at=NOON)
    assert made.reasons[0] == "Wrote from [EMAIL_1]."
    assert len(made.reasons) == 3
    assert all(len(sentence) <= 300 for sentence in made.reasons)


@pytest.mark.parametrize(
    ("urgency", "kind", "severity"),
    [
        ("critical", Kind.CRITICAL, Severity.CRITICAL),
        ("high", Kind.ESCALATION, Severity.ERROR),
        ("medium", Kind.SLA_BREACH, Severity.WARNING),
        ("low", Kind.CRITICAL, Severity.INFO),
        ("low", Kind.SLA_BREACH, Severity.WARNING),
    ],
)
def test_severity_follows_the_playbooks_order(urgency: str, kind: Kind, severity: Severity) -> None:
    assert severity_of(default_playbook(), urgency, kind) is severity


def test_slack_text_from_a_ticket_cannot_ping_the_channel() -> None:
    made = slack_message(notice(body="<!channel> & <http://evil|x>", quote="<!channel> & <http://evil|x>"))
    text = json.dumps(made, ensure_ascii=False)
    assert "<!channel>" not in text
    assert "<http" not in text
    assert "“&lt;!channel&gt; &amp; &lt;http://evil|x&gt;”" in text
    assert made["text"] == "🔴 Urgency critical: ticket T-1, outage"


def test_slack_limits_hold_for_the_longest_notice() -> None:
    long = notice(body="&" * 5000, quote="&" * 5000, text="&" * 300, ticket_id="&" * 200,
                  link="https://desk.example/" + "&" * 900)  # fmt: skip
    made = slack_message(long)
    assert len(made["blocks"]) <= 50
    for block in made["blocks"]:
        assert len(block.get("text", {}).get("text", "")) <= 3000
        assert len(block.get("fields", [])) <= 10
        assert all(len(one["text"]) <= 2000 for one in block.get("fields", []))


def test_escaping_never_cuts_an_entity_in_two() -> None:
    assert escaped("a&b", 5) == "a"
    assert escaped("a&b", 6) == "a&amp;"


def test_a_pagerduty_event_has_the_documented_shape() -> None:
    made = pagerduty_event(notice(link="https://desk.example/{ticket_id}"), routing_key=KEY, source="acme")
    assert made == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "acme:T-1",
        "client": "triagedesk",
        "links": [{"href": "https://desk.example/T-1", "text": "Open the ticket"}],
        "payload": {
            "summary": "Urgency critical: ticket T-1, outage", "source": "acme", "severity": "critical",
            "timestamp": "2026-11-23T12:00:00.000+00:00", "component": "incident", "group": "outage",
            "class": "critical",
            "custom_details": {
                "ticket_id": "T-1", "suggestion_id": "s_1", "urgency": "critical", "issue_type": "outage",
                "queue": "incident", "reasons": ["A service is down for many."], "quote": "All tills are down",
            },
        },
    }  # fmt: skip


def test_a_tickets_alarms_share_one_pagerduty_alert() -> None:
    again = notice(Kind.SLA_BREACH, suggestion_id="s_2")
    key = pagerduty_event(again, routing_key=KEY)["dedup_key"]
    assert key == pagerduty_event(notice(), routing_key=KEY)["dedup_key"]
    assert len(dedup_key("x" * 200, "s" * 100)) <= 255


VECTOR = "2c198f3e0e4bc20a919446c7e42dea4f53bff3c0e2095c26edbdc9669bdee04e"


def test_the_signature_matches_the_vector_of_the_documentation() -> None:
    body = b'{"version":1,"kind":"critical"}'
    assert signature(body, secret=SECRET, timestamp="1767323045") == VECTOR
    document = Path(__file__).parent.parent / "docs" / "notifications.md"
    assert VECTOR in document.read_text("utf-8")


def test_a_receiver_verifies_the_raw_bytes_within_its_window() -> None:
    body = webhook_body(notice())
    headers = signed_headers(body, secret=SECRET, timestamp=1_000_000, delivery_id="n_1")
    given: dict[str, Any] = {
        "timestamp": headers["x-triagedesk-timestamp"], "signature_header": headers["x-triagedesk-signature"],
        "secrets": ["the-old-one-of-16", SECRET], "now": 1_000_300.0,
    }  # fmt: skip
    assert verify(body, **given)
    assert not verify(body + b" ", **given)
    assert not verify(body, **{**given, "now": 1_000_301.0})
    assert not verify(body, **{**given, "timestamp": "1000001"})
    assert not verify(body, **{**given, "timestamp": "-1"})
    assert not verify(body, **{**given, "signature_header": "v1=é"})
    assert not verify(body, **{**given, "secrets": ["another-secret-16"]})


# --- Targets ----------------------------------------------------------------------------------------------------------


def _row(**given: Any) -> dict[str, Any]:
    return {"type": "webhook", "name": "hook", "url": "https://hooks.example/canary", "secret": SECRET, **given}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(_row(url="http://hooks.example/canary"), id="not https"),
        pytest.param(_row(url="https://169.254.169.254/canary"), id="the machine's own metadata"),
        pytest.param(_row(url="https://user:canary@hooks.example/"), id="a password in the address"),
        pytest.param(_row(url="file:///etc/canary"), id="a file that is not there"),
        pytest.param(_row(secret="canary"), id="a short secret"),
        pytest.param(_row(name="canary\n"), id="a name with a line break"),
        pytest.param(_row(canary="x"), id="an unknown field"),
        pytest.param({"type": "pagerduty", "name": "p", "routing_key": "canary"}, id="a key that is none"),
        pytest.param({"type": "slack", "name": "s", "url": "canary"}, id="an address that is none"),
        pytest.param({"type": "pigeon", "name": "s"}, id="an unknown type"),
        pytest.param("canary", id="no mapping"),
    ],
)
def test_an_unusable_target_is_refused_without_repeating_what_stands_in_it(row: Any) -> None:
    with pytest.raises(ConfigError) as wrong:
        read_targets({"targets": [row]}, {})
    assert "canary" not in str(wrong.value) or "file:" in str(row)
    assert "\n" not in str(wrong.value)
    assert wrong.value.__cause__ is None
    assert SECRET not in str(wrong.value)


def test_two_targets_cannot_have_one_name() -> None:
    with pytest.raises(ConfigError, match="two targets have one name"):
        read_targets({"targets": [_row(), _row()]}, {})


def test_secrets_come_from_the_environment_or_a_file_and_stand_in_no_repr(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n", "utf-8")
    (tmp_path / "notify.yaml").write_text(
        "targets:\n"
        "  - {type: slack, name: oncall, url: 'env:SLACK_URL'}\n"
        f"  - {{type: pagerduty, name: pager, routing_key: 'file:{tmp_path}/key', kinds: [critical]}}\n",
        "utf-8",
    )
    slack, pager = load_targets(
        tmp_path / "notify.yaml", {"SLACK_URL": "https://hooks.slack.com/services/T/B/x"}
    ).targets
    assert slack.type == "slack"
    assert pager.type == "pagerduty"
    assert slack.url.get_secret_value() == "https://hooks.slack.com/services/T/B/x"
    assert pager.routing_key.get_secret_value() == KEY
    assert KEY not in repr(pager)
    assert "services" not in repr(slack)


def test_a_file_with_aliases_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notify.yaml").write_text("a: &a [x]\ntargets: [*a, *a]\n", "utf-8")
    with pytest.raises(ConfigError, match="alias"):
        load_targets(tmp_path / "notify.yaml", {})


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="SLACK_URL"):
        read_targets({"targets": [{"type": "slack", "name": "s", "url": "env:SLACK_URL"}]}, {})


# --- The notifier -----------------------------------------------------------------------------------------------------


def _targets(*rows: dict[str, Any]) -> tuple[Target, ...]:
    return read_targets({"targets": list(rows)}, {}).targets


def _hook(to: Receiver, **given: Any) -> dict[str, Any]:
    return _row(url=to.url("/hook"), **given)


def _told(
    targets: tuple[Target, ...], tell: Callable[[Notifier], Any], *, clock: FakeClock | None = None, **given: Any
) -> tuple[TargetState, ...]:
    """Open a notifier, tell it something, wait until nothing waits, and return the state."""

    async def go() -> tuple[TargetState, ...]:
        async with open_notifier(targets, clock=clock or FakeClock(), **given) as notifier:
            tell(notifier)
            with anyio.fail_after(10):
                await notifier.idle()
            return notifier.state()

    return anyio.run(go)


def test_each_receiver_gets_its_own_body() -> None:
    with receiver() as to:
        targets = _targets(
            {"type": "slack", "name": "oncall", "url": to.url(SLACK_PATH)},
            {"type": "pagerduty", "name": "pager", "routing_key": KEY, "url": to.url("/v2/enqueue")},
            _hook(to),
        )
        states = _told(targets, lambda notifier: notifier.notify(notice()))
    assert [state.sent for state in states] == [1, 1, 1]
    got = {request.path: request for request in to.got}
    assert got[SLACK_PATH].json == slack_message(notice())
    assert got["/v2/enqueue"].json == pagerduty_event(notice(), routing_key=KEY)
    hook = got["/hook"]
    assert hook.json["ticket_id"] == "T-1"
    assert verify(
        hook.body, timestamp=hook.headers["x-triagedesk-timestamp"], now=NOON.timestamp(), secrets=[SECRET],
        signature_header=hook.headers["x-triagedesk-signature"],
    )  # fmt: skip
    assert hook.headers["content-type"] == "application/json"


def test_a_target_gets_only_what_it_asked_for_and_no_quote_where_quotes_are_off() -> None:
    with receiver() as to:
        targets = _targets(_hook(to, kinds=["sla_breach"], quotes=False))

        def tell(notifier: Notifier) -> None:
            assert notifier.notify(notice()) == 0
            assert notifier.notify(notice(Kind.SLA_BREACH)) == 1

        (state,) = _told(targets, tell)
    assert state.sent == 1
    assert "quote" not in to.got[0].json
    assert "All tills" not in to.got[0].body.decode()


def test_a_server_that_fails_is_asked_again_later_with_the_same_delivery_id_and_a_new_signature() -> None:
    clock = FakeClock()
    with receiver(500, 503, 200) as to:
        (state,) = _told(_targets(_hook(to)), lambda notifier: notifier.notify(notice()), clock=clock)
    assert (state.sent, state.retried, state.dead) == (1, 2, 0)
    assert state.failures == {"unavailable": 2}
    first, second = clock.slept
    assert 1 <= first <= 1.5
    assert 2 <= second <= 3
    assert len({request.headers["x-triagedesk-delivery"] for request in to.got}) == 1
    assert len({request.headers["x-triagedesk-signature"] for request in to.got}) == 3


def test_retry_after_is_honoured() -> None:
    clock = FakeClock()
    with receiver((429, {"retry-after": "37"}), 200) as to:
        (state,) = _told(_targets(_hook(to)), lambda notifier: notifier.notify(notice()), clock=clock)
    assert clock.slept == [37]
    assert (state.sent, state.failures) == (1, {"rate_limited": 1})


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("12", 12.0),
        ("99999999999", 3600.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("²", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOON) == seconds


@pytest.mark.parametrize(
    ("status", "failure"), [(400, "refused"), (403, "auth"), (404, "auth"), (410, "auth"), (302, "redirect")]
)
def test_what_cannot_help_is_not_tried_again(status: int, failure: str) -> None:
    with receiver() as elsewhere, receiver((status, {"location": elsewhere.url("/taken")})) as to:
        (state,) = _told(_targets(_hook(to)), lambda notifier: notifier.notify(notice()))
    assert (state.dead, state.retried, state.failures) == (1, 0, {failure: 1})
    assert len(to.got) == 1
    assert not elsewhere.got


def test_attempts_are_bounded_and_the_dead_are_counted() -> None:
    with receiver(500) as to:
        (state,) = _told(_targets(_hook(to)), lambda notifier: notifier.notify(notice()), max_attempts=4)
    assert (state.dead, state.sent, len(to.got)) == (1, 0, 4)


def test_one_dead_alarm_does_not_hold_up_the_next() -> None:
    with receiver(400, 200) as to:
        (state,) = _told(
            _targets(_hook(to)), lambda notifier: [notifier.notify(notice(ticket_id=name)) for name in ("a", "b")]
        )
    assert (state.dead, state.sent) == (1, 1)
    assert to.got[1].json["ticket_id"] == "b"


def test_slack_gets_one_message_a_second() -> None:
    clock = FakeClock()
    with receiver() as to:
        targets = _targets({"type": "slack", "name": "oncall", "url": to.url(SLACK_PATH)})
        (state,) = _told(targets, lambda notifier: [notifier.notify(notice()) for _ in range(5)], clock=clock)
    assert state.sent == 5
    assert sum(clock.slept) == pytest.approx(4.0)


def test_a_full_queue_drops_the_newest_at_once_and_counts_it() -> None:
    with receiver() as to:
        taken: list[int] = []
        (state,) = _told(
            _targets(_hook(to)),
            lambda notifier: taken.extend(notifier.notify(notice()) for _ in range(8)), max_queued=5,
        )  # fmt: skip
    assert taken == [1] * 5 + [0] * 3
    assert (state.sent, state.dropped) == (5, 3)


def test_who_gives_an_alarm_hears_once_what_became_of_it_at_every_target() -> None:
    heard: list[dict[str, Failure]] = []

    def tell(notifier: Notifier) -> None:
        for only in (None, "bad", "gone"):
            notifier.notify(notice(), lambda failed: heard.append(dict(failed)), only)
        notifier.notify(notice(Kind.SLA_BREACH), lambda failed: heard.append(dict(failed)), "critical-only")
        assert heard == [{"gone": Failure.UNKNOWN_TARGET}, {}]

    with receiver() as good, receiver(410) as bad:
        targets = _targets(
            _hook(good, name="good"), _hook(bad, name="bad"), _hook(good, name="critical-only", kinds=["critical"])
        )
        _told(targets, tell)
    assert heard[2:] == [{"bad": Failure.AUTH}, {"bad": Failure.AUTH}]
    assert (len(good.got), len(bad.got)) == (2, 2)


def test_who_gives_an_alarm_hears_that_a_queue_was_full_or_that_the_service_stopped() -> None:
    heard: list[dict[str, Failure]] = []

    async def go(to: Receiver) -> None:
        async with open_notifier(_targets(_hook(to)), clock=FakeClock(), drain_s=0.02, max_queued=1) as notifier:
            for _ in range(2):
                notifier.notify(notice(), lambda failed: heard.append(dict(failed)))
            await notifier.close()
            notifier.notify(notice(), lambda failed: heard.append(dict(failed)))

    with receiver(holds=True) as to:
        anyio.run(go, to)
    assert heard == [{"hook": Failure.QUEUE_FULL}, {"hook": Failure.SHUTDOWN}, {"hook": Failure.SHUTDOWN}]
    assert all(failure.passing for failed in heard for failure in failed.values())


def test_a_missed_promise_is_named() -> None:
    for promise, said in ((Promise.FIRST_RESPONSE, "First response"), (Promise.RESOLUTION, "Resolution")):
        made = notice(Kind.SLA_BREACH, promise=promise)
        assert made.headline == f"{said} missed: ticket T-1, urgency critical"
        assert json.loads(webhook_body(made))["promise"] == promise.value


def test_a_receiver_that_hangs_holds_up_neither_the_caller_nor_the_others() -> None:
    async def go(slow: Receiver, quick: Receiver) -> None:
        targets = _targets(_hook(slow, name="slow"), _hook(quick, name="quick"))
        async with open_notifier(targets, clock=FakeClock(), drain_s=0.05) as notifier:
            began = time.perf_counter()
            for _ in range(50):
                notifier.notify(notice())
            assert time.perf_counter() - began < 1
            with anyio.fail_after(5):
                while notifier.state()[1].queued:  # noqa: ASYNC110 - what is watched here is the count
                    await anyio.sleep(0.005)
            assert notifier.state()[0].sent == 0
        assert notifier.state()[1].sent == 50
        assert notifier.state()[0].dropped == 50

    with receiver(holds=True) as slow, receiver() as quick:
        anyio.run(go, slow, quick)


def test_an_attempt_ends_at_its_timeout() -> None:
    with receiver(holds=True) as to:
        (state,) = _told(
            _targets(_hook(to)), lambda notifier: notifier.notify(notice()), attempt_s=0.05, max_attempts=2
        )
    assert (state.dead, state.failures) == (1, {"timeout": 2})


def test_nobody_listening_is_a_failed_connection_and_is_retried() -> None:
    with receiver() as gone:
        targets = _targets(_hook(gone))
    (state,) = _told(targets, lambda notifier: notifier.notify(notice()), max_attempts=3)
    assert (state.dead, state.retried, state.failures) == (1, 2, {"connect": 3})


def test_what_waits_at_the_end_is_still_told() -> None:
    async def go(to: Receiver) -> tuple[TargetState, ...]:
        async with open_notifier(_targets(_hook(to)), clock=FakeClock()) as notifier:
            for _ in range(10):
                notifier.notify(notice())
        assert notifier.notify(notice()) == 0
        return notifier.state()

    with receiver() as to:
        (state,) = anyio.run(go, to)
    assert (state.sent, state.dropped) == (10, 1)


def test_secrets_and_ticket_text_stand_in_no_log_and_no_repr(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEDESK_LOG", "json")
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    with receiver(400) as to:
        targets = _targets(
            {"type": "slack", "name": "oncall", "url": to.url(SLACK_PATH)},
            {"type": "pagerduty", "name": "pager", "routing_key": KEY, "url": to.url("/v2/enqueue")},
            _hook(to),
        )
        states = _told(targets, lambda notifier: seen.append(f"{notifier.notify(notice())} {vars(notifier)}"))
    seen += [repr(targets), repr(states), caplog.text, *capfd.readouterr()]
    everything = "\n".join(seen)
    assert "notification dead" in everything
    for secret in ("CANARY", "canary", KEY, SECRET, "All tills"):
        assert secret not in everything


def test_a_request_tells_nothing_of_itself() -> None:
    assert repr(Outgoing("https://hooks/canary", b"canary", {"a": "canary"})) == "Outgoing()"


def test_a_certificate_that_nobody_signed_is_refused_for_good() -> None:
    async def go(url: str) -> Failure | None:
        async with open_client(1) as client:
            return (await post(client, Outgoing(url, b"{}", {}), timeout_s=5, now=NOON)).failure

    with receiver() as plain:
        failure = anyio.run(go, plain.url().replace("http", "https"))
    assert failure is Failure.TLS
    assert not failure.retried


def test_the_thread_decides_nothing_about_what_is_quoted() -> None:
    given = ticket("All tills are down.", subject="Call me: +49 30 12345678")
    told = Reason(text="Down.", quote="Call me: +49 30 12345678", field="subject", start=0, end=24)
    made = notice_of(Kind.CRITICAL, suggestion(told), suggestion_id="s_1", playbook=default_playbook(), at=NOON,
                     ticket=given)  # fmt: skip
    assert made.quote == "Call me: [PHONE_1]"


def test_metrics_tell_of_every_target_what_was_sent_and_why_not() -> None:
    metrics = Metrics()
    metrics.observe_targets(lambda: (TargetState("ops", "webhook", 3, 5, 2, 1, 4, {"tls": 2, "auth": 1}),))
    lines = metrics.text().decode().splitlines()
    assert 'triagedesk_notifications_queued{target="ops"} 3.0' in lines
    for outcome, count in (("sent", 5), ("retried", 2), ("dropped", 1), ("dead", 4)):
        assert f'triagedesk_notifications_total{{outcome="{outcome}",target="ops"}} {count}.0' in lines
    assert 'triagedesk_notification_failures_total{reason="auth",target="ops"} 1.0' in lines
    assert 'triagedesk_notification_failures_total{reason="tls",target="ops"} 2.0' in lines

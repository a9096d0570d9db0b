"""A traced suggestion: the spans of its steps, the model's by the GenAI conventions, and not a word of the ticket."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import respx
from opentelemetry.trace import StatusCode

from desk_parts import BASE_URL, Says, answer, clean_environment, fake_model, settings
from misbehaving import completion
from tracing_parts import CALLER, Kept, collector, kept
from triagedesk import telemetry, tracing
from triagedesk.desk import open_desk
from triagedesk.errors import ConfigError, FallbackReason, TicketError
from triagedesk.models import Suggestion, Ticket
from triagedesk.settings import Settings
from triagedesk.telemetry import Losses, open_telemetry
from triagedesk.tracing import Fact, Kind, traced_by

CANARY = "CANARY-7731"
KEY = "sk-CANARY-7731-key"
TICKET = Ticket(
    id=f"T-{CANARY}", subject=f"{CANARY} charged twice", body=f"Hello, {CANARY} my card was charged twice.",
    fields={"customer": CANARY},
)  # fmt: skip


def suggest(given: Settings, *tickets: Ticket) -> list[Suggestion]:
    """Open a desk and ask it, ticket after ticket."""

    async def work() -> list[Suggestion]:
        async with open_desk(given) as desk:
            return [await desk.suggest(ticket) for ticket in tickets]

    return anyio.run(work)


def traced(says: Says = lambda _: answer("high", quote="charged twice"), **given: Any) -> Kept:
    """Return the spans of one suggestion for the canary ticket."""
    with fake_model() as model, kept() as found:
        model.says = says
        suggest(settings(api_key=KEY, second_line="rules", **given), TICKET)
    return found


def test_every_step_of_a_suggestion_is_a_span_under_it() -> None:
    found = traced()
    assert found.names == ["desk.suggest", "tidy", "rules", "redact", "cache", "chat made-up", "policy"]
    assert {found.parent(name) for name in found.names[1:]} == {"desk.suggest"}
    assert found.parent("desk.suggest") is None


def test_a_suggestion_says_who_answered_and_what() -> None:
    assert traced().facts("desk.suggest") == {
        "triagedesk.source": "model", "triagedesk.urgency": "high", "triagedesk.issue_type": "general",
        "triagedesk.escalation": "none", "triagedesk.needs_review": True, "triagedesk.attempts": 1,
    }  # fmt: skip


def test_a_model_call_follows_the_genai_conventions() -> None:
    found = traced()
    assert found.one("chat made-up").kind.name == "CLIENT"
    assert found.facts("chat made-up") == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "made-up",
        "gen_ai.response.model": "made-up-1", "gen_ai.output.type": "json", "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 700, "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.cache_read.input_tokens": 1024,
        "gen_ai.usage.output_tokens": 90, "server.address": "model.test", "server.port": 80,
    }  # fmt: skip


def test_a_cached_answer_has_no_model_call(tmp_path: Path) -> None:
    with fake_model(), kept() as found:
        given = settings(cache=True, cache_dir=tmp_path)
        suggest(given, Ticket(body="Where is my parcel?"))
        suggest(given, Ticket(body="Where is my parcel?"))
    hits = [span.attributes["triagedesk.cache_hit"] for span in found.spans if span.name == "cache" and span.attributes]
    assert (found.names.count("chat made-up"), hits) == (1, [False, True])


FAULTS = {
    "a-refused-key": (httpx.Response(401, text=CANARY), FallbackReason.AUTH),
    "no-credit": (
        httpx.Response(429, json={"error": {"code": "insufficient_quota", "message": CANARY}}),
        FallbackReason.QUOTA,
    ),
    "no-completion": (httpx.Response(200, text=f"<p>{CANARY}</p>"), FallbackReason.BAD_REPLY),
    "never-in-our-schema": ({"urgency": CANARY}, FallbackReason.INVALID_OUTPUT),
}


@pytest.mark.parametrize(("said", "reason"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_told_by_its_closed_name_alone(said: Any, reason: FallbackReason) -> None:
    found = traced(lambda _: said)
    call, whole = found.one("chat made-up"), found.facts("desk.suggest")
    assert (call.status.status_code, call.status.description, call.events) == (StatusCode.ERROR, None, ())
    assert found.facts("chat made-up")["error.type"] == reason.value
    assert (whole["triagedesk.source"], whole["triagedesk.fallback_reason"]) == ("rules", reason.value)
    assert found.one("desk.suggest").status.status_code is StatusCode.UNSET  # the desk kept its promise


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer("high", quote=CANARY), id="a-quote"),
        pytest.param(
            httpx.Response(200, json={**completion(answer()), "model": f"{CANARY} my card was charged"}),
            id="the-ticket-as-the-model's-name",
        ),
        *(pytest.param(said, id=name) for name, (said, _) in FAULTS.items()),
    ],
)
@pytest.mark.parametrize("redact", [True, False], ids=["redacted", "in-clear"])
def test_nothing_of_a_ticket_or_a_key_stands_in_a_span(said: Any, redact: bool) -> None:
    found = traced(lambda _: said, redact=redact)
    assert len(found.spans) >= 6
    assert CANARY not in found.dump()
    assert {name for span in found.spans for name in span.attributes or ()} <= {fact.value for fact in Fact}


def test_a_ticket_that_is_refused_is_told_by_the_errors_type() -> None:
    with kept() as found, pytest.raises(TicketError):
        suggest(Settings(model="rules"), Ticket(body="Hello", channel=CANARY))
    assert found.facts("desk.suggest") == {"error.type": "TicketError"}
    assert CANARY not in found.dump()


def test_the_model_server_is_told_of_the_span_only_where_somebody_traces() -> None:
    sent: list[str | None] = []

    def reply(request: Any) -> httpx.Response:
        sent.append(request.headers.get("traceparent"))
        return httpx.Response(200, json=completion(answer()))

    with respx.mock(using="httpcore2", assert_all_called=False) as router:
        router.get(f"{BASE_URL}/models").respond(json={"data": []})
        router.post(f"{BASE_URL}/chat/completions").mock(side_effect=reply)
        with kept() as found:
            suggest(settings(), TICKET)
        suggest(settings(), TICKET)
    context = found.one("chat made-up").context
    assert context is not None
    first, *untraced = sent
    assert (first or "").startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")
    assert set(untraced) == {None}


def test_a_sampler_that_drops_everything_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert traced().spans == []


@contextmanager
def collected(monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[None]:
    """Trace to a collector, with the log as it is by default."""
    monkeypatch.delenv("TRIAGEDESK_LOG", raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    with open_telemetry(True) as tracer, traced_by(tracer):
        yield


def test_a_collector_that_hangs_delays_no_suggestion_and_an_end_only_within_bounds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setattr(telemetry, "FLUSH_S", 0.2)
    with collector(hang=threading.Event()) as to:
        with collected(monkeypatch, to.url):
            found = suggest(Settings(model="rules"), *[TICKET] * 300)
            began = time.monotonic()
        ended = time.monotonic() - began
    assert len(found) == 300
    assert max(one.provenance.elapsed_ms for one in found[1:]) < 1000
    assert 0.2 <= ended < 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert "collector_hangs" in told
    assert "count=303" in told  # four of the first ticket, one of each that is remembered


@pytest.mark.parametrize("status", [400, 500], ids=["refuses", "fails"])
def test_a_collector_that_does_not_take_spans_costs_one_line_of_log(
    status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with collector(status) as to, collected(monkeypatch, to.url):
        assert suggest(Settings(model="rules"), TICKET)
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert "export_failed" in told[0]
    assert "count=4" in told[0]


def test_where_nobody_listens_the_end_says_so_and_how_many_spans_were_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(telemetry, "FLUSH_S", 0.3)
    with socket.socket() as taken:  # bound, and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        with collected(monkeypatch, f"http://127.0.0.1:{taken.getsockname()[1]}"):
            suggest(Settings(model="rules"), TICKET, TICKET)
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert "collector_unreachable" in told
    assert "count=5" in told


def test_losses_are_told_at_once_then_together_and_never_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TRIAGEDESK_LOG", raising=False)
    losses = Losses()
    for _ in range(9):
        losses.end()
    losses.settle(2, arrived=False)
    losses.settle(3, arrived=False)
    losses.settle(1, arrived=True)
    losses.close(hangs=True)
    losses.settle(3, arrived=False)  # the thread that hung comes back
    told = capsys.readouterr().err.strip().splitlines()
    assert [line.split("count=")[1].split()[0] for line in told] == ["2", "6"]


def test_spans_that_found_no_room_to_wait_are_told_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "2")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    free = threading.Event()
    with collector(hang=free) as to, collected(monkeypatch, to.url):
        suggest(Settings(model="rules"), *[TICKET] * 5)
        free.set()
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert "queue_full" in told
    assert int(told.split("count=")[1].split()[0]) == 8 - len(to.spans)


def test_spans_go_to_a_collector_as_otlp_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as to, collected(monkeypatch, to.url):
        suggest(Settings(model="rules"), TICKET)
    assert {span.name for span in to.spans} == {"desk.suggest", "tidy", "rules", "policy"}
    assert CANARY.encode() not in b"".join(to.bodies)


def test_a_batch_makes_a_trace_of_every_ticket(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"body": f"Where is order {n}?"}) + "\n" for n in range(3)), "utf-8")
    with collector() as to:
        done = subprocess.run(
            [sys.executable, "-m", "triagedesk", "batch", str(source), str(tmp_path / "out.jsonl"), "--model", "rules"],
            env=clean_environment(tmp_path, **to.environment), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    roots = [span for span in to.spans if span.name == "desk.suggest"]
    assert len({span.trace_id for span in roots}) == len(roots) == 3
    assert not any(span.parent_span_id for span in roots)


def test_without_the_packages_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match=r"pip install 'triagedesk\[otel\]'"), open_telemetry(True):
        pass


def test_a_variable_that_cannot_be_used_is_told_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", CANARY)  # the SDK would log it: a key stands there
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    with pytest.raises(ConfigError, match="OTEL_"), open_telemetry(True):
        pass
    assert CANARY not in "".join(capsys.readouterr()) + caplog.text


def test_who_does_not_trace_imports_none_of_it(tmp_path: Path) -> None:
    script = (
        "import sys, anyio; from triagedesk.desk import open_desk; from triagedesk.models import Ticket\n"
        "from triagedesk.settings import Settings\n"
        "async def main():\n"
        "    async with open_desk(Settings(model='rules')) as desk: await desk.suggest(Ticket(body='Hello'))\n"
        "anyio.run(main)\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    environment = clean_environment(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_where_nobody_traces_every_span_is_the_same_empty_one() -> None:
    with tracing.span("one", {Fact.SOURCE: "rules"}, kind=Kind.CLIENT) as one, tracing.span("two") as two:
        one.tell({Fact.SOURCE: "model"})
        one.rename("three")
        one.failed("timeout")
        assert one is two
    assert tracing.headers() == {}


def test_a_tracer_is_gone_when_its_block_has_ended() -> None:
    with kept() as found:
        assert CALLER not in tracing.headers()
        with tracing.span("inside"):
            assert "traceparent" in tracing.headers()
    with tracing.span("outside"):
        assert tracing.headers() == {}
    assert found.names == ["inside"]

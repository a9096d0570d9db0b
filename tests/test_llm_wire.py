"""The OpenAI protocol on the wire: what is sent, what is read, and what is never said elsewhere."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import respx
from respx.mocks import HTTPCoreMocker

from llm_parts import CANARY, KEY, PLAYBOOK, PROMPT, classifier, run
from misbehaving import answer_for, completion
from triagedesk.budget import Budget
from triagedesk.classifiers.answer import answer_model
from triagedesk.classifiers.llm import ModelClassifier
from triagedesk.errors import ConfigError, FallbackReason, ModelAnswerInvalid, ModelError
from triagedesk.models import ModelAnswer, Tokens

URL = "https://api.openai.com/v1/chat/completions"
GOOD: dict[str, Any] = answer_for(answer_model(PLAYBOOK).model_json_schema())


class HTTPCore2Mocker(HTTPCoreMocker):
    """respx for openai 3, which stands on httpx2 and httpcore2."""

    name = "httpcore2"
    targets = [target.replace("httpcore.", "httpcore2.") for target in HTTPCoreMocker.targets]  # noqa: RUF012

    @classmethod
    def from_sync_httpx_response(cls, httpx_response: httpx.Response, target: object, **kwargs: object) -> Any:
        """Answer in httpcore2's own class."""
        import httpcore2

        return httpcore2.Response(
            status=httpx_response.status_code, headers=httpx_response.headers.raw, content=httpx_response.content
        )


@pytest.fixture
def wire() -> Iterator[respx.MockRouter]:
    """The provider's chat completions, on the wire."""
    with respx.mock(using="httpcore2", assert_all_called=False) as router:
        yield router


def answers(wire: respx.MockRouter, *contents: object) -> respx.Route:
    """Have the provider send these contents, one after the other."""
    replies = [httpx.Response(200, json=completion(content)) for content in contents]
    return wire.post(URL).mock(side_effect=replies)


def ask(model: ModelClassifier, body: str = CANARY, seconds: float = 5.0) -> ModelAnswer:
    """Ask once and close."""

    async def work() -> ModelAnswer:
        try:
            return await model.ask(model.question("Card", body), Budget(seconds))
        finally:
            await model.aclose()

    return run(work)


def sent(route: respx.Route, number: int = 0) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(route.calls[number].request.content)
    return body


def test_an_answer_comes_back_as_plain_models_with_tokens_model_and_cost(wire: respx.MockRouter) -> None:
    answers(wire, GOOD)
    found = ask(classifier(price_prompt=1.0, price_cached=0.25, price_completion=4.0))
    assert found.said["urgency"].label == "critical"
    assert found.said["urgency"].factor == "impact"
    assert found.model == "made-up-1"
    assert found.tokens == Tokens(prompt=1200, cached=1024, completion=90)
    assert found.cost_usd == pytest.approx((176 * 1.0 + 1024 * 0.25 + 90 * 4.0) / 1_000_000)
    assert ModelAnswer.model_validate_json(found.model_dump_json()) == found
    assert not hasattr(found, "_raw_response")


def test_without_prices_no_cost_is_given(wire: respx.MockRouter) -> None:
    answers(wire, GOOD)
    assert ask(classifier()).cost_usd is None


def test_the_ticket_travels_last_as_json_in_the_user_role_and_nowhere_else(wire: respx.MockRouter) -> None:
    route = answers(wire, GOOD)
    ask(classifier())
    messages = sent(route)["messages"]
    assert messages[:-1] == PROMPT.messages(PLAYBOOK)
    assert messages[-1] == {
        "role": "user",
        "content": json.dumps({"subject": "Card", "body": CANARY}, separators=(",", ":")),
    }
    assert CANARY not in json.dumps(messages[:-1])


def test_the_schema_asks_for_quote_and_reason_before_the_label(wire: respx.MockRouter) -> None:
    route = answers(wire, GOOD)
    ask(classifier())
    wanted = sent(route)["response_format"]["json_schema"]["schema"]
    for name in ("urgency", "issue_type", "escalation"):
        keys = list(wanted["properties"][name]["properties"])
        assert keys.index("quote") < keys.index("reason") < keys.index("label")
        assert wanted["properties"][name]["properties"]["label"]["enum"] == list(PLAYBOOK.dimensions[name].names)


def test_the_request_asks_for_no_compression_and_carries_the_limits(wire: respx.MockRouter) -> None:
    route = answers(wire, GOOD)
    ask(classifier(max_completion_tokens=333, temperature=0.25))
    assert route.calls[0].request.headers["accept-encoding"] == "identity"
    assert sent(route)["max_completion_tokens"] == 333
    assert sent(route)["temperature"] == 0.25
    assert sent(route)["model"] == "made-up"


def test_an_invalid_answer_is_shown_to_the_model_with_the_problem_and_asked_once_more(wire: respx.MockRouter) -> None:
    wrong = {**GOOD, "urgency": {**GOOD["urgency"], "label": "apocalyptic"}}
    route = answers(wire, wrong, GOOD)
    found = ask(classifier())
    assert found.attempts == 2
    assert found.tokens.prompt == 2400
    *_, ticket, echo, problem = sent(route, 1)["messages"]
    assert CANARY in ticket["content"]
    assert "apocalyptic" in echo["content"]
    assert "urgency.label: Input should be 'critical'" in problem["content"]


def test_a_long_invalid_answer_is_not_sent_back_whole(wire: respx.MockRouter) -> None:
    route = answers(wire, {**GOOD, "made_up": "a" * 20_000}, GOOD)
    ask(classifier())
    assert len(sent(route, 1)["messages"][-2]["content"]) <= 2_000


def test_tools_mode_reads_the_one_call_and_refuses_two(wire: respx.MockRouter) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "Triage", "arguments": json.dumps(GOOD)}}
    one, two = (completion(None, tool_calls=[call] * number) for number in (1, 2))
    wire.post(URL).mock(side_effect=[httpx.Response(200, json=reply) for reply in (two, two, one)])
    with pytest.raises(ModelAnswerInvalid):
        ask(classifier(structured_output="tools"))
    assert ask(classifier(structured_output="tools")).said["issue_type"].label == "safety"


def test_json_mode_puts_the_schema_into_the_prompt(wire: respx.MockRouter) -> None:
    route = answers(wire, GOOD)
    assert ask(classifier(structured_output="json")).attempts == 1
    assert sent(route)["response_format"] == {"type": "json_object"}
    assert '"issue_type"' in sent(route)["messages"][0]["content"]


def test_a_secondary_issue_that_repeats_or_is_the_main_one_is_dropped(wire: respx.MockRouter) -> None:
    answers(wire, {**GOOD, "secondary_issues": ["outage", "outage", "safety"]})
    assert ask(classifier()).secondary_issues == ("outage",)


def test_after_five_failures_nobody_asks_until_the_probe_time_has_passed(wire: respx.MockRouter) -> None:
    route = wire.post(URL).mock(return_value=httpx.Response(500))
    model = classifier()

    async def work() -> list[FallbackReason]:
        reasons = []
        for _ in range(7):
            with pytest.raises(ModelError) as caught:
                await model.ask(model.question("", "b"), Budget(5))
            reasons.append(caught.value.reason)
        await model.aclose()
        return reasons

    reasons = run(work)
    assert reasons == [FallbackReason.PROVIDER_5XX] * 5 + [FallbackReason.BREAKER_OPEN] * 2
    assert route.call_count == 10
    assert model.breaker.state == "open"


def test_a_caller_in_too_great_a_hurry_does_not_open_the_breaker(wire: respx.MockRouter) -> None:
    wire.post(URL).mock(return_value=httpx.Response(200, json=completion(GOOD)))
    model = classifier()

    async def work() -> None:
        for _ in range(20):
            with pytest.raises(ModelError, match="timeout"):
                await model.ask(model.question("", "b"), Budget(0))
        await model.aclose()

    run(work)
    assert model.breaker.allows()


def test_warm_up_never_raises_and_probe_says_what_is_wrong(wire: respx.MockRouter) -> None:
    wire.get("https://api.openai.com/v1/models").mock(return_value=httpx.Response(500))
    wire.post(URL).mock(
        side_effect=[httpx.Response(200, json=completion("o", finish="length")), httpx.Response(401, json={})]
    )
    model = classifier()

    async def work() -> None:
        await model.warm_up()
        await model.probe()
        with pytest.raises(ModelError, match="correct api_key"):
            await model.probe()
        await model.aclose()

    run(work)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(httpx.Response(500, text=CANARY), id="error-body-with-the-ticket"),
        pytest.param(httpx.Response(400, json={"error": {"message": CANARY, "code": CANARY}}), id="bad-request"),
        pytest.param(httpx.Response(200, json=completion({"urgency": CANARY, CANARY: KEY})), id="wrong-keys"),
        pytest.param(httpx.Response(200, text=CANARY), id="no-json"),
        pytest.param(httpx.Response(200, json=completion(CANARY)), id="an-answer-in-prose"),
        pytest.param(httpx.Response(200, json=completion(GOOD)), id="a-good-answer"),
    ],
)
def test_ticket_and_key_reach_no_log_and_no_error_even_at_debug(
    wire: respx.MockRouter, caplog: pytest.LogCaptureFixture, reply: httpx.Response
) -> None:
    wire.post(URL).mock(return_value=reply)
    caplog.set_level(logging.DEBUG)
    model = classifier()
    caplog.set_level(logging.DEBUG, "openai")
    caplog.set_level(logging.DEBUG, "instructor")
    caplog.set_level(logging.DEBUG, "httpcore2")
    said = repr(vars(model))
    error = failure_of(model)
    if error is not None:
        assert error.__cause__ is None
        assert error.__context__ is None
        said += repr(error) + repr(vars(error)) + "".join(traceback.format_exception(error))
    said += caplog.text
    assert "CANARY" not in said


def failure_of(model: ModelClassifier) -> ModelError | None:
    try:
        ask(model)
    except ModelError as error:
        return error
    return None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"model": "openai/other"}, id="model"),
        pytest.param({"base_url": "http://127.0.0.1:9/v1"}, id="address"),
        pytest.param({"temperature": 0.5}, id="temperature"),
        pytest.param({"max_completion_tokens": 500}, id="token-limit"),
        pytest.param({"structured_output": "json"}, id="structured-output"),
    ],
)
def test_the_identity_changes_with_whatever_changes_the_question(change: dict[str, Any]) -> None:
    assert classifier().identity == classifier(deadline_s=3).identity
    assert classifier(**change).identity != classifier().identity


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/v1", "http://2852039166/v1", "http://0xA9FEA9FE/", "http://169.254.43518/v1",
        "http://[fe80::1]/v1", "http://[::ffff:169.254.169.254]/v1", "http://[fd00:ec2::254]/v1",
        "http://[::169.254.169.254]/v1", "http://[64:ff9b::a9fe:a9fe]/v1", "http://[64:ff9b:1::169.254.169.254]/v1",
        "http://[2002:a9fe:a9fe::1]/v1", "http://[fe80::5efe:a9fe:a9fe]/v1", "http://[2001:db8::5efe:a9fe:a9fe]/v1",
        "http://[::ffff:0:100.100.100.200]/v1", "http://[2001:0:a9fe:a9fe::1]/v1",
        "http://metadata.google.internal/v1", "http://METADATA.google.internal./v1", "http://100.100.100.200/v1",
        "https://user:secret@example.org/v1", "http:///v1",
    ],
)  # fmt: skip
def test_an_address_that_tickets_may_not_go_to_is_refused_in_one_line(address: str) -> None:
    with pytest.raises(ConfigError, match="base_url") as caught:
        classifier(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8080/v1", "http://localhost:11434/v1", "http://10.0.0.5/v1", "https://[::1]:8/v1",
        "http://[64:ff9b::a00:5]/v1", "http://[fd12::5]:8080/v1",
    ],
)  # fmt: skip
def test_an_address_of_ones_own_network_is_taken(address: str) -> None:
    assert classifier(address).model == "made-up"


def test_no_model_and_no_key_are_told_in_one_line() -> None:
    with pytest.raises(ConfigError, match="--model"):
        classifier(model="rules")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        classifier(api_key=None)


@pytest.mark.parametrize(
    ("status", "headers", "body", "reason"),
    [
        pytest.param(429, {"retry-after-ms": "60000"}, {}, "rate_limited", id="wait-in-milliseconds"),
        pytest.param(503, {"retry-after": "soon"}, {}, "provider_5xx", id="a-wait-that-is-none"),
        pytest.param(400, {}, {"message": "maximum context length is 8"}, "too_long", id="context-length-in-words"),
        pytest.param(400, {}, {"param": "max_tokens"}, "provider_4xx", id="a-parameter-that-was-not-sent"),
        pytest.param(418, {}, {}, "provider_4xx", id="a-status-without-a-name"),
    ],
)
def test_a_status_has_its_reason(
    wire: respx.MockRouter, status: int, headers: dict[str, str], body: object, reason: str
) -> None:
    route = wire.post(URL).mock(return_value=httpx.Response(status, headers=headers, json={"error": body}))
    error = failure_of(classifier())
    assert error is not None
    assert error.reason == reason
    assert error.attempts == route.call_count == 1


def test_a_model_that_wants_the_other_name_of_the_token_limit_gets_it(wire: respx.MockRouter) -> None:
    url = "http://127.0.0.1:9/v1"
    refused = httpx.Response(400, json={"error": {"param": "max_tokens", "code": "unsupported_parameter"}})
    route = wire.post(f"{url}/chat/completions").mock(side_effect=[refused, httpx.Response(200, json=completion(GOOD))])
    assert ask(classifier(url)).attempts == 2
    assert "max_tokens" in sent(route)
    assert "max_completion_tokens" in sent(route, 1)

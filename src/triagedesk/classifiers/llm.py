"""The language model classifier: one question, one deadline, at most two requests, one reason if it fails."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx2
import instructor
import openai  # noqa: TID251 - this is the file that talks to the vendor

from triagedesk.budget import Budget, Clock
from triagedesk.classifiers.answer import Answer, answer_model
from triagedesk.classifiers.attempts import Call, Wire, in_two_tries
from triagedesk.classifiers.breaker import Breaker
from triagedesk.classifiers.faults import translated
from triagedesk.classifiers.limits import Ears, slots_in
from triagedesk.classifiers.reply import Completion, read_completion
from triagedesk.classifiers.transport import NO_TIMEOUT, check_base_url, hush_vendors, open_client
from triagedesk.errors import ConfigError, FallbackReason, ModelError, ModelUnavailable
from triagedesk.models import ModelAnswer, Tokens
from triagedesk.playbook import Playbook
from triagedesk.prompts import Prompt, question_json
from triagedesk.settings import Settings
from triagedesk.tracing import Kind, Used, of_answer, of_model, span
from triagedesk.tracing import headers as trace_headers

_OPENAI_URL = "https://api.openai.com/v1"
_MODES = {
    "json_schema": instructor.Mode.JSON_SCHEMA, "json": instructor.Mode.JSON, "tools": instructor.Mode.TOOLS,
}  # fmt: skip
_SLOTS_S = 2.0
_COUNTS_FROM_S = 1.0
"""A timeout of a caller with less time than this says nothing about the provider."""

T = TypeVar("T", bound=Used)
A = TypeVar("A", bound=Answer)


class ModelClassifier:
    """Asks one model of one OpenAI-compatible server. Build it once, close it with `aclose`.

    `base_url` and `place` are for a local server: its address changes from run to run, so `place` names it in the
    identity. Raises ConfigError where no model is configured, or its address may not be used.
    """

    def __init__(
        self, settings: Settings, playbook: Playbook, prompt: Prompt, *, base_url: str | None = None,
        place: str | None = None, clock: Clock = time.monotonic,
    ) -> None:  # fmt: skip
        provider, _, name = (settings.chosen_model or "").partition("/")
        if not name:
            raise ConfigError("no model is configured; set OPENAI_API_KEY, or pass --model openai/NAME")
        self._settings, self._is_local = settings, provider == "local"
        self.model = Path(name).name if self._is_local else name
        self._base_url = check_base_url(base_url or settings.base_url or _OPENAI_URL)
        if settings.api_key is None and self._base_url == _OPENAI_URL:
            raise ConfigError("set OPENAI_API_KEY, or pass --model rules")
        self._static = self._opening = prompt.messages(playbook)
        self._answer: type[Answer] = answer_model(playbook)
        self._parameters = self._sampling()
        self._facts = of_model(provider, self.model, self._base_url, self._parameters)
        self.prompt_identity = prompt.identity
        self.schema_hash = self._answer.schema_hash
        self.identity = self._identify(place or self._base_url)
        self.breaker = Breaker(
            settings.breaker_failures, settings.breaker_window_s, settings.breaker_probe_s, clock=clock
        )
        self.ears = Ears()
        self._client = self._open_client(settings)
        self._create: Callable[..., Awaitable[Any]] = instructor.patch(
            create=self._post, mode=_MODES[settings.structured_output]
        )
        hush_vendors()

    def _open_client(self, settings: Settings) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            api_key=settings.api_key.get_secret_value() if settings.api_key else "none",
            base_url=self._base_url,
            max_retries=0,  # tenacity below is the one owner of retries
            timeout=NO_TIMEOUT,
            http_client=open_client(settings.max_concurrency + settings.max_late_answers, ears=self.ears),
        )

    def _sampling(self) -> dict[str, Any]:
        limit = "max_completion_tokens" if self._base_url == _OPENAI_URL else "max_tokens"
        return {
            "model": self.model, "temperature": self._settings.temperature,
            limit: self._settings.max_completion_tokens,
        }  # fmt: skip

    def _identify(self, place: str) -> str:
        """Hash everything that makes the question but the ticket."""
        parts = [
            place, self._settings.structured_output, self.prompt_identity, self.schema_hash, self._parameters,
            self._static,  # the playbook as rendered: a change of policy alone must not forget what was answered
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()

    @property
    def labels(self) -> dict[str, frozenset[str]]:
        """The labels that the model may choose from, by dimension."""
        asked = self._answer.schema_["properties"]
        return {name: frozenset(asked[name]["properties"]["label"]["enum"]) for name in self._answer.names}

    def question(self, subject: str, body: str, **more: str | None) -> str:
        """Return the question about a ticket: canonical JSON of its (redacted) words."""
        return question_json(subject, body, **more)

    async def ask(self, question: str, budget: Budget) -> ModelAnswer:
        """Ask the model.

        Raises ModelError with its closed reason, within the budget (and its late seconds) whatever the server does.
        """
        return await self.make(self._call(question), self._once, budget)

    async def make(self, call: Call, once: Callable[[Call], Awaitable[T]], budget: Budget) -> T:
        """Make a call under breaker and budget, by `once` for each request of it. Raises ModelError as `ask` does."""
        if budget.left() <= 0:
            raise ModelUnavailable(FallbackReason.TIMEOUT, "no time was left to ask", attempts=0)
        if not self.breaker.allows():
            raise ModelUnavailable(FallbackReason.BREAKER_OPEN, "recent failures; not asked", attempts=0)
        try:
            answer = await self._in_time(call, once, budget)
        except ModelError as wrong:
            wrong.attempts = call.attempts
            self._record(wrong, budget)
            raise _bare(wrong) from None
        except BaseException:
            # The caller went away. That is the provider's fault only if its time was up.
            if budget.left() <= 0:
                self._record(ModelUnavailable(FallbackReason.TIMEOUT), budget)
            raise
        self._record(ModelUnavailable(FallbackReason.TIMEOUT) if budget.is_over() else None, budget)
        return answer

    async def _in_time(self, call: Call, once: Callable[[Call], Awaitable[T]], budget: Budget) -> T:
        with span(f"chat {self.model}", self._facts, kind=Kind.CLIENT) as told:
            with anyio.move_on_after(budget.left_late()):
                answer = await in_two_tries(once, call, budget)
                told.tell(of_answer(answer))
                return answer
            raise ModelUnavailable(FallbackReason.TIMEOUT, "the deadline passed", attempts=call.attempts)

    def _record(self, wrong: ModelError | None, budget: Budget) -> None:
        """Tell the breaker. A caller in too great a hurry says nothing about the provider."""
        if wrong is None:
            self.breaker.succeeded()
        elif wrong.reason is not FallbackReason.TIMEOUT or budget.seconds >= min(
            _COUNTS_FROM_S, self._settings.deadline_s
        ):
            self.breaker.record(wrong)

    async def _once(self, call: Call) -> ModelAnswer:
        """Send one request and take the answer out of instructor's luggage."""
        return self._plain(await self.complete(self._answer, call), call)

    async def complete(self, kind: type[A], call: Call) -> A:
        """Send one request through instructor and read the reply as an answer of this kind. Raises ModelError."""
        with translated():
            found: A = await self._create(
                response_model=kind, messages=call.messages, max_retries=0, call=call, **call.parameters
            )
        return found

    async def _post(self, *, call: Call | None = None, **body: Any) -> Completion:
        """Be `create` to instructor: the SDK's public post, and our own reading of the reply."""
        if call is not None:
            call.attempts += 1
            call.completion = None
        wire = self._send if call is None or call.wire is None else call.wire
        reply, content_type = await wire(body)
        completion = read_completion(reply, content_type, tools="tools" in body)
        if call is not None:
            call.received(completion)
        return completion

    async def _send(self, body: dict[str, Any]) -> tuple[bytes, str]:
        response = await self._client.post(
            "/chat/completions", body=body, cast_to=httpx2.Response, options={"headers": trace_headers()}
        )
        return response.content, response.headers.get("content-type", "").lower()

    async def request_body(self, question: str) -> dict[str, Any]:
        """Return the body that `ask` would send now, for a request that travels in another way than a live call."""
        sent: list[dict[str, Any]] = []

        async def caught(body: dict[str, Any]) -> tuple[bytes, str]:
            sent.append(body)
            return b"", ""  # no completion, so nothing is read from it

        with suppress(ModelError):
            await self._once(self._call(question, wire=caught))
        return sent[0]

    async def read_reply(self, reply: bytes) -> ModelAnswer:
        """Read the completion that came for a `request_body`, just as `ask` reads one.

        Raises ModelError with its closed reason.
        """

        async def came(_: dict[str, Any]) -> tuple[bytes, str]:
            return reply, ""

        try:
            return await self._once(self._call("{}", wire=came))
        except ModelError as wrong:
            raise _bare(wrong) from None

    def _call(self, question: str, wire: Wire | None = None) -> Call:
        return Call([*self._static, {"role": "user", "content": question}], self._parameters, wire)

    def _plain(self, answer: Answer, call: Call) -> ModelAnswer:
        told = call.completion.model if call.completion and not self._is_local else ""
        return ModelAnswer(
            said=answer.said(), secondary_issues=answer.other_issues(), model=told or self.model,
            tokens=call.tokens, attempts=call.attempts, cost_usd=self._cost(call.tokens),
        )  # fmt: skip

    def _cost(self, tokens: Tokens) -> float | None:
        """USD, from the settings' prices per million tokens; None without them."""
        prompt, completion = self._settings.price_prompt, self._settings.price_completion
        if prompt is None or completion is None:
            return None
        cached = self._settings.price_cached if self._settings.price_cached is not None else prompt
        fresh = max(0, tokens.prompt - tokens.cached)
        return (fresh * prompt + tokens.cached * cached + tokens.completion * completion) / 1_000_000

    async def warm_up(self, seconds: float | None = None) -> None:
        """Pay what the first call would pay: connection and code paths; of a local model, the whole static prompt.

        Takes `seconds` at most (default: 5, local 300) and never raises: what is wrong shows at the first question.
        """
        with anyio.move_on_after(seconds if seconds is not None else 300.0 if self._is_local else 5.0):
            with suppress(ModelError):  # any failure here is found, and named, by the first question
                if self._is_local:
                    await self._tiny([*self._opening, {"role": "user", "content": "{}"}])
                else:
                    await self._list_models()

    async def probe(self, seconds: float | None = None) -> None:
        """Make one tiny real call, past the breaker, within `seconds` (default: the deadline). Raises ModelError."""
        seconds = self._settings.deadline_s if seconds is None else seconds
        with anyio.move_on_after(seconds):
            try:
                await self._tiny([{"role": "user", "content": "Say ok."}])
            except ModelError as wrong:
                if wrong.reason is not FallbackReason.INCOMPLETE:  # one token is meant to be cut off
                    raise
            return
        raise ModelUnavailable(FallbackReason.TIMEOUT, f"no answer within {seconds:g} s")

    async def _tiny(self, messages: list[dict[str, str]]) -> None:
        limit = {name: 1 for name in self._parameters if name.startswith("max_")}
        with translated():
            await self._post(**{**self._parameters, **limit}, messages=messages)

    async def _list_models(self) -> None:
        with translated():
            await self._client.get("/models", cast_to=httpx2.Response)

    async def slots(self) -> int | None:
        """Return how many questions the server works on at once, where it is llama.cpp's and says so; else None."""
        if self._is_local and self._settings.base_url is None:
            return 1  # as classifiers/local.py starts it
        root = self._base_url.removesuffix("/v1")
        for path in ("/props", "/slots") if self._base_url != _OPENAI_URL else ():
            with suppress(ModelError), anyio.move_on_after(_SLOTS_S), translated():
                reply = await self._client.get(f"{root}{path}", cast_to=httpx2.Response)
                if (slots := slots_in(reply.content)) is not None:
                    return slots
        return None

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.close()


def _bare(wrong: ModelError) -> ModelError:
    """Leave the vendor's errors and frames behind: they hold the ticket, and error trackers show them."""
    wrong.__context__ = None
    return wrong.with_traceback(None)

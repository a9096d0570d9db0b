"""The one owner of retries: at most two requests a ticket, and the second only where it can help and still fits."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from triagedesk.budget import Budget
from triagedesk.classifiers.faults import ParameterRefused, PromptTooLong
from triagedesk.classifiers.reply import Completion
from triagedesk.errors import FallbackReason, ModelAnswerInvalid, ModelUnavailable
from triagedesk.models import Tokens

MAX_REQUESTS = 2
"""Requests a ticket may cost, whatever goes wrong (RELIABILITY target 3)."""

LEAST_RETRY_S = 0.15
"""No second request starts with less than this left before the caller's deadline."""

JITTER_S = (0.02, 0.1)
WORTH_CUTTING_CHARS = 1_000
MAX_ECHO_CHARS = 2_000
"""As much of an invalid answer is shown to the model again."""

T = TypeVar("T")
Wire = Callable[[dict[str, Any]], Awaitable[tuple[bytes, str]]]
"""Takes a request's body and returns the reply's bytes and content type."""


class Call:
    """What one question has sent, used and seen so far. `parameters` are the classifier's own, shared by all calls.

    `wire` is how the request travels where it is not a live call.
    """

    __slots__ = ("attempts", "completion", "messages", "parameters", "pause_s", "tokens", "wire")

    def __init__(self, messages: list[dict[str, str]], parameters: dict[str, Any], wire: Wire | None = None) -> None:
        self.messages, self.parameters, self.wire = messages, parameters, wire
        self.attempts, self.pause_s = 0, 0.0
        self.tokens = Tokens()
        self.completion: Completion | None = None

    def received(self, completion: Completion) -> None:
        """Keep a reply and count its tokens."""
        seen, new = self.tokens, completion.tokens
        self.completion = completion
        self.tokens = Tokens(
            prompt=seen.prompt + new.prompt, cached=seen.cached + new.cached,
            completion=seen.completion + new.completion,
        )  # fmt: skip

    def mend(self, wrong: BaseException) -> bool:
        """Change the next request so that it may succeed. Says whether there is any use in sending it."""
        if isinstance(wrong, ParameterRefused):
            return self._leave_off(wrong.parameter)
        if isinstance(wrong, PromptTooLong):
            return self._shorten(wrong.fits)
        if isinstance(wrong, ModelAnswerInvalid) and self.completion is not None:
            self._ask_again(wrong.detail, self.completion.text[:MAX_ECHO_CHARS])
        return True

    def _ask_again(self, problem: str, answer: str) -> None:
        again = f"That answer is invalid: {problem}. Give the whole answer again, as one JSON object of the schema."
        self.messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": again}]

    def _leave_off(self, parameter: str) -> bool:
        """Leave a parameter off from now on; the token limit has two names."""
        value = self.parameters.pop(parameter, None)
        if parameter == "max_tokens" and value is not None:
            self.parameters["max_completion_tokens"] = value
        return value is not None

    def _shorten(self, fits: float | None) -> bool:
        """Cut the ticket's body to what fits and a little more; to half where the server gives no figure.

        A short ticket is not what makes a prompt too long: it stays whole, and nothing is sent again.
        """
        ticket = json.loads(self.messages[-1]["content"])
        body = ticket["body"]
        total = sum(len(message["content"]) for message in self.messages)
        surplus = len(body) // 2 if fits is None else int(total * (1 - fits) * 1.3) + 1_000
        if surplus >= len(body) or len(body) < WORTH_CUTTING_CHARS:
            return False
        ticket["body"] = body[: len(body) - surplus]
        text = json.dumps(ticket, ensure_ascii=False, separators=(",", ":"))
        self.messages[-1] = {"role": "user", "content": text}
        return True


async def in_two_tries(once: Callable[[Call], Awaitable[T]], call: Call, budget: Budget) -> T:
    """Try, and try once more where that can help and the budget allows. Raises what the last try raised."""

    def again(wrong: BaseException) -> bool:
        pause = _pause(wrong)
        if pause is None or call.attempts >= MAX_REQUESTS or budget.left() < pause + LEAST_RETRY_S:
            return False
        call.pause_s = pause
        return call.mend(wrong)

    def wait(_: RetryCallState) -> float:
        return call.pause_s

    retrying = AsyncRetrying(
        stop=stop_after_attempt(MAX_REQUESTS), retry=retry_if_exception(again), wait=wait, sleep=anyio.sleep,
        reraise=True,
    )  # fmt: skip
    answer: T = await retrying(once, call)
    return answer


def _pause(wrong: BaseException) -> float | None:
    """Return how long to wait before asking again, in seconds; None: asking again cannot help."""
    if isinstance(wrong, ModelAnswerInvalid | PromptTooLong | ParameterRefused):
        return 0.0
    if not isinstance(wrong, ModelUnavailable) or wrong.reason is FallbackReason.TIMEOUT:
        return None
    return random.uniform(*JITTER_S) if wrong.retry_after_s is None else wrong.retry_after_s  # noqa: S311 - jitter

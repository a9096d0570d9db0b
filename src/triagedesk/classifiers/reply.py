"""Reading a chat completion ourselves: every way in which a 200 is none gets its reason here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from openai.types import CompletionUsage  # noqa: TID251 - instructor's usage counter knows only the vendor's own class
from pydantic_core import from_json

from triagedesk.errors import FallbackReason, ModelAnswerInvalid, ModelError, ModelRefused
from triagedesk.models import Tokens

MAX_ANSWER_CHARS = 32 * 1024
"""An answer beyond this is hostile: the schema has room for about 3,000 characters."""

_HOSTILE = ("recursion", "surrogate", "hex escape", "control character")
"""Words of the JSON parser for what no completion holds; other broken JSON may be a reply cut short."""

# instructor adds usage up by itself and searches for another vendor's package when it finds none. We count our own
# tokens, so it gets a zero.
_NO_USAGE = CompletionUsage(prompt_tokens=0, completion_tokens=0, total_tokens=0)


@dataclass(slots=True)
class Function:
    """A function call's arguments."""

    arguments: str
    name: str = ""


@dataclass(slots=True)
class ToolCall:
    """A tool call, as instructor reads it."""

    function: Function


@dataclass(slots=True)
class Message:
    """A message, as instructor reads it: content, or one tool call."""

    content: str
    tool_calls: list[ToolCall] | None = None
    refusal: None = None
    role: str = "assistant"


@dataclass(slots=True)
class ReplyChoice:
    """The one choice of a completion."""

    message: Message
    finish_reason: str = "stop"


@dataclass(slots=True)
class Completion:
    """A chat completion that holds one answer of bounded length."""

    choices: list[ReplyChoice]
    model: str
    tokens: Tokens
    usage: CompletionUsage = field(default_factory=lambda: _NO_USAGE)

    @property
    def text(self) -> str:
        """The answer's text."""
        return self.choices[0].message.content


def read_completion(body: bytes, content_type: str = "", *, tools: bool = False) -> Completion:
    """Read a reply's bytes.

    Raises ModelAnswerInvalid where asking again may help (broken JSON, no answer in it) and ModelRefused where it will
    not (HTML, an error object, a refusal, a reply cut off by the token limit). No message holds words of the reply.
    """
    reply = _json_object(body, content_type)
    choice = _only_choice(reply)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise _no_completion("a choice without message")
    _check_finish(choice.get("finish_reason"), message)
    text = _tool_arguments(message) if tools else message.get("content")
    if not isinstance(text, str) or not text.strip():
        raise ModelAnswerInvalid(FallbackReason.INVALID_OUTPUT, "it is empty")
    if len(text) > MAX_ANSWER_CHARS:
        raise _no_completion("an answer of more than 32,768 characters")
    text = _unfenced(text)
    calls = [ToolCall(Function(text))] if tools else None
    return Completion([ReplyChoice(Message(text, calls))], _name(reply.get("model")), _tokens(reply.get("usage")))


def _json_object(body: bytes, content_type: str) -> dict[str, Any]:
    start = body[:64].lstrip()
    if start.startswith(b"<") or content_type.startswith(("text/html", "text/event-stream")):
        raise _no_completion("a web page or a stream; correct base_url, it mostly ends in /v1")
    try:
        body.decode("utf-8")
        reply = from_json(body, allow_inf_nan=False)
    except UnicodeDecodeError:
        raise _no_completion("bytes that are not UTF-8") from None
    except ValueError as wrong:
        if body.strip() and any(word in str(wrong) for word in _HOSTILE):
            raise _no_completion("JSON that no completion holds") from None
        raise ModelAnswerInvalid(FallbackReason.BAD_REPLY, "the reply is not JSON") from None
    if not isinstance(reply, dict):
        raise _no_completion("JSON, but no object")
    return reply


def _only_choice(reply: dict[str, Any]) -> dict[str, Any]:
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _no_completion("an error object" if reply.get("error") else "no choices")
    return choices[0]


def _check_finish(finish: object, message: dict[str, Any]) -> None:
    if message.get("refusal") or finish == "content_filter":
        raise ModelRefused(FallbackReason.REFUSED, "the model or its filter declined")
    if finish == "length":
        raise ModelRefused(FallbackReason.INCOMPLETE, "the answer was cut off; raise max_completion_tokens")


def _tool_arguments(message: dict[str, Any]) -> object:
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list) or len(calls) != 1:
        raise ModelAnswerInvalid(FallbackReason.INVALID_OUTPUT, "give exactly one tool call")
    function = calls[0].get("function") if isinstance(calls[0], dict) else None
    return function.get("arguments") if isinstance(function, dict) else None


def _unfenced(text: str) -> str:
    """Take off a Markdown fence, which servers that are not held to a schema put around JSON."""
    text = text.strip()
    if not text.startswith("```"):
        return text
    return text.partition("\n")[2].rpartition("```")[0].strip()


def _name(model: object) -> str:
    name = model if isinstance(model, str) else ""
    return "".join(char for char in name[:200] if char.isprintable())


def _tokens(usage: object) -> Tokens:
    if not isinstance(usage, dict):
        return Tokens()
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Tokens(
        prompt=_count(usage.get("prompt_tokens")), cached=_count(cached),
        completion=_count(usage.get("completion_tokens")),
    )  # fmt: skip


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1_000_000_000 else 0


def _no_completion(what: str) -> ModelError:
    return ModelRefused(FallbackReason.BAD_REPLY, f"the server sent {what}")

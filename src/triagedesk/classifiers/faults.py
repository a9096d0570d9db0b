"""Every vendor error translated once: about twelve unrelated classes become one tree with closed reasons.

Nothing of a vendor's message is kept: it may hold the ticket, the key, or bytes of a hostile server.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai  # noqa: TID251 - the vendor's errors end here

from triagedesk.errors import FallbackReason, ModelError, ModelRefused, ModelUnavailable

_RETRIED_STATUS = 500
_DETAIL = {
    400: "the server refused the request",
    401: "the key was refused; correct api_key or OPENAI_API_KEY",
    403: "the key may not use this model",
    404: "no such model or path; correct model or base_url, which mostly ends in /v1",
    422: "the server does not know a parameter; try another structured_output",
}


class PromptTooLong(ModelRefused):
    """The prompt exceeds the model's context. `fits` is the share of it that would fit, None if unknown."""

    def __init__(self, fits: float | None = None) -> None:
        super().__init__(FallbackReason.TOO_LONG, "the prompt exceeds the model's context")
        self.fits = fits


class ParameterRefused(ModelRefused):
    """The model does not take one of our parameters (newer OpenAI models: temperature, max_tokens)."""

    def __init__(self, parameter: str) -> None:
        super().__init__(FallbackReason.PROVIDER_4XX, f"the model does not take {parameter}")
        self.parameter = parameter


@contextmanager
def translated() -> Iterator[None]:
    """Let nothing of the vendor's out: whatever is raised inside becomes a ModelError. Cancellation passes."""
    try:
        yield
    except Exception as wrong:  # noqa: BLE001 - about twelve unrelated classes; the one boundary that may
        raise translate(wrong) from None


def translate(wrong: BaseException) -> ModelError:
    """Return our error for whatever the SDK, instructor or the HTTP client raised."""
    chain = list(_chain(wrong))
    for error in chain:
        if isinstance(error, ModelError):
            return error
    for error in chain:
        if isinstance(error, openai.APIStatusError):
            return _of_status(error)
    return _of_connection(chain) or ModelRefused(FallbackReason.BAD_REPLY, "the server sent no chat completion")


def _chain(wrong: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while wrong is not None and id(wrong) not in seen:
        seen.add(id(wrong))
        yield wrong
        wrong = wrong.__cause__ or wrong.__context__


def _of_connection(chain: list[BaseException]) -> ModelError | None:
    if any(isinstance(error, ssl.SSLError) for error in chain):
        return ModelRefused(FallbackReason.TLS, "no trusted connection; check https:// and the certificate")
    for kind, make in _CONNECTION:
        for error in chain:
            if isinstance(error, kind):
                return make(error)
    return None


def _protocol(error: BaseException) -> ModelError:
    # httpcore2's words for a connection that was closed before a byte of the reply.
    if "disconnected" in str(error):
        return ModelUnavailable(FallbackReason.CONNECT, "the server closed the connection")
    return ModelUnavailable(FallbackReason.PROTOCOL, "the reply is not proper HTTP")


# The first that stands anywhere in the chain decides.
_CONNECTION: tuple[tuple[type[BaseException], Callable[[BaseException], ModelError]], ...] = (
    (httpx2.PoolTimeout, lambda _: ModelRefused(FallbackReason.POOL, "no free connection in time")),
    (httpx2.ProtocolError, _protocol),
    (httpx2.TimeoutException, lambda _: ModelUnavailable(FallbackReason.TIMEOUT, "the connection timed out")),
    (httpx2.NetworkError, lambda _: ModelUnavailable(FallbackReason.CONNECT, "no connection to the model server")),
    (openai.APIConnectionError, lambda _: ModelUnavailable(FallbackReason.CONNECT, "no connection")),
)


def _of_status(error: openai.APIStatusError) -> ModelError:
    status, said = error.status_code, _said(error.body)
    if status == 429:
        return _rate_limit(error.response.headers, said)
    if status in (401, 403):
        return ModelRefused(FallbackReason.AUTH, _DETAIL[status])
    if status >= _RETRIED_STATUS:
        after = retry_after(error.response.headers)
        if after is not None and not math.isfinite(after):
            return ModelRefused(FallbackReason.PROVIDER_5XX, f"status {status}")
        return ModelUnavailable(FallbackReason.PROVIDER_5XX, f"status {status}", retry_after_s=after)
    if _is_too_long(status, said):
        return PromptTooLong(_share_that_fits(said))
    if status == 400 and said.get("param") in ("temperature", "max_tokens", "max_completion_tokens"):
        return ParameterRefused(str(said["param"]))
    return ModelRefused(FallbackReason.PROVIDER_4XX, f"status {status}: {_DETAIL.get(status, _DETAIL[400])}")


def _said(body: object) -> Mapping[str, Any]:
    """Return the error object that the server sent, whether the SDK unpacked it or not."""
    inner = body.get("error", body) if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) else {}


def _rate_limit(headers: Mapping[str, str], said: Mapping[str, Any]) -> ModelError:
    if "insufficient_quota" in (said.get("code"), said.get("type")):
        return ModelRefused(FallbackReason.QUOTA, "the account is out of quota; check the provider's billing")
    after = retry_after(headers)
    if after is not None and not math.isfinite(after):
        return ModelRefused(FallbackReason.RATE_LIMITED, "the server's Retry-After cannot be used")
    return ModelUnavailable(FallbackReason.RATE_LIMITED, "the server asks to wait", retry_after_s=after)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks to wait: None if it does not say, infinity if what it says is no wait.

    Understands `retry-after-ms`, seconds, and HTTP dates (RFC 9110, 10.2.3).
    """
    text = headers.get("retry-after-ms")
    scale = 1000.0
    if text is None:
        text, scale = headers.get("retry-after"), 1.0
    if text is None:
        return None
    try:
        seconds = float(text) / scale
    except ValueError:
        seconds = _until(text)
    return seconds if 0 <= seconds <= 86_400 else math.inf


def _until(text: str) -> float:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return math.inf
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _is_too_long(status: int, said: Mapping[str, Any]) -> bool:
    if status not in (400, 413):
        return False
    names = (said.get("code"), said.get("type"))
    message = said.get("message")
    words = message.lower() if isinstance(message, str) and len(message) < 2_000 else ""
    return (
        status == 413 or "context_length_exceeded" in names or "exceed_context_size_error" in names
        or "context length" in words or "context size" in words
    )  # fmt: skip


def _share_that_fits(said: Mapping[str, Any]) -> float | None:
    """llama.cpp says how many tokens it got and how many it takes."""
    got, takes = said.get("n_prompt_tokens"), said.get("n_ctx")
    if isinstance(got, int) and isinstance(takes, int) and 0 < takes < got:
        return takes / got
    return None

"""Every error this package raises, and who must act on it.

TriageError
├── ConfigError             the operator must fix something; never retried
│   └── PlaybookError       … in the playbook: carries file, line and what to do
├── TicketError             the caller sent something unusable; one line says what
└── ModelError              the model gave no usable answer; rules take over
    ├── ModelUnavailable    timeout, rate limit, 5xx: the only one retried
    ├── ModelRefused        bad key, bad request: retrying cannot help
    └── ModelAnswerInvalid  it answered, but never in our schema

No message ever holds ticket text or a key.
"""

from __future__ import annotations

from enum import StrEnum


class FallbackReason(StrEnum):
    """Why the rules answered instead of the model: one closed name per way of failing."""

    TIMEOUT = "timeout"  # the deadline passed before the model answered
    CONNECT = "connect"  # no connection, or it broke
    TLS = "tls"  # certificate or handshake
    PROTOCOL = "protocol"  # not HTTP, or broken HTTP
    OVERSIZE = "oversize"  # the reply exceeded the cap, or came compressed against our wish
    REDIRECT = "redirect"  # the server pointed elsewhere; nothing was sent on
    RATE_LIMITED = "rate_limited"  # 429 whose Retry-After does not fit
    QUOTA = "quota"  # 429 insufficient_quota
    PROVIDER_5XX = "provider_5xx"
    PROVIDER_4XX = "provider_4xx"
    AUTH = "auth"  # 401 or 403
    TOO_LONG = "too_long"  # the prompt exceeds the model's context
    BAD_REPLY = "bad_reply"  # not a chat completion at all
    INCOMPLETE = "incomplete"  # cut off by the token limit
    INVALID_OUTPUT = "invalid_output"  # a completion, but twice not in our schema
    REFUSED = "refused"  # the model or its content filter declined
    BREAKER_OPEN = "breaker_open"  # recent failures: not asked at all
    POOL = "pool"  # no free connection in time
    OVERLOADED = "overloaded"  # too many tickets in flight: shed to rules at once
    NO_MODEL = "no_model"  # no model is configured (no key)
    SHUTDOWN = "shutdown"  # the desk is closing
    BATCH_FAILED = "batch_failed"  # the provider refused a whole file, or had no room for this request of it
    BATCH_EXPIRED = "batch_expired"  # the provider did not come to it within its 24 hours
    BATCH_CANCELLED = "batch_cancelled"  # the provider's batch was cancelled before its turn
    BATCH_MISSING = "batch_missing"  # the provider's files hold no line for it, or it was never sent


class TriageError(Exception):
    """The root: catch this to catch all that is ours."""


class ConfigError(TriageError):
    """The operator must fix something: a setting, a file, a key. Exit code 2."""


class PlaybookError(ConfigError):
    """The playbook cannot be used.

    `where` is the file (or a name), `line` is 1-based or None, the message says what to do.
    """

    def __init__(self, message: str, *, where: str = "playbook", line: int | None = None) -> None:
        self.where, self.line, self.problem = where, line, message
        super().__init__(f"{where}:{line}: {message}" if line else f"{where}: {message}")


class TicketError(TriageError):
    """The caller sent something that is no ticket. Exit code 2, or a row in the error file."""


class ModelError(TriageError):
    """The model gave no usable answer; `reason` is its closed name.

    `attempts` counts the HTTP requests made; `retry_after_s` is the server's wish in seconds, if any.
    """

    def __init__(
        self, reason: FallbackReason, detail: str = "", *, attempts: int = 1, retry_after_s: float | None = None
    ) -> None:
        self.reason, self.detail, self.attempts, self.retry_after_s = reason, detail, attempts, retry_after_s
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)


class ModelUnavailable(ModelError):
    """Timeout, rate limit, connection or 5xx: may be retried while the deadline allows."""


class ModelRefused(ModelError):
    """Bad key, bad request, refusal: retrying cannot help."""


class ModelAnswerInvalid(ModelError):
    """The model answered, but not in our schema: asked once more, then given up."""

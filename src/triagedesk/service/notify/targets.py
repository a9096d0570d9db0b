"""Who is told: Slack channels, PagerDuty services, webhooks and mailboxes, as one YAML document.

    link: https://desk.example/tickets/{ticket_id}
    targets:
      - {type: slack, name: oncall, url: "env:SLACK_WEBHOOK_URL"}
      - {type: pagerduty, name: pager, routing_key: "file:/run/secrets/pagerduty", kinds: [critical]}

A secret is written in place, or as `env:NAME` or `file:PATH`. No message of this file repeats one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import httpx2
import yaml
from pydantic import AfterValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from triagedesk.classifiers.transport import check_base_url
from triagedesk.errors import ConfigError
from triagedesk.models import Frozen, one_line
from triagedesk.playbook.plain import refuse_tricks
from triagedesk.service.notify.mail import checked_address
from triagedesk.service.notify.notice import Kind
from triagedesk.service.notify.pagerduty import EVENTS_URL

MAX_FILE_BYTES = 256 * 1024
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _checked(value: SecretStr) -> SecretStr:
    """Refuse what alarms may not go to. The message never repeats the address: it may be the secret."""
    address = value.get_secret_value()
    try:
        check_base_url(address)
    except ConfigError as wrong:
        raise ValueError(str(wrong).removeprefix("base_url: ").replace("api_key", "a secret")) from None
    url = httpx2.URL(address)
    if url.scheme != "https" and url.host not in _LOOPBACK:
        raise ValueError("give an https:// address")
    return value


Address = Annotated[SecretStr, AfterValidator(_checked)]
"""Where alarms may go: https, or this machine."""


class _Target(Frozen):
    """What all have: a name (it stands in metrics), of what kinds, how often, and whether a quote is shown."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: str = Field(pattern=r"\A[a-z0-9_-]{1,40}\z")
    kinds: frozenset[Kind] = frozenset(Kind)
    quotes: bool = Field(default=True, description="send one short quote, without personal data")
    burst: int = Field(default=5, ge=1, le=100, description="how many may go at once before the rate holds")


class SlackTarget(_Target):
    """A channel, by its incoming webhook. The address is the secret. Slack takes one message a second."""

    type: Literal["slack"] = "slack"
    url: Address
    per_minute: float = Field(default=60, gt=0, le=6000)
    burst: int = Field(default=1, ge=1, le=100)


class PagerDutyTarget(_Target):
    """A service, by its Events API v2 integration key."""

    type: Literal["pagerduty"] = "pagerduty"
    routing_key: SecretStr
    url: Address = SecretStr(EVENTS_URL)
    source: str = Field(default="triagedesk", min_length=1, max_length=100)
    per_minute: float = Field(default=100, gt=0, le=6000)
    kinds: frozenset[Kind] = frozenset({Kind.CRITICAL, Kind.SLA_BREACH})

    @field_validator("routing_key")
    @classmethod
    def _whole(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value()
        if len(key) != 32 or not key.isalnum() or not key.isascii():
            raise ValueError("give the integration key of an Events API v2 integration: 32 letters and digits")
        return value


class WebhookTarget(_Target):
    """Any receiver, by a signed POST."""

    type: Literal["webhook"] = "webhook"
    url: Address
    secret: SecretStr = Field(min_length=16)
    per_minute: float = Field(default=300, gt=0, le=60_000)
    burst: int = Field(default=20, ge=1, le=1000)


class MailTarget(_Target):
    """Mailboxes, by an SMTP server."""

    type: Literal["mail"] = "mail"
    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: SecretStr | None = None
    sender: str
    recipients: tuple[str, ...] = Field(min_length=1, max_length=50)
    per_minute: float = Field(default=10, gt=0, le=600)

    @field_validator("sender", "recipients")
    @classmethod
    def _addresses(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for address in (value,) if isinstance(value, str) else value:
            try:
                checked_address(address)
            except ConfigError as wrong:
                raise ValueError(str(wrong)) from None
        return value

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("give username and password together")
        if self.security == "none" and self.password is not None and self.host not in _LOOPBACK:
            raise ValueError("a password goes only over starttls or tls")
        return self


Target = SlackTarget | PagerDutyTarget | WebhookTarget | MailTarget


class Targets(Frozen):
    """All who are told. `link` is a template of a ticket's address for people, with {ticket_id}."""

    link: str | None = Field(default=None, max_length=1000)
    targets: tuple[Annotated[Target, Field(discriminator="type")], ...] = Field(default=(), max_length=50)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        names = [target.name for target in self.targets]
        if len(set(names)) != len(names):
            raise ValueError("two targets have one name")
        if self.link is not None and not (self.link.startswith(("https://", "http://")) and self.link.isprintable()):
            raise ValueError("link: give an https:// address with {ticket_id}")
        return self


def load_targets(file: Path, environ: Mapping[str, str] | None = None) -> Targets:
    """Read the targets' file. Raises ConfigError with one line that says what to do, and never a value."""
    try:
        raw = file.read_bytes()
    except OSError as wrong:
        raise ConfigError(f"{file}: {wrong.strerror}; give a file of notification targets") from None
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(f"{file}: larger than {MAX_FILE_BYTES // 1024} KB")
    try:
        text = raw.decode("utf-8")
        refuse_tricks(text, str(file))
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        raise ConfigError(f"{file}: not YAML; check indentation and quotes") from None
    return read_targets(data, environ, where=str(file))


def read_targets(data: object, environ: Mapping[str, str] | None = None, *, where: str = "notify") -> Targets:
    """Build the targets from plain data. Raises ConfigError."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: write a mapping with a list of targets")
    env = os.environ if environ is None else environ
    rows = data.get("targets", [])
    filled = [_filled(row, env, where) for row in rows] if isinstance(rows, list) else rows
    try:
        return Targets.model_validate({**data, "targets": filled})
    except ValidationError as wrong:
        problem = one_line(wrong, names=_NAMES)
    raise ConfigError(f"{where}: {problem}")


_SECRETS = ("url", "routing_key", "secret", "password")
_NAMES = frozenset((
    "slack", "pagerduty", "webhook", "mail", *Targets.model_fields, *SlackTarget.model_fields,
    *PagerDutyTarget.model_fields, *WebhookTarget.model_fields, *MailTarget.model_fields,
))  # fmt: skip


def _filled(row: Any, env: Mapping[str, str], where: str) -> Any:
    """Return a target's row with its secrets read from where they are kept."""
    if not isinstance(row, Mapping):
        return row
    return {key: _secret(value, env, f"{where}: {key}") if key in _SECRETS else value for key, value in row.items()}


def _secret(value: Any, env: Mapping[str, str], where: str) -> Any:
    if not isinstance(value, str):
        return value
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        if not env.get(name):
            raise ConfigError(f"{where}: set the environment variable {name}")
        return env[name]
    if value.startswith("file:"):
        path = Path(value.removeprefix("file:"))
        try:
            return path.read_text("utf-8").strip()
        except (OSError, ValueError):
            raise ConfigError(f"{where}: {path} cannot be read") from None
    return value

"""From a target and an alarm to one attempt: which builder, which way out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import anyio
import httpx2

from triagedesk.service.notify.attempt import Attempt, Failure, Outgoing, post
from triagedesk.service.notify.mail import mail_message, send_mail
from triagedesk.service.notify.notice import Notice
from triagedesk.service.notify.pagerduty import pagerduty_event
from triagedesk.service.notify.slack import slack_message
from triagedesk.service.notify.targets import MailTarget, PagerDutyTarget, SlackTarget, Target, WebhookTarget
from triagedesk.service.notify.webhook import signed_headers, webhook_body

MAX_MAIL_THREADS = 4
NAME_LOOKUP_S = 5.0


class Sender(Protocol):
    """Makes one attempt; says what came of it instead of raising."""

    async def send(self, notice: Notice, delivery_id: str, now: datetime) -> Attempt:
        """Try once."""
        ...


def sender_for(target: Target, client: httpx2.AsyncClient, attempt_s: float) -> Sender:
    """Return what sends to a target; one attempt takes `attempt_s` seconds at most."""
    if isinstance(target, MailTarget):
        return _MailSender(target, attempt_s, anyio.CapacityLimiter(MAX_MAIL_THREADS))
    return _HttpSender(target, client, attempt_s)


def request_for(
    target: SlackTarget | PagerDutyTarget | WebhookTarget, notice: Notice, delivery_id: str, now: datetime
) -> Outgoing:
    """Write the request. A signature is made anew for each attempt: a receiver's window may have passed."""
    url = target.url.get_secret_value()
    if isinstance(target, SlackTarget):
        return Outgoing(url, _json(slack_message(notice)), _JSON)
    if isinstance(target, PagerDutyTarget):
        event = pagerduty_event(notice, routing_key=target.routing_key.get_secret_value(), source=target.source)
        return Outgoing(url, _json(event), _JSON)
    body = webhook_body(notice)
    secret = target.secret.get_secret_value()
    headers = signed_headers(body, secret=secret, timestamp=int(now.timestamp()), delivery_id=delivery_id)
    return Outgoing(url, body, headers)


_JSON = {"content-type": "application/json"}


def _json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class _HttpSender:
    target: SlackTarget | PagerDutyTarget | WebhookTarget
    client: httpx2.AsyncClient = field(repr=False)
    attempt_s: float

    async def send(self, notice: Notice, delivery_id: str, now: datetime) -> Attempt:
        request = request_for(self.target, notice, delivery_id, now)
        return await post(self.client, request, timeout_s=self.attempt_s, now=now)


@dataclass(frozen=True)
class _MailSender:
    target: MailTarget
    attempt_s: float
    threads: anyio.CapacityLimiter = field(repr=False)

    async def send(self, notice: Notice, delivery_id: str, now: datetime) -> Attempt:  # noqa: ARG002 - of Sender
        target = self.target
        message = mail_message(notice, sender=target.sender, recipients=target.recipients, message_id=delivery_id)
        with anyio.move_on_after(self.attempt_s + NAME_LOOKUP_S):  # no clock of ours ends a resolver's wait
            return await anyio.to_thread.run_sync(
                lambda: send_mail(target, message, timeout_s=self.attempt_s),
                abandon_on_cancel=True, limiter=self.threads,
            )  # fmt: skip
        return Attempt(Failure.TIMEOUT)

"""What a webhook route calls once: is it believed, is it understood, is it a customer's message."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType

from triagedesk.models import Ticket
from triagedesk.playbook.document import Document
from triagedesk.service.desks import chatwoot, freshdesk, generic, intercom, payload, proof, zammad, zendesk
from triagedesk.service.desks.adapter import Adapter, Headers, Inbound, Json, NotUnderstood, Refused
from triagedesk.service.desks.settings import DeskSettings, Proof

ADAPTERS: MappingProxyType[str, Adapter] = MappingProxyType({
    module.ADAPTER.kind: module.ADAPTER for module in (zendesk, freshdesk, intercom, zammad, chatwoot, generic)
})  # fmt: skip
"""Every kind of desk."""


def receive(
    settings: DeskSettings, headers: Headers, raw: bytes, now: datetime, token: str | None = None
) -> Inbound | Refused:
    """Return what a delivery holds, or why it is refused; `token` is what stood in the address behind the name.

    Not a byte of the body is parsed before it is believed. The caller remembers `delivery_id`.
    """
    refused = verify(settings, headers, raw, now, token)
    if refused is not None:
        return refused
    body = _parsed(settings, raw)
    if body is None:
        return Refused.NOT_JSON
    if _too_old(settings, body, now):
        return Refused.STALE
    return read(settings, body, raw)


def verify(
    settings: DeskSettings, headers: Headers, raw: bytes, now: datetime, token: str | None = None
) -> Refused | None:
    """Return why a delivery is not believed, or None; see `receive`."""
    form = settings.signature or ADAPTERS[settings.kind].signature
    return proof.prove(settings, form, headers, raw, now, token)


def read(settings: DeskSettings, body: Json, raw: bytes) -> Inbound | Refused:
    """Read a parsed body that is believed."""
    try:
        return ADAPTERS[settings.kind].read(settings, body, raw)
    except NotUnderstood:
        return Refused.NOT_UNDERSTOOD


def fitted(ticket: Ticket, document: Document) -> Ticket:
    """Return the ticket without a channel or tier that the playbook does not know; a desk's word fails no ticket."""
    return ticket.model_copy(update={
        "channel": ticket.channel if ticket.channel in document.channels else None,
        "customer_tier": ticket.customer_tier if ticket.customer_tier in document.tiers else None,
    })  # fmt: skip


def _parsed(settings: DeskSettings, raw: bytes) -> Json | None:
    body = payload.parse(raw)
    return ADAPTERS[settings.kind].mend(raw) if body is None else body


def _too_old(settings: DeskSettings, body: Json, now: datetime) -> bool:
    """Say whether a body that was signed without a timestamp tells a time that is too far away."""
    if settings.proof is not Proof.SIGNATURE:
        return False
    sent = ADAPTERS[settings.kind].sent_at(body)
    return sent is not None and abs((now - sent).total_seconds()) > settings.max_age_s

"""The words of the desks: what a delivery becomes, why one is refused or ignored, and what is sent back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from triagedesk.models import Ticket
from triagedesk.service.desks.settings import DeskSettings, Proof, SignatureFormat

Json = dict[str, Any]
Headers = Sequence[tuple[bytes, bytes]]
"""Raw headers as ASGI gives them: names may stand twice, values may be no ASCII."""


class Refused(StrEnum):
    """Why a delivery is not believed (401) or not understood (400): one closed name each."""

    MISSING_PROOF = "missing_proof"  # a header or the path token is absent
    DUPLICATE_HEADER = "duplicate_header"  # a header that proves something stands twice
    BAD_PROOF = "bad_proof"  # signature, secret, name or password is wrong
    BAD_TIMESTAMP = "bad_timestamp"  # not a time at all
    STALE = "stale"  # signed too long ago, or in the future
    NOT_JSON = "not_json"
    NOT_UNDERSTOOD = "not_understood"  # JSON, but without what this desk always sends

    @property
    def status(self) -> int:
        """The HTTP status that says so."""
        return 400 if self in (Refused.NOT_JSON, Refused.NOT_UNDERSTOOD) else 401


class Ignored(StrEnum):
    """Why a delivery that is believed is not classified."""

    OWN_TAG = "own_tag"
    AGENT_MESSAGE = "agent_message"
    INTERNAL_NOTE = "internal_note"
    NOT_CUSTOMER = "not_customer"
    NO_TEXT = "no_text"
    OTHER_EVENT = "other_event"
    PING = "ping"


class NotUnderstood(Exception):
    """A believed body lacks what its desk always sends; caught in `receive`, holds no text."""


@dataclass(frozen=True)
class Inbound:
    """A delivery that was believed: a ticket to classify, or the reason why not.

    `delivery_id` comes from what is signed, never from a header that is not, so that a replay cannot change it.
    `reference` is plain JSON: what `plan_writeback` needs to find the ticket again, and the tags seen on arrival.
    """

    desk: str
    delivery_id: str | None
    ticket: Ticket | None = field(repr=False)
    ignored: str | None
    reference: Json = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Request:
    """One call of a desk's API. The path follows the desk's `base_url`; credentials are added when it is sent.

    `once`: a second one would be seen (a note); it is not repeated when nobody knows whether the first was done.
    """

    method: str
    path: str
    headers: dict[str, str]
    json: Json = field(repr=False)
    once: bool = False

    def as_json(self) -> Json:
        """Return it as plain data, for a queue that survives a restart."""
        return {"method": self.method, "path": self.path, "headers": self.headers, "json": self.json, "once": self.once}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Request:
        """Read what `as_json` wrote."""
        return cls(data["method"], data["path"], dict(data["headers"]), dict(data["json"]), bool(data["once"]))


@dataclass(frozen=True)
class Change:
    """What is to be set on a ticket, in no desk's words yet. `None` and empty mean: leave as it is."""

    tags: tuple[str, ...] = ()
    note: tuple[str, ...] = field(default=(), repr=False)
    priority: str | None = None
    group: str | int | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Adapter:
    """One kind of desk as data and three functions; a new kind is a new value in `receive.ADAPTERS`.

    `sent_at` reads a signed time from the body where no timestamp header is signed. `authorise` gives the headers that
    carry the credentials. `priorities` are the desk's levels, most urgent first.
    """

    kind: str
    proofs: tuple[Proof, ...]
    signature: SignatureFormat | None
    priorities: tuple[str, ...]
    read: Callable[[DeskSettings, Json, bytes], Inbound]
    requests: Callable[[DeskSettings, Change, Json], tuple[Request, ...]]
    authorise: Callable[[DeskSettings], dict[str, str]]
    sent_at: Callable[[Json], datetime | None] = lambda _body: None
    mend: Callable[[bytes], Json | None] = lambda _raw: None

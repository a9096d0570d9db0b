"""Ids that sort by the time they were made: a prefix and 26 characters, as ULIDs are built."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 26
_RANDOM_BITS = 80
_TIME_BITS = 48


def new_id(prefix: str, now: datetime | None = None) -> str:
    """Return `prefix`, "_" and 26 characters of Crockford's base 32: 48 bits of milliseconds, 80 of chance."""
    moment = int((now or datetime.now(UTC)).timestamp() * 1000) & ((1 << _TIME_BITS) - 1)
    number = moment << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return f"{prefix}_" + "".join(_CROCKFORD[number >> 5 * place & 31] for place in reversed(range(_LENGTH)))


def is_id(text: str, prefix: str) -> bool:
    """Say whether a text has the form of an id, so that no other reaches the database."""
    body = text.removeprefix(f"{prefix}_")
    return len(text) == len(prefix) + 1 + _LENGTH and len(body) == _LENGTH and all(sign in _CROCKFORD for sign in body)

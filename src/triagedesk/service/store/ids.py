"""Ids that sort by the time they were made: a prefix and 26 characters, as ULIDs are built."""

from __future__ import annotations

import secrets
from base64 import b32encode
from datetime import UTC, datetime

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TO_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _CROCKFORD.encode())
_PADDING_BITS = 6
"""What 128 bits lack, with the two zeros that stand before them, to whole bytes of base 32."""
_LENGTH = 26
_RANDOM_BITS = 80
_TIME_BITS = 48


def new_id(prefix: str, now: datetime | None = None) -> str:
    """Return `prefix`, "_" and 26 characters of Crockford's base 32: 48 bits of milliseconds, 80 of chance."""
    moment = int((now or datetime.now(UTC)).timestamp() * 1000) & ((1 << _TIME_BITS) - 1)
    number = (moment << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)) << _PADDING_BITS
    digits = b32encode(number.to_bytes(17, "big"))[:_LENGTH].translate(_TO_CROCKFORD)
    return f"{prefix}_{digits.decode()}"


def is_id(text: str, prefix: str) -> bool:
    """Say whether a text has the form of an id, so that no other reaches the database."""
    body = text.removeprefix(f"{prefix}_")
    return len(text) == len(prefix) + 1 + _LENGTH and len(body) == _LENGTH and all(sign in _CROCKFORD for sign in body)

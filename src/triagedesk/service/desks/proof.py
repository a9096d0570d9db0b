"""Whether a delivery comes from whom it says: over the raw bytes, in constant time, within a window."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime

from triagedesk.service.desks.adapter import Headers, Refused
from triagedesk.service.desks.settings import DeskSettings, Proof, SignatureFormat

MAX_UNIX_DIGITS = 12


def sign(form: SignatureFormat, secret: str, raw: bytes, timestamp: str = "") -> str:
    """Return the value of the signature header for a body, as its sender makes it."""
    signed = f"{timestamp}{form.separator}".encode() + raw if form.timestamp_header else raw
    mac = hmac.new(secret.encode(), signed, getattr(hashlib, form.algorithm)).digest()
    return form.prefix + (mac.hex() if form.encoding == "hex" else base64.b64encode(mac).decode())


def prove(
    settings: DeskSettings,
    form: SignatureFormat | None,
    headers: Headers,
    raw: bytes,
    now: datetime,
    token: str | None = None,
) -> Refused | None:
    """Return why a delivery is not believed, or None when it is. `token` is what stood in the address.

    Only the proof that the settings name counts: another one, however right, does not stand in for it.
    """
    if settings.proof is Proof.SIGNATURE:
        return _signature(settings, form, headers, raw, now) if form is not None else Refused.BAD_PROOF
    if settings.proof is Proof.PATH:
        return Refused.MISSING_PROOF if not token else _equal(settings, "", token)
    if settings.proof is Proof.HEADER:
        value = _single(headers, settings.secret_header)
        return value if isinstance(value, Refused) else _equal(settings, "", value)
    return _authorization(settings, headers)


def _signature(
    settings: DeskSettings, form: SignatureFormat, headers: Headers, raw: bytes, now: datetime
) -> Refused | None:
    given = _single(headers, form.header)
    timestamp = _single(headers, form.timestamp_header) if form.timestamp_header else ""
    for part in (given, timestamp):
        if isinstance(part, Refused):
            return part
    if not _among([sign(form, one.get_secret_value(), raw, timestamp) for one in settings.secrets], given):
        return Refused.BAD_PROOF
    return _window(form, timestamp, now, settings.window_s) if form.timestamp_header else None


def _window(form: SignatureFormat, timestamp: str, now: datetime, window_s: float) -> Refused | None:
    sent = _unix(timestamp) if form.timestamp == "unix" else _iso(timestamp)
    if sent is None:
        return Refused.BAD_TIMESTAMP
    return Refused.STALE if abs((now - sent).total_seconds()) > window_s else None


def _unix(text: str) -> datetime | None:
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_UNIX_DIGITS):
        return None
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _iso(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _authorization(settings: DeskSettings, headers: Headers) -> Refused | None:
    value = _single(headers, "Authorization")
    if isinstance(value, Refused):
        return value
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != settings.proof.value:
        return Refused.BAD_PROOF
    return _equal(settings, settings.user if settings.proof is Proof.BASIC else "", rest.strip())


def _equal(settings: DeskSettings, user: str | None, given: str) -> Refused | None:
    """Compare a secret that was sent along; with a user, as basic authentication writes the two."""
    wanted = [one.get_secret_value() for one in settings.secrets]
    if user:
        wanted = [base64.b64encode(f"{user}:{one}".encode()).decode() for one in wanted]
    return None if _among(wanted, given) else Refused.BAD_PROOF


def _among(wanted: list[str], given: str) -> bool:
    """Compare with every secret, through digests: neither which one fits nor how long it is shows in the time."""
    digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
    found = [hmac.compare_digest(hashlib.sha256(one.encode()).digest(), digest) for one in wanted]
    return any(found)


def _single(headers: Headers, name: str) -> str | Refused:
    """Return the value of a header that stands once and is ASCII."""
    values = [value for key, value in headers if key.lower() == name.lower().encode()]
    if len(values) > 1:
        return Refused.DUPLICATE_HEADER
    if not values or not values[0].strip():
        return Refused.MISSING_PROOF
    return values[0].decode("ascii") if values[0].isascii() else Refused.BAD_PROOF

"""Step 2 of the journey: personal data becomes placeholders before anything leaves the process.

E-mail addresses, telephone numbers, payment cards, IBANs, national identity numbers, IP addresses, keys and passwords
become `[EMAIL_1]`, `[PHONE_1]` … and come back in the quotes. Names and postal addresses are not promised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain

import re2

from triagedesk.privacy import accounts, addresses, credentials, numbers
from triagedesk.privacy.searched import Found, Searched
from triagedesk.tracing import traced

KINDS = ("EMAIL", "PHONE", "CARD", "IBAN", "ID", "IP", "KEY", "PASSWORD")
"""What a placeholder may be called."""

_FINDERS: tuple[Callable[[Searched], Iterator[Found]], ...] = (
    credentials.private_keys, credentials.in_addresses, addresses.emails, credentials.keys, credentials.passwords,
    accounts.ibans, accounts.cards, numbers.national_ids, addresses.ip_addresses, numbers.phones,
)  # fmt: skip
"""In the order in which they win where two claim the same characters."""

_PLACEHOLDER = re2.compile(rf"\[(?:{'|'.join(KINDS)})_\d{{1,6}}\]")
_WORTH_A_LOOK = re2.compile(
    r"(?i)[0-9@]|pass|pwd|mdp|contrase|clave|senha|palavra|parola|wachtwoord|has[lł]o|пароль|密码|kennwort|-----BEGIN|://|lösenord|adgangs|key|token"
    r"|secret|bearer|authorization|chave|chiave|clé api|schlüssel"
)


class Redacted:
    """A text without personal data, and the way back. Its repr tells no value."""

    __slots__ = ("_values", "text")

    def __init__(self, text: str, values: Mapping[str, str]) -> None:
        self.text = text
        self._values = values

    def __repr__(self) -> str:
        return f"<Redacted: {len(self._values)} placeholders>"

    def __len__(self) -> int:
        """Return how many placeholders stand for something."""
        return len(self._values)

    def restore(self, quote: str) -> str:
        """Put the ticket's own characters back for the placeholders in a quote; others are left as they are."""
        if "[" not in quote or not self._values:
            return quote
        out, last = [], 0
        for match in _PLACEHOLDER.finditer(quote):
            start, end = match.span()
            out += [quote[last:start], self._values.get(match.group(), match.group())]
            last = end
        return "".join([*out, quote[last:]])


@traced("redact")
def redact(text: str) -> Redacted:
    """Replace personal data by placeholders: the same value by the same one, another value by another.

    A placeholder that the text itself holds is never used, so that `restore` leaves it alone.
    """
    if not _WORTH_A_LOOK.search(text):
        return Redacted(text, {})
    naming = _Naming(text)
    out, last = [], 0
    for start, end, kind in _claims(text):
        out += [text[last:start], naming.placeholder(kind, text[start:end])]
        last = end
    return Redacted("".join([*out, text[last:]]), naming.values)


def warm_up() -> None:
    """Import what the first telephone number, card and IBAN would import (0.2 s), for a service that starts."""
    redact("Call +49 30 1234567, card 4111 1111 1111 1111, IBAN DE89 3704 0044 0532 0130 00")


def _claims(text: str) -> list[Found]:
    """Return what is found, in order and without overlap; earlier finders win."""
    searched = Searched(text)
    taken = bytearray(len(text))
    claims = []
    for start, end, kind in chain.from_iterable(finder(searched) for finder in _FINDERS):
        if start < end and 1 not in taken[start:end]:
            taken[start:end] = b"\x01" * (end - start)
            claims.append((start, end, kind))
    return sorted(claims)


class _Naming:
    """Gives each value of a text its placeholder."""

    def __init__(self, text: str) -> None:
        self.values: dict[str, str] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._used = {match.group() for match in _PLACEHOLDER.finditer(text)} if "[" in text else set()
        self._next = dict.fromkeys(KINDS, 1)

    def placeholder(self, kind: str, value: str) -> str:
        """Return the placeholder of a value, a new one if it is new."""
        name = self._names.get((kind, value))
        while name is None:
            candidate = f"[{kind}_{self._next[kind]}]"
            self._next[kind] += 1
            if candidate not in self._used:
                name = self._names[kind, value] = candidate
                self.values[name] = value
        return name

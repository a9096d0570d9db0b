"""Where a text holds personal data that must not leave the process: what is found, and how sure that is.

RE2 finds candidates in linear time; check digits (python-stdnum), `phonenumbers` and `ipaddress` confirm them. Both
libraries take 0.1 s to import, so they are imported when the first candidate turns up. A text with more candidates
than `MAX_CHECKS` is hostile or a data dump: the rest is believed unchecked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from importlib import import_module
from itertools import accumulate

import re2

from triagedesk.privacy import words

MAX_CHECKS = 400
"""Candidates checked by a library in one text; further ones are redacted on their shape."""

Found = tuple[int, int, str]
"""Start, end and kind."""

_BOUND = r"(?:^|[^\pL\pN_])"


class Searched:
    """A text encoded once for RE2, whose byte offsets become character offsets again."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.data = text.encode("utf-8", "replace")
        self._checks = 0
        self._known: dict[tuple[str, Callable[[str], bool]], bool] = {}

    @cached_property
    def _chars(self) -> list[int] | None:
        if len(self.data) == len(self.text):
            return None
        counts = accumulate((byte & 0xC0) != 0x80 for byte in self.data)
        return [count - 1 for count in counts] + [len(self.text)]

    def range(self, first: int, last: int) -> tuple[int, int]:
        """Turn a byte range into a character range."""
        return (first, last) if self._chars is None else (self._chars[first], self._chars[last])

    def find(self, pattern: re2._Regexp, group: int = 0) -> Iterator[tuple[int, int]]:
        """Yield the character range of a group for every match."""
        for match in pattern.finditer(self.data):
            first, last = match.span(group)
            yield self.range(first, last)

    def windows(self, pattern: re2._Regexp, accept: Callable[[int, int], bool]) -> Iterator[tuple[int, int]]:
        """Yield the ranges of group 1 that `accept` takes; one refused is tried again a number later."""
        at = 0
        while match := pattern.search(self.data, at):
            first, last = match.span(1)
            start, end = self.range(first, last)
            if accept(start, end):
                yield start, end
                at = last
                continue
            at = first + 1
            while at < last and 48 <= self.data[at] <= 57:
                at += 1

    def before(self, start: int, size: int = 32) -> str:
        """Return what stands before a place on its line, in lower case."""
        return self.text[max(0, start - size) : start].rpartition("\n")[2].lower()

    def after(self, end: int, size: int = 16) -> str:
        """Return what stands after a place, in lower case."""
        return self.text[end : end + size].lower()

    def confirmed(self, start: int, end: int, check: Callable[[str], bool], cost: int = 1) -> bool:
        """Ask a library about a candidate once; when it has been asked too often, believe."""
        asked = (self.text[start:end], check)
        known = self._known.get(asked)
        if known is None:
            self._checks += cost
            known = self._known[asked] = self._checks > MAX_CHECKS or check(asked[0])
        return known


def _options(**given: bool) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    for name, value in given.items():
        setattr(options, name, value)
    return options


def compiled(pattern: str) -> re2._Regexp:
    """Compile a pattern that is ours; RE2 keeps its complaints to itself."""
    return re2.compile(pattern, _options())


def any_of(choices: Iterable[str]) -> str:
    """Return a pattern that matches any of the words."""
    return "|".join(map(re2.escape, choices))


# --- secrets -----------------------------------------------------------------------------------------------------

_PRIVATE_KEY = compiled(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)")
_TOKEN = compiled(
    _BOUND + r"(eyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*|(?:sk|pk|rk)[-_](?:[\w-]{16,})|A(?:KIA|SIA)[0-9A-Z]{16}"
    r"|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|AIza[\w-]{30,}|ya29\.[\w-]{20,}"
    r"|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}|SG\.[\w-]{16,}\.[\w-]{16,}|dop_v1_[0-9a-f]{40,}|whsec_\w{16,})"
)
_NAMED_KEY = compiled(
    r"(?i)"
    + _BOUND
    + r"(?:api[ _-]?(?:key|token|secret)|secret[ _-]?(?:access[ _-]?)?key|client[ _-]?secret|access[ _-]?(?:key|token)"
    r"|auth(?:entication|orization)?[ _-]?token|bearer|api-schlüssel|clé api|clave api|chiave api|chave api)"
    r"[\"']?[ \t]*(?:is|was|ist|lautet|est|es|è|é|:|=|[ \t])?[ \t]*[\"'`“]?([\w.~+/=-]{12,})"
)
_CREDENTIALS = compiled(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]+:([^\s/@]+)@")


def private_keys(text: Searched) -> Iterator[Found]:
    """Yield PEM private keys, also cut off ones."""
    if "-----BEGIN" in text.text:
        for start, end in text.find(_PRIVATE_KEY):
            yield start, end, "KEY"


def keys(text: Searched) -> Iterator[Found]:
    """Yield API keys and tokens: by their issuers' prefixes, or named as such and with a digit in them."""
    for start, end in text.find(_TOKEN, 1):
        yield start, end, "KEY"
    for start, end in text.find(_NAMED_KEY, 1):
        if any(char.isdigit() for char in text.text[start:end]):
            yield start, end, "KEY"


def credentials(text: Searched) -> Iterator[Found]:
    """Yield the password in an address like ftp://jane:password@host."""
    if "://" in text.text:
        for start, end in text.find(_CREDENTIALS, 1):
            yield start, end, "PASSWORD"


# --- passwords ---------------------------------------------------------------------------------------------------

_SECRET_WORDS = any_of(words.PASSWORD)
_CODE_WORDS = r"pin(?:[ -]?code)?|cvv2?|cvc2?|otp|tan|security code|sicherheitscode|prüfnummer"
_IS = any_of(words.IS)
_PASSWORD = compiled(
    rf"(?i){_BOUND}(?:(?:{_SECRET_WORDS})|({_CODE_WORDS}))((?:[ \t]+[\pL\pN'’()-]+){{0,4}}?)"
    rf"([ \t]*(?:[:=：]|->)[ \t]*|[ \t]+(?:{_IS})[ \t]*:?[ \t]+)[\"'“”„«‚‘`]?([^\s\"“”„«»`<>]+)"
)


def passwords(text: Searched) -> Iterator[Found]:
    """Yield what is told as a password, PIN or card code: not “my password is wrong”."""
    for match in _PASSWORD.finditer(text.data):
        start, end = text.range(*match.span(4))
        value = text.text[start:end].rstrip(".,;:)'’")
        code, gap = match.span(1)[0] >= 0, match.span(2)
        if code:
            told = sum(map(str.isdigit, value)) >= 3 and len(value) <= 10
        else:
            plain_end = text.after(start + len(value), 1) in ("", "\n", "\r", ".", ",", ";")
            told = _strong(value) or (gap[0] == gap[1] and plain_end and _word(value))
        if told:
            yield start, start + len(value), "PASSWORD"


def _strong(value: str) -> bool:
    """Say if a value looks like nobody's word: a digit, a symbol inside, or a capital inside."""
    inner = value.rstrip("!?")
    return any(char.isdigit() or char in "!@#$%^&*_+=~\\|{}[]" for char in inner) or (
        not inner.isupper() and any(char.isupper() for char in inner[1:])
    )


def _word(value: str) -> bool:
    """Say if a plain word that ends a sentence may be a password."""
    return value.lower().rstrip("!?") not in words.NO_PASSWORD and len(value) >= 4 and value.rstrip("!?").isalnum()


# --- addresses ---------------------------------------------------------------------------------------------------

_EMAIL = compiled(r"[\pL\pN._%+'-]*[\pL\pN]['+%_.-]{0,2}@[\pL\pN-]+(?:\.[\pL\pN-]+)*\.\pL{2,}")
_IPV4 = compiled(r"\d{1,3}(?:\.\d{1,3}){3}")
_IPV6 = compiled(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}")
_VERSION = ("v", "ver", "ver.", "version", "build", "firmware", "release", "update", "app", "sdk", "driver")


def emails(text: Searched) -> Iterator[Found]:
    """Yield e-mail addresses."""
    if "@" in text.text:
        for start, end in text.find(_EMAIL):
            yield start, end, "EMAIL"


def ip_addresses(text: Searched) -> Iterator[Found]:
    """Yield IPv4 and IPv6 addresses: not versions, not times."""
    for start, end in text.find(_IPV4):
        words = text.before(start, 16).split()
        if (words and not words[-1].endswith((",", ".")) and words[-1].strip(":(") in _VERSION) or text.before(
            start, 1
        ) == "v":
            continue
        if free(text, start, end, "._-") and text.confirmed(start, end, _is_ip):
            yield start, end, "IP"
    if text.text.count(":") >= 2:
        for start, end in text.find(_IPV6):
            value = text.text[start:end]
            if (
                len(value) >= 6
                and free(text, start, end, ":_")
                and any(map(str.isdigit, value))
                and text.confirmed(start, end, _is_ip)
            ):
                yield start, end, "IP"


def _is_ip(value: str) -> bool:
    try:
        return not ipaddress.ip_address(value).is_unspecified
    except ValueError:
        return False


def free(text: Searched, start: int, end: int, glue: str) -> bool:
    """Say if a candidate stands alone: no letter, digit or glue on either side (a full stop may end it)."""
    left = text.text[start - 1 : start]
    right = text.text[end : end + 1]
    further = text.text[end + 1 : end + 2]
    if left and (left.isalnum() or left in glue):
        return False
    return not (right.isalnum() or (right and right in glue and further.isalnum()))


# --- accounts ----------------------------------------------------------------------------------------------------

_IBAN = compiled(r"(?i)[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}")
_IBAN_LENGTHS = {pair[:2]: int(pair[2:]) for pair in words.IBAN_LENGTHS}

_CARD = compiled(
    r"(?:^|[^\d])(\d{13,19}|(?:\d{4}[ .-]){3}\d{4}|3\d{3}[ .-]\d{6}[ .-]\d{4,5}|(?:\d{4}[ .-]{1,3}){3}\d{4})"
)


def ibans(text: Searched) -> Iterator[Found]:
    """Yield IBANs of the registered countries whose check digits hold."""
    for start, end in text.find(_IBAN):
        size = _IBAN_LENGTHS.get(text.text[start : start + 2].upper(), 0)
        stop = _nth_alnum(text.text, start, end, size)
        if stop and free(text, start, stop, "_") and text.confirmed(start, stop, _is_iban):
            yield start, stop, "IBAN"


def _nth_alnum(text: str, start: int, end: int, count: int) -> int:
    """Return the place after the count-th letter or digit, or 0 if there are fewer."""
    for index in range(start, end):
        count -= text[index].isalnum()
        if count == 0:
            return index + 1
    return 0


def cards(text: Searched) -> Iterator[Found]:
    """Yield payment card numbers: issuer, length and Luhn digit hold."""

    def is_card(start: int, end: int) -> bool:
        digits = "".join(filter(str.isdigit, text.text[start:end]))
        alone = not text.text[start - 1 : start].isalnum() and not text.text[end : end + 1].isalnum()
        return alone and _issuer(digits) and text.confirmed(start, end, _luhn)

    for start, end in text.windows(_CARD, is_card):
        yield start, end, "CARD"


def _issuer(digits: str) -> bool:
    """Say if an issuer gives numbers with this beginning and length (ISO/IEC 7812 ranges of the large networks)."""
    two, four, size = int(digits[:2]), int(digits[:4]), len(digits)
    if digits[0] == "4":
        return size in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return size == 16
    if two in (34, 37):
        return size == 15
    return (two in (30, 36, 38, 39) and 14 <= size <= 19) or two in (35, 50, 56, 57, 58, 60, 62, 63, 64, 65, 67, 68)


def stdnum(module: str, value: str) -> bool:
    """Ask python-stdnum; a number format is imported when its first candidate turns up."""
    return bool(import_module(f"stdnum.{module}").is_valid(value))


def _luhn(value: str) -> bool:
    return stdnum("luhn", "".join(filter(str.isdigit, value)))


def _is_iban(value: str) -> bool:
    """Check country, length and ISO 7064 digits; national check digits only where python-stdnum insists."""
    return stdnum("iso7064.mod_97_10", (value[4:] + value[:4]).replace(" ", "").replace("-", "").upper())

"""Where a text holds credentials: private keys, API keys and tokens, and passwords that are told in words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from triagedesk.privacy import words
from triagedesk.privacy.searched import BOUND, Found, Searched, any_of, compiled

# --- private keys ------------------------------------------------------------------------------------------------

_PEM_BEGIN = compiled(
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"
    r"(?:\s*\n[ \t>]*(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset): [^\n]*){0,5}"
)
_PEM_END = "-----END "
_PEM_SIGNS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
_PEM_LINE = 40
"""So many letters in one piece are no word."""


def private_keys(text: Searched) -> Iterator[Found]:
    """Yield PEM private keys; of one that is cut off only what looks like a key, not the text after it."""
    if "-----BEGIN" not in text.text:
        return
    begins = [*text.find(_PEM_BEGIN), (len(text.text), 0)]
    for (start, head), (stop, _) in pairwise(begins):
        end = text.text.find(_PEM_END, head, stop)
        if end < 0:
            yield start, _key_end(text.text, head, stop), "KEY"
        else:
            line = text.text[end + len(_PEM_END) : end + 60].find("-----")
            yield start, end + len(_PEM_END) + (line + 5 if line >= 0 else 0), "KEY"


def _key_end(text: str, at: int, stop: int) -> int:
    """Return where the last piece of a key ends that goes on at `at`."""
    end = at
    for piece in text[at:stop].split():
        if not _of_key(piece):
            break
        end = text.index(piece, end) + len(piece)
    return end


def _of_key(piece: str) -> bool:
    """Say if a piece between spaces may be a line of a key: `\\n` written out and marks of a quotation aside."""
    plain = piece.replace("\\n", "").replace("\\r", "").strip(">\"'")
    if not _PEM_SIGNS.issuperset(plain):
        return False
    return not plain or len(plain) >= _PEM_LINE or plain.endswith("=") or (len(plain) >= 4 and _strong(plain))


# --- keys and tokens ---------------------------------------------------------------------------------------------

_TOKEN = compiled(
    BOUND + r"(eyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*|(?:sk|pk|rk)[-_](?:[\w-]{16,})|A(?:KIA|SIA)[0-9A-Z]{16}"
    r"|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|AIza[\w-]{30,}|ya29\.[\w-]{20,}"
    r"|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}|SG\.[\w-]{16,}\.[\w-]{16,}|dop_v1_[0-9a-f]{40,}|whsec_\w{16,})"
)
_NAMED_KEY = compiled(
    r"(?i)"
    + BOUND
    + r"(?:api[ _-]?(?:key|token|secret)|secret[ _-]?(?:access[ _-]?)?key|client[ _-]?secret|access[ _-]?(?:key|token)"
    r"|auth(?:entication|orization)?[ _-]?token|bearer|api-schlüssel|clé api|clave api|chiave api|chave api)"
    r"[\"']?[ \t]*(?:is|was|ist|lautet|est|es|è|é|:|=|[ \t])?[ \t]*[\"'`“]?([\w.~+/=-]{12,})"
)
_ASSIGNED_KEY = compiled(
    r"(?i)(?:secret|token|(?:api|access|private|secret|account|shared|storage|encryption|signing|master)"
    r"[ _.-]?key)[\"'`]?[ \t]*(?::=|=>|[:=])[ \t]*[\"'`“]?([\w.~+/=-]{8,})"
)
_AUTHORIZATION = compiled(
    r"(?i)authorization(?:[ \t]+header)?[\"'`]?[ \t]*(?:[:=]|[ \t]is)[ \t]*[\"'`“]?"
    r"(?:(?:basic|bearer|token|digest|apikey|negotiate)[ \t]+)?([\w.~+/=-]{6,})"
)
_CREDENTIALS = compiled(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]+:([^\s/@]+)@")


def keys(text: Searched) -> Iterator[Found]:
    """Yield API keys and tokens: by their issuers' prefixes, or named as such and with a digit in them."""
    for start, end in text.find(_TOKEN, 1):
        yield start, end, "KEY"
    for start, end in text.find(_AUTHORIZATION, 1):
        if _strong(text.text[start:end]):
            yield start, end, "KEY"
    for pattern in (_NAMED_KEY, _ASSIGNED_KEY):
        for start, end in text.find(pattern, 1):
            if any(char.isdigit() for char in text.text[start:end]):
                yield start, end, "KEY"


def in_addresses(text: Searched) -> Iterator[Found]:
    """Yield the password in an address like ftp://jane:password@host."""
    if "://" in text.text:
        for start, end in text.find(_CREDENTIALS, 1):
            yield start, end, "PASSWORD"


# --- passwords ---------------------------------------------------------------------------------------------------

_SECRET_WORDS = any_of(words.PASSWORD)
_CODE_WORDS = r"pin(?:[ -]?code)?|cvv2?|cvc2?|otp|tan|security code|sicherheitscode|prüfnummer"
_IS = any_of(words.IS)
_QUOTED = r"[\"“”„«»]([^\"“”„«»\r\n]+)[\"“”„«»]|['‘‚`]([^'’‘‚`\r\n]+)['’‘`](?:[^\pL\pN]|$)"
_PASSWORD = compiled(
    rf"(?i){BOUND}(?:[\pL\pN]+[_.])*(?:(?:{_SECRET_WORDS})|({_CODE_WORDS}))[\"'`*]{{0,2}}"
    rf"((?:[ \t]+[\pL\pN'’()-]+){{0,4}}?)([ \t]*(?:[:=：]|->)[ \t]*|[ \t]+(?:{_IS})[ \t]*:?[ \t]+)"
    rf"(?:{_QUOTED}|[\"'“”„«‚‘`]?([^\s\"“”„«»`<>]+))"
)
_CODE, _GAP, _SIGN, _DOUBLE, _SINGLE, _PLAIN = range(1, 7)
"""The groups of `_PASSWORD`; those that took no part have no beginning."""

MAX_PHRASE_WORDS = 10
"""What stands in quotes and has more words is a sentence, and no password."""


def passwords(text: Searched) -> Iterator[Found]:
    """Yield what is told as a password, PIN or card code: not “my password is wrong”."""
    for match in _PASSWORD.finditer(text.data):
        group = next(group for group in (_DOUBLE, _SINGLE, _PLAIN) if match.span(group)[0] >= 0)
        start, end = text.range(*match.span(group))
        value = text.text[start:end]
        if group == _PLAIN:
            value = value.rstrip(".,;:)'’")
        gap, sign = (text.data[slice(*match.span(part))].decode("utf-8", "replace") for part in (_GAP, _SIGN))
        if match.span(_CODE)[0] >= 0:
            told = sum(map(str.isdigit, value)) >= 3 and len(value) <= 10
        elif group == _PLAIN:
            told = _strong(value) or (not gap and _ends(text, start + len(value)) and _word(value))
        else:
            told = _phrase(value, named=not gap or (sign[0].isspace() and ":" not in sign))
        if told:
            yield start, start + len(value), "PASSWORD"


def _strong(value: str) -> bool:
    """Say if a value looks like nobody's word: a digit, a symbol inside, or a capital inside."""
    inner = value.rstrip("!?")
    return any(char.isdigit() or char in "!@#$%^&*_+=~\\|{}[]" for char in inner) or (
        not inner.isupper() and any(char.isupper() for char in inner[1:])
    )


def _ends(text: Searched, place: int) -> bool:
    return text.after(place, 1) in ("", "\n", "\r", ".", ",", ";")


def _word(value: str) -> bool:
    """Say if a plain word that ends a sentence may be a password."""
    return value.lower().rstrip("!?") not in words.NO_PASSWORD and len(value) >= 4 and value.rstrip("!?").isalnum()


def _phrase(value: str, *, named: bool) -> bool:
    """Say if what stands in quotes may be a password: no message such as “not accepted” or “reset your password”.

    After more words (“the password page says: …”) it is one only if it looks like nobody's words.
    """
    said = value.lower().split()
    if not said or len(said) > MAX_PHRASE_WORDS or any(word.strip(".,:!?") in words.PASSWORD for word in said):
        return False
    if not named:
        return len(said) == 1 and _strong(value)
    return 2 * sum(word.strip(".,:!?") in words.NO_PASSWORD for word in said) < len(said)

"""Where a text holds payment card numbers and IBANs: candidates by their shape, confirmed by their check digits.

python-stdnum takes its time to import, so that a number format is imported when its first candidate turns up.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from triagedesk.privacy import words
from triagedesk.privacy.searched import Found, Searched, compiled, free

_SPACES = r" \t\x{a0}\x{2000}-\x{200b}\x{202f}\x{205f}\x{2060}\x{3000}"
_DASHES = r"\x{2010}-\x{2015}\x{2212}\-"

# --- IBANs -------------------------------------------------------------------------------------------------------

_IBAN_HEAD = compiled(r"(?i)[A-Z]{2}\d{2}")
_IBAN_GLUE = frozenset(" \t\n\u00a0\u202f\u205f\u2060\u3000\u2212-") | set(map(chr, range(0x2000, 0x2016)))
"""What may stand between two characters: one space, dash or line break."""

_IBAN_LENGTHS = {pair[:2]: int(pair[2:]) for pair in words.IBAN_LENGTHS}


def ibans(text: Searched) -> Iterator[Found]:
    """Yield IBANs of the registered countries whose check digits hold, however they are grouped."""
    for start, _ in text.find(_IBAN_HEAD):
        size = _IBAN_LENGTHS.get(text.text[start : start + 2].upper(), 0)
        if size and not text.text[start - 1 : start].isalnum():
            stop = _grouped_end(text.text, start, size)
            if stop and free(text, start, stop, "_") and text.confirmed(start, stop, _is_iban):
                yield start, stop, "IBAN"


def _grouped_end(text: str, start: int, count: int) -> int:
    """Return the place after so many letters and digits, with at most one space or dash between two, or 0."""
    glued = False
    for index in range(start, min(len(text), start + 2 * count)):
        sign = text[index]
        if sign.isascii() and sign.isalnum():
            count, glued = count - 1, False
            if count == 0:
                return index + 1
        elif glued or sign not in _IBAN_GLUE:
            return 0
        else:
            glued = True
    return 0


def _is_iban(value: str) -> bool:
    """Check ISO 7064 digits; national check digits only where python-stdnum insists."""
    return stdnum("iso7064.mod_97_10", "".join(filter(str.isalnum, value[4:] + value[:4])).upper())


# --- payment cards -----------------------------------------------------------------------------------------------

_GAP = rf"(?:[{_SPACES}{_DASHES}./_]{{1,3}}|[{_SPACES}{_DASHES}.]{{0,2}}\r?\n[{_SPACES}>]{{0,3}})"
_CARD = compiled(rf"(?:^|[^\d])(\d{{13,19}}|(?:\d{{4}}{_GAP}){{3}}\d{{4}}|3\d{{3}}{_GAP}\d{{6}}{_GAP}\d{{4,5}})")


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


def _luhn(value: str) -> bool:
    return stdnum("luhn", "".join(filter(str.isdigit, value)))


def stdnum(module: str, value: str) -> bool:
    """Ask python-stdnum whether a value is valid by one of its number formats."""
    return bool(import_module(f"stdnum.{module}").is_valid(value))

"""Numbers of persons in a text: national identity numbers and telephone numbers.

A number that could as well be an order's is taken only when its check digits and its way of writing, or a word before
it, say so: orders, amounts, dates and versions stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import re2

from triagedesk.privacy import words
from triagedesk.privacy.accounts import stdnum
from triagedesk.privacy.searched import Found, Searched, any_of, compiled, free

# --- national identity numbers -----------------------------------------------------------------------------------

_TAX_WORDS = ("steuer", "tax id", "tax number", "idnr", "tin", "identifikationsnummer")
_IDS: tuple[tuple[re2._Regexp, Callable[[str], bool] | None, tuple[str, ...]], ...] = tuple(
    (compiled(pattern), partial(stdnum, module) if module else None, keywords)
    for pattern, module, keywords in (
        (r"\d{3}-\d{2}-\d{4}", "", ()),  # US SSN as written; the sample numbers that stdnum refuses are as telling
        (r"\d{9}", "us.ssn", ("ssn", "social security")),
        (r"(?i)\d{8}[ -]?[A-Z]", "es.dni", ()),
        (r"(?i)[XYZ][ -]?\d{7}[ -]?[A-Z]", "es.nie", ()),
        (r"(?i)[A-Z]{6}[0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]", "it.codicefiscale", ()),
        (r"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}", "fr.nir", ()),
        (r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf", ()),
        (r"\d{11}", "br.cpf", ("cpf",)),
        (r"\d{2} \d{3} \d{3} \d{3}", "de.idnr", ()),
        (r"\d{11}", "de.idnr", _TAX_WORDS),
        (r"\d{11}", "pl.pesel", ("pesel",)),
        (r"\d{3} ?\d{3} ?\d{3}", "pt.nif", ("nif", "contribuinte")),
        (r"\d{4}\.?\d{2}\.?\d{3}", "nl.bsn", ("bsn", "burgerservicenummer", "sofi")),
        (r"(?i)[A-CEGHJ-PR-TW-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]", "", ("national insurance", "nino", "ni number")),
    )
)
_DOCUMENT_WORDS = any_of(words.DOCUMENT)
_DOCUMENT = compiled(
    rf"(?i)(?:^|[^\pL\pN])(?:{_DOCUMENT_WORDS})(?:[ \t]*[\pL.#°º]+){{0,3}}"
    r"[ \t]*[:#]?[ \t]*([A-Z0-9](?:[ -]?[A-Z0-9]){5,16})"
)


def national_ids(text: Searched) -> Iterator[Found]:
    """Yield national identity, tax and social security numbers, and document numbers named as such."""
    lower = text.text.lower()
    for pattern, check, keywords in _IDS:
        if _named(lower, keywords):
            for start, end in text.find(pattern):
                alone = free(text, start, end, "-_./") and _named(text.before(start, 48), keywords)
                if alone and (check is None or text.confirmed(start, end, check)):
                    yield start, end, "ID"
    for start, end in text.find(_DOCUMENT, 1):
        if sum(map(str.isdigit, text.text[start:end])) >= 5:
            yield start, end, "ID"


def _named(before: str, keywords: tuple[str, ...]) -> bool:
    return not keywords or any(word in before for word in keywords)


# --- telephone numbers -------------------------------------------------------------------------------------------

_PHONE = compiled(
    r"((?:\+ ?)?\(?\d(?:[ \t\x{a0}./()-]{0,3}\d){5,20})(?:[ \t]?(?i:x|ext\.?|extension|durchwahl)[ \t]?\d{1,6})?"
)
_REGIONS = {
    True: ("DE", "GB", "FR", "IT", "NL", "AT", "CH", "AU", "BE", "JP"),  # trunk prefix 0
    False: ("US", "ES", "PT", "PL", "IT", "BR", "IN", "DK", "NO", "MX"),
}
_DATES = compiled(
    r"(?:(?:19|20)\d{2}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)?\d{2})(?:[^\d]|$|[ T]\d{1,2})"
)
_AMOUNT = compiled(r"\d{1,3}(?:[. ]\d{3})*,\d{2}|\d+\.\d{2}")
MAX_TRIMS = 3
"""How many trailing groups a candidate may lose until it is a telephone number (“… 0577 2026”)."""


def phones(text: Searched) -> Iterator[Found]:
    """Yield telephone numbers: international, announced by a word, or valid and written as one in a likely country."""
    for match in _PHONE.finditer(text.data):
        start, end = text.range(*match.span(1))
        whole = text.range(*match.span())[1]
        if not free(text, start, whole, "_-/#=") or text.text[start - 1 : start] in (".", ",", "€", "$", "£"):
            continue
        stop = _phone_end(text, start, end)
        if stop:
            yield start, whole if stop == end else stop, "PHONE"


def _phone_end(text: Searched, start: int, end: int) -> int:
    """Return where a telephone number that starts at `start` ends, or 0 if there is none."""
    for _ in range(MAX_TRIMS):
        value = text.text[start:end]
        if _is_phone(text, start, end, value):
            return end
        shorter = value.replace("\u00a0", " ").rfind(" ")
        if shorter < 6:
            return 0
        end = start + len(value[:shorter].rstrip())
    return 0


def _is_phone(text: Searched, start: int, end: int, value: str) -> bool:
    digits = "".join(filter(str.isdigit, value))
    if not 6 <= len(digits) <= 16:
        return False
    if value.startswith(("+", "00")):
        return text.confirmed(start, end, _possible)
    if _DATES.match(value) or _AMOUNT.fullmatch(value):
        return False
    called, thing = _nearest(text.before(start), words.CALL), _nearest(text.before(start), words.THING)
    if thing > called or text.after(end, 5).lstrip().startswith(("€", "$", "£", "eur", "usd", "gbp", "kg", "%")):
        return False
    if called >= 0 or text.after(end, 9).strip(" \t,(").startswith(("office", "mobile", "fax", "desk", "cell")):
        return len(digits) <= 15
    return _written_as_phone(value, digits) and text.confirmed(start, end, _valid, cost=8)


def _nearest(before: str, among: Iterable[str]) -> int:
    """Return where the last of the words starts that stand before a number (at a word's beginning), or -1."""
    best = -1
    for word in among:
        at = before.rfind(word)
        if at > best and (at == 0 or not before[at - 1].isalnum()):
            best = at
    return best


def _written_as_phone(value: str, digits: str) -> bool:
    grouped = any(sign in value for sign in " -./()\u00a0")
    return (grouped and len(digits) >= 8) or (digits[0] == "0" and 9 <= len(digits) <= 12)


def _possible(value: str) -> bool:
    """Say if an international number has a country's code and a length used there."""
    import phonenumbers  # lazy: 0.1 s of metadata

    try:
        number = phonenumbers.parse("+" + value.replace("+", "").strip().removeprefix("00"), None)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_possible_number(number))


def _valid(value: str) -> bool:
    """Say if a number written as at home is one in a country whose customers are likely."""
    import phonenumbers  # lazy: 0.1 s of metadata

    for region in _REGIONS[value.lstrip("(")[:1] == "0"]:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(value, region)):
                return True
        except phonenumbers.NumberParseException:
            return False
    return False

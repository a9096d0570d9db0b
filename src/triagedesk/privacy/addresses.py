"""Where a text holds e-mail and IP addresses: not versions, not times, not handles."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from triagedesk.privacy.searched import Found, Searched, compiled, free

_EMAIL = compiled(
    r"(?:[\pL\pN._%+'-]*[\pL\pN]['+%_.-]{0,2}"
    r'|"(?:[^"\\\r\n]|\\.)+")'  # RFC 5322: a local part in quotes may hold spaces
    r"@[\pL\pN-]+(?:\.[\pL\pN-]+)*\.\pL{2,}"
)
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

"""Keys of the answer cache: keyed hashes of a whole question, from which nobody gets the words back."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b


class CacheKey:
    """Keys of questions that begin alike: the constant parts are hashed once and copied."""

    def __init__(self, prefix_parts: Sequence[str] = (), secret: bytes = b"") -> None:
        self._hash = blake2b(digest_size=20, key=secret[:64], person=b"triagedesk")
        for part in prefix_parts:
            self._hash.update(_framed(part))

    def of(self, *parts: str) -> str:
        """Return the key of a whole question, in hexadecimal."""
        whole = self._hash.copy()
        for part in parts:
            whole.update(_framed(part))
        return whole.hexdigest()


def cache_key(*parts: str, secret: bytes = b"") -> str:
    """Return the keyed BLAKE2b hash (RFC 7693, 160 bits) of length-prefixed parts, in hexadecimal."""
    return CacheKey(secret=secret).of(*parts)


def _framed(part: str) -> bytes:
    data = part.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(8, "big") + data

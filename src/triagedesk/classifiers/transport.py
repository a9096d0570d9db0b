"""The HTTP client between us and a model server: it follows nothing, unpacks nothing, and reads no more than a cap.

Without it a redirect re-posts ticket text to another host, and a 300 KB gzip bomb beats any deadline by seconds.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import AsyncIterator, Iterator

import anyio
import httpx2

from triagedesk.classifiers.limits import Ears
from triagedesk.errors import ConfigError, FallbackReason, ModelError, ModelRefused

MAX_REPLY_BYTES = 256 * 1024
"""The largest reply that is read, headers not counted. An answer of ours has about 2 KB."""

CRUMB_BYTES, FREE_CRUMBS, GULP_S = 64, 64, 0.05
"""After so many chunks of fewer bytes in a row, the next is read so many seconds later: a server that drips bytes on
many connections would else keep the loop busy, and every other ticket would pay for it."""

MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024
POOL_WAIT_S = 0.25
"""How long a call waits for a free connection before the rules answer."""

NO_TIMEOUT = httpx2.Timeout(None, pool=POOL_WAIT_S)
"""Only the wait for a connection is timed by the client: a timeout per read is no deadline, the budget is."""

_VENDOR_LOGGERS = ("openai", "httpx2", "httpcore2", "instructor")
_METADATA_HOSTS = frozenset({
    "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
})  # fmt: skip
# Addresses of cloud metadata services that are not link-local: AWS over IPv6, Alibaba, Oracle.
_METADATA_ADDRESSES = frozenset({"fd00:ec2::254", "100.100.100.200", "192.0.0.192"})

# RFC 4291 (compatible, mapped, and translated by RFC 2765), RFC 6052 and RFC 8215 (NAT64).
_IPV4_AT_THE_END = tuple(map(ipaddress.IPv6Network, (
    "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48",
)))  # fmt: skip
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: the interface identifier's first half

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class _CappedStream(httpx2.AsyncByteStream):
    """A reply's bytes, up to the cap, in gulps where they come in crumbs."""

    def __init__(self, stream: httpx2.AsyncByteStream, cap: int) -> None:
        self._stream, self._cap = stream, cap

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = crumbs = 0
        async for chunk in self._stream:
            read += len(chunk)
            if read > self._cap:
                raise ModelRefused(FallbackReason.OVERSIZE, f"the reply exceeded {self._cap} bytes")
            yield chunk
            crumbs = crumbs + 1 if len(chunk) < CRUMB_BYTES else 0
            if crumbs > FREE_CRUMBS:
                await anyio.sleep(GULP_S)

    async def aclose(self) -> None:
        await self._stream.aclose()


class CappedTransport(httpx2.AsyncBaseTransport):
    """Wraps a transport and refuses replies that redirect, come compressed, or are too large.

    `ears` hear every reply's head. Raises ModelRefused with the reason.
    """

    def __init__(
        self, inner: httpx2.AsyncBaseTransport, *, max_bytes: int = MAX_REPLY_BYTES, ears: Ears | None = None
    ) -> None:
        self._inner, self._max_bytes, self._ears = inner, max_bytes, ears or Ears()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request, and look at the reply's head before a byte of its body is read."""
        request.headers["accept-encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        self._ears.hear(response.status_code, response.headers)
        try:
            _check_head(response, self._max_bytes)
        except ModelError:
            await response.aclose()
            raise
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _CappedStream(response.stream, self._max_bytes)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _check_head(response: httpx2.Response, max_bytes: int) -> None:
    headers = response.headers
    if 300 <= response.status_code < 400:
        raise ModelRefused(FallbackReason.REDIRECT, f"status {response.status_code}; correct base_url")
    if len(headers.raw) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers.raw) > MAX_HEADER_BYTES:
        raise ModelRefused(FallbackReason.PROTOCOL, "too many headers")
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise ModelRefused(FallbackReason.OVERSIZE, "the reply came compressed, against our wish")
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 12 or int(length) > max_bytes):
        raise ModelRefused(FallbackReason.OVERSIZE, f"the reply exceeded {max_bytes} bytes")


def open_client(
    max_connections: int, *, transport: httpx2.AsyncBaseTransport | None = None, ears: Ears | None = None
) -> httpx2.AsyncClient:
    """Build the one shared client, whose replies are capped and whose environment is empty (no proxies)."""
    limits = httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
    inner = transport or httpx2.AsyncHTTPTransport(limits=limits, trust_env=False)
    return httpx2.AsyncClient(
        transport=CappedTransport(inner, ears=ears),
        follow_redirects=False,
        trust_env=False,
        timeout=NO_TIMEOUT,
    )


def check_base_url(base_url: str) -> str:
    """Return the address if tickets may go there.

    Raises ConfigError for anything but http(s), for credentials in it, and for link-local and cloud metadata hosts,
    which answer with the machine's own secrets (OWASP API7, server-side request forgery).
    """
    try:
        url = httpx2.URL(base_url)
    except (httpx2.InvalidURL, ValueError, UnicodeError):
        raise ConfigError("base_url: not an address; give one like http://127.0.0.1:8080/v1") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError("base_url: give an http:// or https:// address")
    if url.userinfo:
        raise ConfigError("base_url: leave name and password out; set api_key instead")
    if _is_metadata(url.host.rstrip(".").lower()):
        raise ConfigError("base_url: link-local and metadata addresses are refused; give the model server's address")
    return base_url.rstrip("/")


def _is_metadata(host: str) -> bool:
    try:
        address = ipaddress.ip_address(_dotted(host))
    except ValueError:
        return host in _METADATA_HOSTS
    return any(_is_refused(one) for one in (address, *_embedded(address)))


def _is_refused(address: _Address) -> bool:
    return address.is_link_local or address.is_multicast or str(address) in _METADATA_ADDRESSES


def _embedded(address: _Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 one leads to: mapped, compatible, NAT64, 6to4, ISATAP and Teredo."""
    if not isinstance(address, ipaddress.IPv6Address):
        return
    if any(address in network for network in _IPV4_AT_THE_END) or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
    yield from address.teredo or ()


def _dotted(host: str) -> str:
    """Read 2852039166, 0xA9FEA9FE and 169.254.43518 as the address that a resolver reads in them."""
    parts = host.split(".")
    try:
        numbers = [int(part, 16 if part.startswith("0x") else 8 if part[:1] == "0" and part != "0" else 10)
                   for part in parts]  # fmt: skip
    except ValueError:
        return host
    if len(parts) > 4 or any(number > 255 for number in numbers[:-1]) or numbers[-1] >= 256 ** (5 - len(parts)):
        return host
    head = sum(number << (8 * (3 - index)) for index, number in enumerate(numbers[:-1]))
    return str(ipaddress.IPv4Address(head + numbers[-1]))


class _Hush(logging.Filter):
    """Lets nothing through: what these libraries say at DEBUG, and instructor at ERROR, holds the ticket."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING and not record.name.startswith("instructor")


_HUSH = _Hush()


def hush_vendors() -> None:
    """Keep ticket text out of the vendors' logs at every level, even where their own debug switch is on."""
    for name in (*_VENDOR_LOGGERS, *logging.root.manager.loggerDict):
        if name.partition(".")[0] in _VENDOR_LOGGERS:
            logger = logging.getLogger(name)
            logger.addFilter(_HUSH)
            if "." not in name:
                logger.setLevel(logging.CRITICAL if name == "instructor" else logging.WARNING)

"""What the client reads of a reply, and how often it looks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import httpx2
import pytest

from triagedesk.classifiers.transport import CRUMB_BYTES, FREE_CRUMBS, GULP_S, CappedTransport
from virtual_time import VirtualTime


class Chunks(httpx2.AsyncByteStream):
    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


class Server(httpx2.AsyncBaseTransport):
    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = chunks

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=Chunks(self._chunks))


def read(chunks: Sequence[bytes]) -> tuple[bytes, float]:
    """Read a reply that came in these chunks; return it, and the seconds for which it was left alone."""
    time = VirtualTime()

    async def get() -> tuple[bytes, float]:
        began = time.now()
        async with httpx2.AsyncClient(transport=CappedTransport(Server(chunks))) as client:
            said = await client.get("http://model.test/")
        return said.content, time.now() - began

    return time.run(get)


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([b"{" + b" " * 2000 + b"}"], id="whole"),
        pytest.param([b"x" * 1024] * 200, id="many-chunks"),
        pytest.param([b"x" * CRUMB_BYTES] * 500, id="small-chunks"),
        pytest.param([b" "] * FREE_CRUMBS + [b"x" * 2000], id="kept-alive-by-blanks"),
    ],
)
def test_a_reply_that_comes_as_replies_do_is_read_at_once(chunks: list[bytes]) -> None:
    assert read(chunks) == (b"".join(chunks), 0.0)


def test_a_reply_that_drips_is_read_in_gulps_and_whole() -> None:
    chunks = [b" "] * FREE_CRUMBS + [b"x"] * 100
    text, left_alone_s = read(chunks)
    assert text == b"".join(chunks)
    assert left_alone_s == pytest.approx(100 * GULP_S)

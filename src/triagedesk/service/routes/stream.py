"""A batch's answer: one line a ticket as they finish, never more in memory than are being worked on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import anyio
from anyio.abc import ObjectSendStream
from fastapi import Response
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from triagedesk.errors import TriageError
from triagedesk.logs import get_logger
from triagedesk.service.bodies import NDJSON
from triagedesk.service.problems import Code, Refused, translated

WORKERS = 32
"""So many tickets of one batch are worked on at once, where there are as many slots."""

One = Callable[[Any], Awaitable[bytes]]
"""Answers a row with a suggestion, as JSON."""


def stream_lines(rows: Sequence[Any], one: One, *, slots: anyio.CapacityLimiter, gone: Callable[[], None]) -> Response:
    """Answer rows by `one`, each line with its index; what `one` raises becomes the line's problem."""
    return _Lines(rows, one, slots, gone)


class _Lines(Response):
    media_type = NDJSON

    def __init__(self, rows: Sequence[Any], one: One, slots: anyio.CapacityLimiter, gone: Callable[[], None]) -> None:
        self._rows, self._one, self._slots, self._gone = rows, one, slots, gone
        self.status_code, self.background = 200, None
        self.body = b""
        self.init_headers()
        del self.headers["content-length"]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send lines until all are done, or the caller hangs up: then the work ends."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, receive, tasks.cancel_scope)
            await self._send_all(send)
            tasks.cancel_scope.cancel()

    async def _watch(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone()
        scope.cancel()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        lines, finished = anyio.create_memory_object_stream[bytes](0)
        rows = enumerate(self._rows)
        async with anyio.create_task_group() as workers, finished:
            async with lines:
                for _ in range(min(WORKERS, len(self._rows))):
                    workers.start_soon(self._work, rows, lines.clone())
            async for line in finished:
                await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _work(self, rows: Iterator[tuple[int, Any]], lines: ObjectSendStream[bytes]) -> None:
        async with lines:
            for index, row in rows:
                async with self._slots:
                    said = await self._answered(row)
                await lines.send(b'{"index":%d,%s}\n' % (index, said))

    async def _answered(self, row: Any) -> bytes:
        try:
            return b'"suggestion":%s' % await self._one(row)
        except TriageError as wrong:
            problem = translated(wrong)
        except Exception as bug:  # noqa: BLE001 - one ticket's bug must not end the other tickets' answers
            get_logger("service").error("bug", reason=type(bug).__name__, path="batch")
            problem = Refused(Code.INTERNAL)
        return b'"problem":%s' % to_json(problem.document())

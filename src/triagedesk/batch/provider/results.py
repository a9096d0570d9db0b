"""From the provider's result files to answers: lines in any order, each read as a live reply would be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.lowlevel
from pydantic_core import from_json, to_json

from triagedesk.batch.provider.store import Questions, Result
from triagedesk.classifiers.batch_api import PRICE_SHARE, reason_of_status
from triagedesk.classifiers.transport import MAX_REPLY_BYTES
from triagedesk.errors import FallbackReason, ModelError

if TYPE_CHECKING:
    from triagedesk.classifiers.llm import ModelClassifier

MAX_LINE_BYTES = 2 * MAX_REPLY_BYTES
"""A longer line of a result file is passed over: its question counts as missing."""

TOGETHER = 256
"""So many lines are written down in one transaction."""

_CODES = {"batch_expired": FallbackReason.BATCH_EXPIRED, "batch_cancelled": FallbackReason.BATCH_CANCELLED}
_AFTER = {
    "completed": FallbackReason.BATCH_MISSING, "failed": FallbackReason.BATCH_FAILED,
    "expired": FallbackReason.BATCH_EXPIRED, "cancelled": FallbackReason.BATCH_CANCELLED,
}  # fmt: skip


async def merge(path: Path, part: int, questions: Questions, model: ModelClassifier) -> None:
    """Write down what a result file says. May be done again: what is known stays as it is."""
    held: list[Result] = []
    async for result in _results(path, model):
        held.append(result)
        if len(held) == TOGETHER:
            _keep(held, part, questions)
            held = []
            await anyio.lowlevel.checkpoint()
    _keep(held, part, questions)


def _keep(held: list[Result], part: int, questions: Questions) -> None:
    with questions.together():
        questions.keep(held, part)


def reason_after(status: str) -> FallbackReason:
    """Return why a question has no line, by the last status of its batch."""
    return _AFTER.get(status, FallbackReason.BATCH_MISSING)


async def _results(path: Path, model: ModelClassifier) -> AsyncIterator[Result]:
    with path.open("rb") as stream:
        while line := stream.readline(MAX_LINE_BYTES):
            if not line.endswith(b"\n") and len(line) == MAX_LINE_BYTES:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(MAX_LINE_BYTES)
                continue
            told = _told(line)
            if told is not None:
                yield await _result(told, model)


def _told(line: bytes) -> dict[str, Any] | None:
    """Read a line as an object with a name; anything else is passed over."""
    try:
        data = from_json(line, allow_inf_nan=False)
    except ValueError:
        return None
    return data if isinstance(data, dict) and isinstance(data.get("custom_id"), str) else None


async def _result(told: dict[str, Any], model: ModelClassifier) -> Result:
    name, response = told["custom_id"], told.get("response")
    if not isinstance(response, dict):
        return Result(name, reason=_never_run(told.get("error")), attempts=0)
    status, body = response.get("status_code"), response.get("body")
    if status != 200:
        code = status if isinstance(status, int) and 400 <= status < 600 else 500
        return Result(name, reason=_over(reason_of_status(code, body)))
    try:
        answer = await model.read_reply(to_json(body)[: MAX_REPLY_BYTES + 1])
    except ModelError as wrong:
        return Result(name, reason=wrong.reason)
    cost = None if answer.cost_usd is None else answer.cost_usd * PRICE_SHARE
    return Result(name, answer.model_copy(update={"cost_usd": cost}).model_dump_json())


def _over(reason: FallbackReason) -> FallbackReason:
    """A line that met a rate limit is over as well: nobody shall wait for this server because of it."""
    return FallbackReason.BATCH_FAILED if reason is FallbackReason.RATE_LIMITED else reason


def _never_run(error: object) -> FallbackReason:
    code = error.get("code") if isinstance(error, dict) else None
    return _CODES.get(code, FallbackReason.BATCH_FAILED) if isinstance(code, str) else FallbackReason.BATCH_FAILED

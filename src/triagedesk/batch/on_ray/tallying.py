"""The tally of a block as it travels back, and how the driver adds them up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import Field, fields
from typing import Any

from pydantic_core import from_json, to_json

from triagedesk.batch.tally import Tally

_OF_THE_RUN = ("resumed", "resumed_errors", "seconds", "spent_usd", "stopped", "concurrency")
"""What only the driver knows."""


def take(tally: Tally) -> bytes:
    """Return what an actor has counted since it was asked last, as JSON; the ids that it met stay with it."""
    told = {}
    for one in _counts():
        value = getattr(tally, one.name)
        if value:
            told[one.name] = value
            setattr(tally, one.name, Counter() if isinstance(value, Counter) else one.default)
    return to_json(told)


def add_sent(tally: Tally, sent: bytes) -> None:
    """Add an actor's counts to those of the run."""
    known = {one.name for one in _counts()}
    for name, value in from_json(sent).items():
        if name in known:
            setattr(tally, name, _sum(getattr(tally, name), value))


def _counts() -> Iterator[Field[Any]]:
    return (one for one in fields(Tally) if not one.name.startswith("_") and one.name not in _OF_THE_RUN)


def _sum(before: Any, more: Any) -> Any:
    if isinstance(before, Counter):
        return before + Counter(more)
    return (before or 0) + more

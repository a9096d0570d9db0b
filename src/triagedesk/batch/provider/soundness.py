"""Whether the questions of a batch that goes on are those of its journal, and its answers some that a model gave.

Looked at once, before anything is sent or answered: a question that has gone would be paid for and not be used.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from triagedesk.batch.provider.state import QUESTIONS, State, damaged
from triagedesk.batch.provider.store import Questions
from triagedesk.errors import FallbackReason
from triagedesk.models import ModelAnswer

if TYPE_CHECKING:
    from triagedesk.classifiers.llm import ModelClassifier

_NO_ROOM_OR_ACCESS = frozenset((
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM,
))  # fmt: skip
"""SQLite's primary codes (sqlite.org/rescode.html) for which the file is not to blame."""


@contextmanager
def told_apart(folder: Path) -> Iterator[None]:
    """Let SQLite's errors out as ConfigError if the file is damaged, else as OSError."""
    try:
        yield
    except sqlite3.Error as wrong:
        if getattr(wrong, "sqlite_errorcode", 0) & 0xFF in _NO_ROOM_OR_ACCESS:
            raise OSError(f"{folder}: {wrong}") from None
        raise damaged(folder, f"{QUESTIONS} is no longer what was written") from None


def check(state: State, questions: Questions, model: ModelClassifier) -> None:
    """Raise ConfigError if the questions do not fit the journal of a plan that was made, or an answer is none."""
    known, planned = questions.size(), sum(part.requests for part in state.parts.values() if part.outcome != "split")
    if known != planned:
        raise damaged(state.folder, f"{QUESTIONS} holds {known} of the {planned} questions that were sent")
    if questions.unsettled() - {part.number for part in state.open_parts()} - _made_by_a_split(state):
        raise damaged(state.folder, f"{QUESTIONS} lacks answers that were fetched")
    reasons = {None, *FallbackReason}
    if any(reason not in reasons or kind != "integer" for reason, kind in questions.kinds()):
        raise damaged(state.folder, f"{QUESTIONS} holds a reason that there is none")
    labels = model.labels
    if not all(_fits(answer, labels) for answer in questions.answers()):
        raise damaged(state.folder, f"{QUESTIONS} holds an answer that no model gave")


def _made_by_a_split(state: State) -> set[int]:
    """Return the parts that a split was about to make when it was killed: the store has them, the journal not yet."""
    last = max(state.parts, default=0)
    return {last + 1, last + 2} if state.open_parts() else set()


def _fits(text: str, labels: dict[str, frozenset[str]]) -> bool:
    try:
        answer = ModelAnswer.model_validate_json(text)
    except ValidationError:
        return False
    said = answer.said
    fits = said.keys() == labels.keys() and all(one.label in labels[name] for name, one in said.items())
    return fits and labels.get("issue_type", frozenset()).issuperset(answer.secondary_issues)

"""Agents' words on suggestions; a correction stands beside the suggestion and never in its place."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import IntegrityError

from triagedesk.service.store.records import Feedback, FeedbackKind, StoredSuggestion
from triagedesk.service.store.suggestions import stored_suggestion
from triagedesk.service.store.tables import FeedbackRow, SuggestionRow
from triagedesk.service.store.transactions import Database

_COLUMNS = [
    FeedbackRow.id.label("feedback_id"), FeedbackRow.suggestion_id, FeedbackRow.kind, FeedbackRow.labels,
    FeedbackRow.by, FeedbackRow.at, FeedbackRow.note,
]  # fmt: skip


class FeedbackLog:
    """The table of feedback; rows are only added."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, feedback: Feedback) -> bool:
        """Keep a word of feedback (the same id twice is one). Returns False where there is no such suggestion."""

        def work(connection: Connection) -> None:
            values = {
                "id": feedback.id, "suggestion_id": feedback.suggestion_id, "kind": feedback.kind.value,
                "labels": dict(feedback.labels), "by": feedback.by, "at": feedback.at, "note": feedback.note,
            }  # fmt: skip
            connection.execute(self._database.insert(FeedbackRow).values(values).on_conflict_do_nothing())

        try:
            await self._database.write(work)
        except IntegrityError:
            return False
        return True

    async def of(self, suggestion_id: str) -> list[Feedback]:
        """Return what was said of a suggestion, the oldest first."""
        wanted = select(*_COLUMNS).where(FeedbackRow.suggestion_id == suggestion_id).order_by(FeedbackRow.id)

        def work(connection: Connection) -> list[Feedback]:
            return [_feedback(row) for row in connection.execute(wanted)]

        return await self._database.read(work)

    async def with_suggestions(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        after_id: str | None = None,
        limit: int = 1000,
    ) -> list[tuple[Feedback, StoredSuggestion]]:
        """Return feedback with what it speaks of, the oldest first; `after_id` goes on after a page's last id."""
        wanted = select(SuggestionRow, *_COLUMNS).join(FeedbackRow, FeedbackRow.suggestion_id == SuggestionRow.id)
        if since is not None:
            wanted = wanted.where(FeedbackRow.at >= since)
        if until is not None:
            wanted = wanted.where(FeedbackRow.at < until)
        if after_id is not None:
            wanted = wanted.where(FeedbackRow.id > after_id)

        def work(connection: Connection) -> list[tuple[Feedback, StoredSuggestion]]:
            found = connection.execute(wanted.order_by(FeedbackRow.id).limit(limit))
            return [(_feedback(row), stored_suggestion(row)) for row in found]

        return await self._database.read(work)


def _feedback(row: Row[Any]) -> Feedback:
    return Feedback(
        row.feedback_id, row.suggestion_id, FeedbackKind(row.kind), row.labels, row.by, row.at, row.note
    )  # fmt: skip

"""The tables, and how what is no plain text or number is written into both kinds of database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    types,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from triagedesk.service.store.records import Written


class UtcTime(types.TypeDecorator[datetime]):
    """A moment: aware when it goes in, UTC when it comes out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn a moment into UTC. Raises ValueError for one that is not aware."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Say that it is UTC: SQLite forgets the zone, PostgreSQL answers in the session's."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class AnyText(types.TypeDecorator[str]):
    """Text of strangers: NUL, which PostgreSQL refuses, and lone surrogates, which both do, are kept as escapes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """Write it as the inside of a JSON string."""
        if value is None:
            return None
        return json.dumps(value, ensure_ascii=False)[1:-1].encode("utf-8", "backslashreplace").decode()

    def process_result_value(self, value: str | None, _dialect: Dialect) -> str | None:
        """Read it back."""
        return None if value is None else str(json.loads(f'"{value}"'))


class JsonText(types.TypeDecorator[Any]):
    """Plain data as JSON in ASCII, or JSON as it was written; no NaN and no infinity gets in."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str | None:
        """Write it. Raises ValueError for what JSON cannot carry."""
        if isinstance(value, Written):
            return value.text
        return None if value is None else json.dumps(value, allow_nan=False, separators=(",", ":"))

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Any:
        """Read it back."""
        return None if value is None else json.loads(value)


class Table(DeclarativeBase):
    """The root of the tables; constraints have names, so that a migration can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcTime}  # noqa: RUF012 - SQLAlchemy reads it once


class KeyRow(Table):
    """An API key: what finds it and what proves it, never the key."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(AnyText)
    scopes: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(16), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    daily_budget_usd: Mapped[float | None] = mapped_column(Float(53))


class SpendRow(Table):
    """What a key has spent on a day (UTC), in billionths of a dollar: sums of floats would drift."""

    __tablename__ = "api_key_spend"
    key_id: Mapped[str] = mapped_column(ForeignKey(KeyRow.id, ondelete="CASCADE"), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    nano_usd: Mapped[int] = mapped_column(BigInteger)


class SuggestionRow(Table):
    """A suggestion as it went out; nothing ever updates a row."""

    __tablename__ = "suggestions"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    ticket_id: Mapped[str] = mapped_column(AnyText)
    created_at: Mapped[datetime] = mapped_column(index=True)
    key_id: Mapped[str | None] = mapped_column(String(40))
    suggestion: Mapped[Any] = mapped_column(JsonText)
    ticket: Mapped[Any | None] = mapped_column(JsonText)
    source_desk: Mapped[str | None] = mapped_column(String(40))
    previous_id: Mapped[str | None] = mapped_column(String(40))
    changed: Mapped[Any | None] = mapped_column(JsonText)
    __table_args__ = (Index(None, "ticket_id", "id"),)


class FeedbackRow(Table):
    """An agent's word on a suggestion; rows are only added."""

    __tablename__ = "feedback"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    suggestion_id: Mapped[str] = mapped_column(ForeignKey(SuggestionRow.id, ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    labels: Mapped[Any] = mapped_column(JsonText)
    by: Mapped[str] = mapped_column(AnyText)
    at: Mapped[datetime] = mapped_column(index=True)
    note: Mapped[str | None] = mapped_column(AnyText)


class OutcomeRow(Table):
    """What became of a ticket."""

    __tablename__ = "outcomes"
    ticket_id: Mapped[str] = mapped_column(AnyText, primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True, index=True)
    value: Mapped[float | None] = mapped_column(Float(53))


class DeliveryRow(Table):
    """A webhook that was taken in; `taken_by` tells whose insert it was, should an answer get lost."""

    __tablename__ = "deliveries"
    desk: Mapped[str] = mapped_column(String(40), primary_key=True)
    delivery_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    taken_by: Mapped[str] = mapped_column(String(40))


class JobRow(Table):
    """Work to do; a running job whose lease has ended may be claimed again."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(60))
    payload: Mapped[Any] = mapped_column(JsonText)
    attempts: Mapped[int] = mapped_column(Integer)
    due_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(20))
    error: Mapped[str | None] = mapped_column(AnyText)
    __table_args__ = (Index(None, "state", "due_at"),)


class StepRow(Table):
    """A step of a suggestion's escalation path."""

    __tablename__ = "steps"
    suggestion_id: Mapped[str] = mapped_column(ForeignKey(SuggestionRow.id, ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    due_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(20))
    __table_args__ = (Index(None, "state", "due_at"),)


class IdempotencyRow(Table):
    """An Idempotency-Key (its hash) of an API key, what was asked with it, and the answer once there is one."""

    __tablename__ = "idempotency"
    key_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime] = mapped_column(index=True)
    taken_by: Mapped[str] = mapped_column(String(40))
    suggestion_id: Mapped[str | None] = mapped_column(String(40))

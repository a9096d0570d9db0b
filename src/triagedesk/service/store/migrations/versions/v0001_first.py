"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from triagedesk.service.store.tables import AnyText, JsonText, UtcTime

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    _keys()
    _suggestions()
    _said_of_them()
    _work()


def downgrade() -> None:
    """Drop them, those first that point at others."""
    for table in (
        "idempotency", "steps", "jobs", "deliveries", "outcomes", "feedback", "suggestions",
        "api_key_spend", "api_keys",
    ):  # fmt: skip
        op.drop_table(table)


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("name", AnyText(), nullable=False),
        sa.Column("scopes", sa.String(100), nullable=False),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.Column("daily_budget_usd", sa.Float(53), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_index("ix_api_keys_prefix", "api_keys", ["prefix"])
    op.create_table(
        "api_key_spend",
        sa.Column("key_id", sa.String(40), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("nano_usd", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_api_key_spend_key_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key_id", "day", name="pk_api_key_spend"),
    )


def _suggestions() -> None:
    op.create_table(
        "suggestions",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("ticket_id", AnyText(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("key_id", sa.String(40), nullable=True),
        sa.Column("suggestion", JsonText(), nullable=False),
        sa.Column("ticket", JsonText(), nullable=True),
        sa.Column("source_desk", sa.String(40), nullable=True),
        sa.Column("previous_id", sa.String(40), nullable=True),
        sa.Column("changed", JsonText(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_suggestions"),
    )
    op.create_index("ix_suggestions_created_at", "suggestions", ["created_at"])
    op.create_index("ix_suggestions_ticket_id_id", "suggestions", ["ticket_id", "id"])
    op.create_table(
        "idempotency",
        sa.Column("key_id", sa.String(40), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(128), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("taken_by", sa.String(40), nullable=False),
        sa.Column("suggestion_id", sa.String(40), nullable=True),
        sa.PrimaryKeyConstraint("key_id", "digest", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_at", "idempotency", ["at"])


def _said_of_them() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("suggestion_id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("labels", JsonText(), nullable=False),
        sa.Column("by", AnyText(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("note", AnyText(), nullable=True),
        sa.ForeignKeyConstraint(
            ["suggestion_id"], ["suggestions.id"], name="fk_feedback_suggestion_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_suggestion_id", "feedback", ["suggestion_id"])
    op.create_index("ix_feedback_at", "feedback", ["at"])
    op.create_table(
        "outcomes",
        sa.Column("ticket_id", AnyText(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("value", sa.Float(53), nullable=True),
        sa.PrimaryKeyConstraint("ticket_id", "kind", "at", name="pk_outcomes"),
    )
    op.create_index("ix_outcomes_at", "outcomes", ["at"])


def _work() -> None:
    op.create_table(
        "deliveries",
        sa.Column("desk", sa.String(40), nullable=False),
        sa.Column("delivery_id", sa.String(200), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("taken_by", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("desk", "delivery_id", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_at", "deliveries", ["at"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(60), nullable=False),
        sa.Column("payload", JsonText(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcTime(), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("error", AnyText(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_state_due_at", "jobs", ["state", "due_at"])
    op.create_table(
        "steps",
        sa.Column("suggestion_id", sa.String(40), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("due_at", UtcTime(), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.ForeignKeyConstraint(
            ["suggestion_id"], ["suggestions.id"], name="fk_steps_suggestion_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("suggestion_id", "step", name="pk_steps"),
    )
    op.create_index("ix_steps_state_due_at", "steps", ["state", "due_at"])

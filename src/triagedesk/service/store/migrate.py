"""Brings a database to the tables of this version, or back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import InterfaceError, OperationalError

from triagedesk.errors import ConfigError
from triagedesk.service.store.connection import (
    PATIENCE_S,
    SQLITE,
    StoreUnavailable,
    address,
    begin_sqlite,
    connect_args,
    prepare,
    settle_sqlite,
)

_ONE_AT_A_TIME = threading.Lock()
"""Alembic hands the migration in progress to its scripts through a module of its own."""

_MIGRATIONS_LOCK = 7_203_941
"""The advisory lock in PostgreSQL that lets one replica migrate while the others wait."""


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate up, in one transaction; does nothing where all is done. Raises ConfigError or StoreUnavailable."""
    with _migrating(url) as config:
        command.upgrade(config, revision)


def downgrade(url: str, revision: str = "base") -> None:
    """Migrate down, in one transaction: what only newer tables hold is lost. Raises as `upgrade`."""
    with _migrating(url) as config:
        command.downgrade(config, revision)


@contextmanager
def _migrating(url: str) -> Iterator[Config]:
    try:
        with _ONE_AT_A_TIME, connected(url) as connection:
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
            config.attributes["connection"] = connection
            yield config
    except CommandError:
        raise ConfigError("database: its tables are of a newer triagedesk; install that one") from None
    except (OperationalError, InterfaceError):
        raise StoreUnavailable from None


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Open one blocking connection in a transaction that holds the lock of migrations."""
    place = address(url)
    prepare(place)
    is_sqlite = place.drivername == SQLITE
    engine = create_engine(
        place,
        connect_args=connect_args(place, PATIENCE_S * 15), hide_parameters=True,
    )  # fmt: skip
    if is_sqlite:
        event.listen(engine, "connect", settle_sqlite)
        event.listen(engine, "begin", begin_sqlite)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            if not is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATIONS_LOCK})")
            yield connection
    finally:
        engine.dispose()

"""Which question went in which part, and what came of it: a small SQLite file, so that memory stays flat."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from triagedesk.errors import FallbackReason

_TABLE = """
CREATE TABLE IF NOT EXISTS questions (
    id TEXT PRIMARY KEY, part INTEGER NOT NULL, answer TEXT, reason TEXT, attempts INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_part ON questions (part);
CREATE TEMP TABLE spent (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class Found(NamedTuple):
    """What came of a question: an answer as JSON, or a reason; neither while it is not known."""

    answer: str | None
    reason: FallbackReason | None
    attempts: int


class Result(NamedTuple):
    """What one line of a result file says of a question."""

    id: str
    answer: str | None = None
    reason: FallbackReason | None = None
    attempts: int = 1


class Questions:
    """The questions of one prepaid batch, by their names. Raises sqlite3.Error if the disk fails."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        path.chmod(0o600)
        self._connection.executescript(_TABLE)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write all or nothing of what happens inside."""
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def forget(self) -> None:
        """Start from nothing: an unfinished plan is made again."""
        self._connection.execute("DELETE FROM questions")

    def add(self, name: str, part: int) -> None:
        """Put a question that is in none yet into a part."""
        self._connection.execute("INSERT INTO questions (id, part) VALUES (?, ?)", (name, part))

    def move(self, names: Iterable[str], part: int) -> None:
        """Put questions into another part."""
        self._connection.executemany("UPDATE questions SET part = ? WHERE id = ?", ((part, name) for name in names))

    def keep(self, results: Iterable[Result], part: int) -> None:
        """Write results down. An answer stays, whatever comes after it; a name that is not of this part is left out."""
        query = "UPDATE questions SET answer = ?, reason = ?, attempts = ? WHERE id = ? AND part = ? AND answer IS NULL"
        rows = ((one.answer, one.reason, one.attempts, one.id, part) for one in results)
        self._connection.executemany(query, rows)

    def known(self, part: int) -> int:
        """Return of how many of a part's questions something is known."""
        query = "SELECT COUNT(*) FROM questions WHERE part = ? AND (answer IS NOT NULL OR reason IS NOT NULL)"
        return int(self._connection.execute(query, (part,)).fetchone()[0])

    def give_up(self, part: int, reason: FallbackReason) -> int:
        """Give all of a part of which nothing is known a reason. Returns how many they are."""
        query = "UPDATE questions SET reason = ? WHERE part = ? AND answer IS NULL AND reason IS NULL"
        return self._connection.execute(query, (reason, part)).rowcount

    def find(self, name: str) -> Found | None:
        """Return what came of a question, or None if it was never sent."""
        query = "SELECT answer, reason, attempts FROM questions WHERE id = ?"
        row = self._connection.execute(query, (name,)).fetchone()
        return Found(row[0], FallbackReason(row[1]) if row[1] else None, row[2]) if row else None

    def spend(self, name: str) -> bool:
        """Take a question's answer as this run's. Returns False if it was taken before."""
        return self._connection.execute("INSERT OR IGNORE INTO spent VALUES (?)", (name,)).rowcount > 0

    def counts(self) -> tuple[int, int]:
        """Return how many questions have an answer, and how many a reason why not."""
        query = "SELECT COUNT(answer), COUNT(reason) FROM questions"
        answered, failed = self._connection.execute(query).fetchone()
        return answered, failed

    def size(self) -> int:
        """Return how many questions there are."""
        return int(self._connection.execute("SELECT COUNT(*) FROM questions").fetchone()[0])

    def unsettled(self) -> set[int]:
        """Return the parts that hold a question of which nothing is known."""
        query = "SELECT DISTINCT part FROM questions WHERE answer IS NULL AND reason IS NULL"
        return {row[0] for row in self._connection.execute(query)}

    def answers(self) -> Iterator[str]:
        """Yield every answer as it stands there."""
        return (row[0] for row in self._connection.execute("SELECT answer FROM questions WHERE answer IS NOT NULL"))

    def kinds(self) -> set[tuple[str | None, str]]:
        """Return which reasons there are, each with the SQL type of its count of attempts."""
        return set(self._connection.execute("SELECT DISTINCT reason, typeof(attempts) FROM questions"))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

"""What one ticket leaves behind: bytes in the service's database, in Redis and on disk; and what HTTP adds.

    python benchmarks/sizes.py [TICKETS]

A real service answers new tickets by rules and records them, in SQLite, and in PostgreSQL where
TRIAGEDESK_TEST_POSTGRES names a server (a database is made there and dropped). Redis is asked for its own figure.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import diskcache
from figures import Outcome, Table, number, show
from hits import redis_server
from made_up import compile_all, tickets
from service import TRIAGEDESK, running

from triagedesk.classifiers.rules import RulesClassifier
from triagedesk.models import ModelAnswer, Said, Ticket, Tokens
from triagedesk.playbook import Facts, load_playbook
from triagedesk.tidy import read

POSTGRES = os.environ.get("TRIAGEDESK_TEST_POSTGRES")
ENTRIES = 5_000
WARM = 40
"""Tickets that come before those that count: pages and statements that are made once."""


def answer_text() -> str:
    """Return an answer as it is cached."""
    said = {
        name: Said(
            label="billing_payment", confidence=0.9, reason="The customer says that money is wrong.", quote="x" * 40
        )
        for name in ("urgency", "issue_type", "escalation", "sentiment")
    }
    return ModelAnswer(
        said=said, model="made-up-1", tokens=Tokens(prompt=3600, cached=3400, completion=190)
    ).model_dump_json()


@contextmanager
def postgres() -> Iterator[str]:
    """Make a database on the server that the environment names; drop it at the end."""
    import psycopg

    name = f"bench_{secrets.token_hex(6)}"
    with psycopg.connect(POSTGRES or "", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]  # a name of our own
        try:
            yield f"{(POSTGRES or '').rpartition('/')[0]}/{name}"
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


def _grown(url: str, size_of: Any, count: int) -> tuple[float, float]:
    """Run the service on a database and post new tickets; return bytes and server CPU µs a ticket."""
    env = {
        **os.environ, "TRIAGEDESK_MODEL": "rules", "TRIAGEDESK_SERVICE_DATABASE_URL": url,
        "TRIAGEDESK_SERVICE_RATE_PER_MINUTE": "1e9", "TRIAGEDESK_SERVICE_RATE_BURST": "1000000",
        "TRIAGEDESK_SERVICE_PORT": "0",
    }  # fmt: skip
    made = subprocess.run(
        [*TRIAGEDESK, "keys", "create", "bench", "--scope", "suggest"], env=env, capture_output=True, check=True
    )
    texts = tickets(count + WARM, seed=31)
    with running([*TRIAGEDESK, "serve"], env) as (pid, port):
        _post(port, made.stdout.decode().strip(), texts[:WARM])
        before, cpu = size_of(), _cpu_s(pid)
        _post(port, made.stdout.decode().strip(), texts[WARM:])
        time.sleep(1.0)  # what is written behind the answers
        return (size_of() - before) / count, (_cpu_s(pid) - cpu) / count * 1e6


def _post(port: int, key: str, texts: list[str]) -> None:
    for text in texts:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/suggestions", json.dumps({"body": text}).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
        )  # fmt: skip
        with urllib.request.urlopen(request) as reply:
            reply.read()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _sqlite(count: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:

        def size() -> int:
            with closing(sqlite3.connect(f"{folder}/service.db")) as base:
                pages, page = (base.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
                return int(pages * page)

        return _grown(f"sqlite:///{folder}/service.db", size, count)


def _postgres(count: int) -> tuple[float, float]:
    import psycopg

    with postgres() as url, psycopg.connect(url, autocommit=True) as connection:

        def size() -> int:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            return int(row[0]) if row else 0

        return _grown(url, size, count)


def _redis() -> float | None:
    """Return the bytes that Redis takes for an answer under a name such as ours."""
    import redis

    with redis_server() as port:
        if port is None:
            return None
        with redis.Redis(port=port) as client:
            before = client.info("memory")["used_memory"]
            for _ in range(ENTRIES):
                client.set(
                    f"triagedesk:answer:{secrets.token_hex(32)}", f"{secrets.token_hex(32)}{answer_text()}", ex=86_400
                )
            return float(client.info("memory")["used_memory"] - before) / ENTRIES


def _disk() -> float:
    with tempfile.TemporaryDirectory() as folder, diskcache.Cache(folder) as kept:
        before = kept.volume()
        with kept.transact():
            for _ in range(ENTRIES):
                kept.set(f"answer:{secrets.token_hex(32)}", answer_text())
        return float(kept.volume() - before) / ENTRIES


def _rules_us() -> float:
    playbook = load_playbook()
    compile_all(playbook)
    classifier, texts = RulesClassifier(playbook), tickets(200, seed=41)
    began = time.process_time()
    for text in texts:
        reading = read(Ticket(body=text), playbook.document.languages)
        classifier.classify(reading, Facts(language=reading.language))
    return (time.process_time() - began) / len(texts) * 1e6


def outcome(*, quick: bool = False, count: int = 500) -> Outcome:
    """Measure all of it."""
    count = 60 if quick else count
    absent, rules_us = {}, _rules_us()
    stored = {"SQLite": _sqlite(count)}
    if POSTGRES:
        stored["PostgreSQL"] = _postgres(count)
    else:
        absent["PostgreSQL"] = "TRIAGEDESK_TEST_POSTGRES names no server"
    kept = {"diskcache": _disk(), "Redis": _redis()}
    rows = [(f"a suggestion recorded in {name}", number(size), number(cpu)) for name, (size, cpu) in stored.items()]
    rows += [(f"an answer in {name}", number(size), "–") for name, size in kept.items() if size]
    rows.append(("a ticket read and judged by rules, no service", "–", number(rules_us)))
    size, cpu = stored.get("PostgreSQL", stored["SQLite"])
    series = {
        "bytes": {"stored": round(size), "answer": round(kept["Redis"] or kept["diskcache"])},
        "us": {"http": round(max(0.0, cpu - rules_us)), "rules": round(rules_us)},
    }
    note = f"{count} new tickets by rules through a real service, one client; {ENTRIES:,} answers in each cache."
    table = Table("What a ticket leaves behind", ("what", "bytes", "CPU µs of our process"), rows, note)
    return Outcome(tables=[table], absent=absent, series=series)


if __name__ == "__main__":
    found = outcome(count=int(sys.argv[1]) if len(sys.argv) > 1 else 500)
    show(found.figures)
    print(*found.tables[0].rows, sep="\n")

"""What the tests of the whole journey share: tickets, a desk by rules, and a model that says what it is told to."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import anyio
import httpx
import respx

from misbehaving import completion
from test_llm_wire import HTTPCore2Mocker
from triagedesk.desk import Desk
from triagedesk.models import Suggestion, Ticket
from triagedesk.playbook import Playbook, load_playbook
from triagedesk.settings import Settings

BASE_URL = "http://model.test/v1"
MONDAY = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
"""A working day, in working hours, in every calendar of the default playbook."""

LANGUAGES = ("en", "de", "fr", "es", "it", "pt")
RANK = ("low", "medium", "high", "critical")
"""The urgencies of LABELS.md, the least first."""

assert HTTPCore2Mocker.name == "httpcore2"  # importing it registers it with respx


@cache
def default_playbook() -> Playbook:
    """Load the playbook that ships, once."""
    return load_playbook()


def ticket(body: str, **given: Any) -> Ticket:
    """Build a ticket as a caller would."""
    return Ticket.parse({"id": "T-1", "body": body, "created_at": MONDAY, **given})


def by_rules(body: str, *, now: datetime = MONDAY, playbook: Playbook | None = None, **given: Any) -> Suggestion:
    """Suggest by rules alone."""
    return anyio.run(_desk(playbook or default_playbook(), now).suggest, ticket(body, **given))


@lru_cache(maxsize=8)
def _desk(playbook: Playbook, now: datetime) -> Desk:
    return Desk(Settings(model="rules"), playbook, now=lambda: now)


def label(suggestion: Suggestion, dimension: str = "urgency") -> str:
    """Return a label."""
    return suggestion.labels[dimension].label


def rank(suggestion: Suggestion) -> int:
    """Return how urgent, 0 to 3."""
    return RANK.index(label(suggestion))


def answer(
    urgency: str = "low",
    issue_type: str = "general",
    escalation: str = "none",
    *,
    quote: str = "",
    confidence: float = 0.9,
) -> dict[str, Any]:
    """Write a model's answer in the schema of the default playbook."""
    labels = {"urgency": urgency, "issue_type": issue_type, "escalation": escalation}
    made: dict[str, Any] = {
        name: {"quote": quote, "reason": "Said so.", "label": said, "confidence": confidence}
        for name, said in labels.items()
    }
    made["urgency"]["factor"] = "impact"
    return {**made, "secondary_issues": []}


Says = Callable[[dict[str, Any]], object]
"""From the ticket as the model sees it (subject, body) to the content of its reply, or a reply."""


class FakeModel:
    """An OpenAI-compatible server on the wire. `says` may be changed at any time; `sent` keeps each request's bytes."""

    def __init__(self) -> None:
        self.says: Says = lambda seen: answer()
        self.delay_s = 0.0
        self.sent: list[bytes] = []

    async def reply(self, request: httpx.Request) -> httpx.Response:
        """Answer one chat completion."""
        self.sent.append(request.content)
        said = [item["content"] for item in json.loads(request.content)["messages"] if item["role"] == "user"]
        seen = next(json.loads(content) for content in reversed(said) if content.startswith('{"'))
        if self.delay_s:
            await anyio.sleep(self.delay_s)
        made = self.says(seen)
        return made if isinstance(made, httpx.Response) else httpx.Response(200, json=completion(made))


@contextmanager
def fake_model() -> Iterator[FakeModel]:
    """Put a fake model on the wire; nothing else can be reached there."""
    model = FakeModel()
    with respx.mock(using="httpcore2", assert_all_called=False) as router:
        router.get(f"{BASE_URL}/models").respond(json={"data": []})
        router.post(f"{BASE_URL}/chat/completions").mock(side_effect=model.reply)
        yield model


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment without anybody's settings or keys, with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRIAGEDESK_", "OPENAI_", "COV"))}
    kept["PYTHONPATH"] = os.pathsep.join(
        str(Path(entry).resolve()) for entry in kept.get("PYTHONPATH", "").split(os.pathsep)
    )
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "COLUMNS": "120", **more}


def hear_interrupts() -> None:
    """Let a child process hear SIGINT even where the tests run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def settings(**given: Any) -> Settings:
    """Settings of a desk that asks the fake model, keeps no answers and falls back on rules, unless told otherwise."""
    return Settings(
        **{"model": "openai/made-up", "base_url": BASE_URL, "cache": False, "second_line": "rules", **given}
    )

"""What the tests of the language model classifier share: a small playbook, a classifier, one question."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import anyio

from triagedesk.budget import Budget
from triagedesk.classifiers.llm import ModelClassifier
from triagedesk.errors import ModelError
from triagedesk.models import ModelAnswer
from triagedesk.playbook import load_playbook
from triagedesk.prompts import load_prompt
from triagedesk.settings import Settings

HERE = Path(__file__).parent
PLAYBOOK = load_playbook(HERE / "small_playbook.yaml")
PROMPT = load_prompt()
CANARY = "CANARY-7731 my card was charged twice"
KEY = "sk-CANARY-KEY-4242"

T = TypeVar("T")


def classifier(base_url: str | None = None, **settings: Any) -> ModelClassifier:
    """Build a classifier of the small playbook."""
    given: dict[str, Any] = {"model": "openai/made-up", "api_key": KEY, "base_url": base_url, **settings}
    return ModelClassifier(Settings(**given), PLAYBOOK, PROMPT)


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine function on a fresh loop."""
    return anyio.run(work)


@dataclass
class Outcome:
    """How one question ended."""

    answer: ModelAnswer | None
    error: ModelError | None
    seconds: float

    @property
    def reason(self) -> str | None:
        """The reason of failure, or None."""
        return self.error.reason.value if self.error else None


async def ask_once(model: ModelClassifier, budget: Budget, body: str = CANARY) -> Outcome:
    """Ask, and time it."""
    began = time.perf_counter()
    try:
        answer = await model.ask(model.question("", body), budget)
    except ModelError as error:
        return Outcome(None, error, time.perf_counter() - began)
    return Outcome(answer, None, time.perf_counter() - began)


class MisbehavingServer:
    """The server of misbehaving.py in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "misbehaving.py")], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def url(self, fault: str) -> str:
        """Where to send a question to have it misbehave so."""
        return f"http://127.0.0.1:{self.port}/{fault}/v1"

    def count(self, fault: str) -> int:
        """How many requests came."""
        return int(self._get(f"_count/{fault}"))

    def bytes_elsewhere(self) -> int:
        """How many bytes came to the host that redirects point to."""
        return int(self._get("_elsewhere"))

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as got:
            data: bytes = got.read()
            return data

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

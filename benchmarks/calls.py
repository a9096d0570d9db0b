"""A cold ticket: the whole pipeline beside the vendor's own `chat.completions.parse`, over the same mock server.

    python benchmarks/calls.py [ROUNDS]

P1': CPU of `Desk.suggest` for a ticket never seen (tidy, redact, rules, cache miss, call, validation, evidence, policy,
cache write) beside `AsyncOpenAI.chat.completions.parse` with the same messages and a pydantic model of the same answer,
one at a time and 64 at once. The parts of the pipeline are measured alone in the same run.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Literal

import model_server
import openai
from figures import Figure, in_turns, middle, ratio, show
from made_up import compile_all, tickets
from pydantic import BaseModel, create_model

from triagedesk.classifiers.rules import RulesClassifier
from triagedesk.desk import open_desk
from triagedesk.models import Source, Ticket
from triagedesk.playbook import Facts, Playbook, load_playbook
from triagedesk.privacy import redact
from triagedesk.prompts import load_prompt, question_json
from triagedesk.settings import Settings
from triagedesk.tidy import read

CALLS = 128
WIDTHS = (1, 64)
LETS_WRITE_S = 0.05
"""How long a round waits for the thread that writes the cache: its CPU belongs to the round."""


def answer_model(playbook: Playbook) -> type[BaseModel]:
    """Return the answer as a user of the SDK would write it."""
    fields: dict[str, Any] = {}
    for name, dimension in playbook.dimensions.items():
        if dimension.ask_model:
            said: dict[str, Any] = {
                "quote": (str, ...), "reason": (str, ...), "label": (Literal[dimension.names], ...),
                "confidence": (float, ...),
            }  # fmt: skip
            if name == "urgency":
                said["factor"] = (Literal["impact", "customer_value", "time"], ...)
            fields[name] = (create_model(f"Said_{name}", **said), ...)
    fields["secondary_issues"] = (list[Literal[playbook.dimensions["issue_type"].names]], ...)
    return create_model("Triage", **fields)


async def _many(ask: Callable[[str], Awaitable[None]], bodies: Iterator[str], width: int) -> int:
    """Ask so many at once, each with a body of its own."""

    async def worker() -> None:
        for _ in range(CALLS // width):
            await ask(next(bodies))

    await asyncio.gather(*(worker() for _ in range(width)))
    await asyncio.sleep(LETS_WRITE_S)
    return CALLS


def _fresh() -> Iterator[str]:
    for seed in count(1000):
        yield from tickets(500, seed=seed)


async def measure(rounds: int) -> list[Figure]:
    """Measure both widths."""
    playbook = load_playbook()
    static = load_prompt().messages(playbook)
    model = answer_model(playbook)
    bodies = _fresh()
    found = []
    with model_server.running() as base_url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            model="openai/made-up-1", base_url=base_url, api_key="none", cache_dir=Path(folder),
            max_concurrency=64, breaker_failures=10_000,
        )  # fmt: skip
        async with open_desk(settings) as desk, openai.AsyncOpenAI(base_url=base_url, api_key="none") as client:
            compile_all(desk.playbook)

            async def ours(body: str) -> None:
                suggestion = await desk.suggest(Ticket(id="T-1", body=body))
                if suggestion.provenance.source is not Source.MODEL:
                    raise SystemExit(f"no model answer: {suggestion.provenance}")

            async def theirs(body: str) -> None:
                messages = [*static, {"role": "user", "content": question_json("", body)}]
                done = await client.chat.completions.parse(
                    model="made-up-1", messages=messages, response_format=model, temperature=0.0, max_tokens=700
                )
                if done.choices[0].message.parsed is None:
                    raise SystemExit("no answer")

            for width in WIDTHS:
                contestants = {
                    "desk": lambda _, width=width: _many(ours, bodies, width),
                    "parse": lambda _, width=width: _many(theirs, bodies, width),
                }
                await in_turns(contestants, 2)
                spent = await in_turns(contestants, rounds)
                found.append(
                    Figure("P1'", f"cold ticket, × AsyncOpenAI.parse, {width} at once", ratio(spent, "desk", "parse"),
                           "×", 0.70, note=f"{middle(spent, 'desk'):,.0f} µs beside {middle(spent, 'parse'):,.0f} µs")
                )  # fmt: skip
    return found + parts(playbook)


def parts(playbook: Playbook) -> list[Figure]:
    """Say what the steps that need no model cost, alone: they are the difference to a bare call."""
    bodies = tickets(300, seed=77)
    given = [Ticket(id="T-1", body=body) for body in bodies]
    readings = [read(ticket, playbook.document.languages) for ticket in given]
    compile_all(playbook)
    rules = RulesClassifier(playbook)
    steps: dict[str, Callable[[int], object]] = {
        "tidy and language": lambda i: read(given[i], playbook.document.languages),
        "rules": lambda i: rules.classify(readings[i], Facts(language=readings[i].language)),
        "redact": lambda i: redact(readings[i].text),
    }
    return [Figure("P1'", f"of which: {name}", _each(step, len(bodies)), "µs") for name, step in steps.items()]


def _each(step: Callable[[int], object], times: int) -> float:
    began = time.process_time()
    for index in range(times):
        step(index)
    return (time.process_time() - began) / times * 1e6


def figures(rounds: int = 7) -> list[Figure]:
    """Measure P1'."""
    return asyncio.run(measure(rounds))


if __name__ == "__main__":
    show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 7))

"""Why the goals that are missed are missed: where a cold ticket's CPU goes, and what the memory of a service is.

    python benchmarks/profiles.py [TICKETS]

CPU: cProfile by CPU time of the main thread, new tickets one after the other, each with a model that answers at once;
shares of all that the desk does, calls below included. A profiler makes small functions look dearer than they are.
Memory: resident size of this process after each step that a service takes until it is ready.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from contest import memory_mb
from figures import Figure, Outcome, Table, number

WARM = 300
STEPS = {
    "reading and judging (`Desk._view`)": ("desk.py", "_view"),
    "… rules (`RulesClassifier.classify`)": ("rules.py", "classify"),
    "… … finding patterns": ("patterns.py", "find_folded"),
    "… … … where they may begin": ("leads.py", "places"),
    "… … … RE2's filter": ("__init__.py", "Match"),
    "instructor, the SDK and HTTP": ("patch.py", "new_create_async"),
    "… the SDK and HTTP (`_post`)": ("llm.py", "_post"),
    "… instructor's walk over the response model": ("async_validators.py", "reject_async_validators"),
    "placing quotes (`ground`)": ("evidence.py", "ground"),
    "… folding ticket and quotes (`_plain`)": ("reading.py", "_plain"),
    "policy (`Policy.judge`)": ("apply.py", "judge"),
    "the clock (`Policy.decide`)": ("apply.py", "decide"),
}  # fmt: skip
"""Functions by file and name; dots say which stands below which."""


def memory() -> Table:
    """Take the steps of a service's start and look at the memory after each. Only right in a fresh process."""
    rows, before = [], memory_mb()
    rows.append(("interpreter, before anything of ours", number(before), ""))
    for name, step in _steps().items():
        step()
        now = memory_mb()
        rows.append((name, number(now), f"{now - before:+.1f}"))
        before = now
    return Table("Memory of a service by step", ("after", "MB", "more"), rows)


def _steps() -> dict[str, Callable[[], object]]:
    from triagedesk.playbook import load_playbook

    playbook = load_playbook()
    languages = playbook.document.languages

    def holidays() -> None:
        from triagedesk.policy import Policy

        Policy(playbook).warm_up(datetime.now(UTC))

    def language_model() -> None:
        from triagedesk.models import Ticket
        from triagedesk.tidy import read

        read(Ticket(body="Where is my order? It was due yesterday."), languages)

    def tickets_of(language: str) -> None:
        from made_up import tickets

        for text in tickets(100, seed=3, language=language):
            playbook.finder.find(text, language)

    def client() -> None:
        import triagedesk.wiring  # noqa: F401

    patterns = {f"patterns of {name}": lambda name=name: playbook.finder.warm_up([name]) for name in languages}
    return {
        "playbook and models": lambda: None, "holidays": holidays, "language model": language_model, **patterns,
        "100 tickets in en": lambda: tickets_of("en"), "100 tickets in de": lambda: tickets_of("de"),
        "openai and instructor": client,
    }  # fmt: skip


async def _profile(count: int) -> pstats.Stats:
    import model_server
    from made_up import compile_all, tickets

    from triagedesk.desk import open_desk
    from triagedesk.models import Ticket
    from triagedesk.settings import Settings

    with model_server.running() as base_url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            model="openai/made-up-1", base_url=base_url, api_key="none", cache_dir=Path(folder), deadline_s=60.0
        )
        async with open_desk(settings) as desk:
            compile_all(desk.playbook)
            given = [Ticket(id="T-1", body=text) for text in tickets(WARM + count, seed=5)]
            for ticket in given[:WARM]:
                await desk.suggest(ticket)
            watched = cProfile.Profile(time.thread_time)
            watched.enable()
            for ticket in given[WARM:]:
                await desk.suggest(ticket)
            watched.disable()
    return pstats.Stats(watched)


def cpu(count: int) -> Table:
    """Profile cold tickets."""
    stats = asyncio.run(_profile(count))
    spent = {(Path(file).name, name): took[3] for (file, _, name), took in stats.stats.items()}  # type: ignore[attr-defined]
    whole = stats.total_tt  # type: ignore[attr-defined]
    rows = [(what, f"{spent[place] / whole:.0%}") for what, place in STEPS.items() if place in spent]
    return Table(f"Where the CPU of {count} cold tickets goes", ("what, calls below included", "share"), rows)


def walk() -> Figure:
    """Say what instructor's search for asynchronous validators costs; it is made four times a call."""
    from instructor.v2.validation.async_validators import reject_async_validators

    from triagedesk.classifiers.answer import answer_model
    from triagedesk.playbook import load_playbook

    model = answer_model(load_playbook())
    least_us = min(timeit.repeat(lambda: reject_async_validators(model), number=50, repeat=15)) / 50 * 1e6
    return Figure("P1", "instructor's walk over our response model, four a call", least_us, "µs")


def outcome(*, quick: bool = False, count: int = 300) -> Outcome:
    """Take both profiles, memory first."""
    remembered = memory()
    return Outcome([walk()], [cpu(60 if quick else count), remembered])


if __name__ == "__main__":
    found = outcome(count=int(sys.argv[1]) if len(sys.argv) > 1 else 300)
    for table in found.tables:
        print(table.title, *table.rows, sep="\n")

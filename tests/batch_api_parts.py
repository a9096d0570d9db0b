"""What the tests of the prepaid batch share: tickets, a fake provider, and one whole run against it."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import anyio.lowlevel

from misbehaving import answer_for
from triagedesk.batch.provider.conduct import prepay
from triagedesk.batch.provider.options import News, PrepayOptions
from triagedesk.batch.rows import Row
from triagedesk.desk import Desk
from triagedesk.models import Suggestion, Ticket
from triagedesk.playbook import Playbook, load_playbook
from triagedesk.settings import Settings
from triagedesk.wiring import open_asking

HERE = Path(__file__).parent
CANARY = "CANARY-7731"
BODIES = [f"{CANARY} my order number {number} has not come" for number in range(5)]


def rows_of(bodies: Sequence[str]) -> Iterator[Row]:
    """Make rows of texts, as a source would."""
    for number, body in enumerate(bodies, 1):
        yield Row(number, Ticket(id=f"T-{number}", body=body))


def good(body: dict[str, Any]) -> dict[str, Any]:
    """Answer a request in its schema."""
    made: dict[str, Any] = answer_for(body["response_format"]["json_schema"]["schema"])
    return made


def settings(base_url: str, **given: Any) -> Settings:
    """Settings of a desk whose model is the fake provider's."""
    return Settings(**{
        "model": "openai/made-up", "base_url": base_url, "api_key": "sk-made-up", "cache": False,
        "price_prompt": 2.0, "price_completion": 8.0, "price_cached": 0.5,
        **given,
    })  # fmt: skip


@asynccontextmanager
async def open_small_desk(chosen: Settings) -> AsyncIterator[Desk]:
    """Open a desk as `open_desk` does, but for the playbook, which is read once, and for the warming up."""
    async with open_asking(chosen, playbook()) as asking:
        yield Desk(chosen, playbook(), asking)


@cache
def playbook() -> Playbook:
    """Read the playbook that ships, once."""
    return load_playbook()


@dataclass
class Ran:
    """What came of a run: a suggestion for each row, what was told on the way, and how long the pauses were."""

    suggestions: list[Suggestion]
    told: list[News] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    @property
    def sources(self) -> list[str]:
        """Who answered each row."""
        return [one.provenance.source.value for one in self.suggestions]

    @property
    def reasons(self) -> list[str | None]:
        """Why the model did not, row by row."""
        return [one.provenance.fallback_reason for one in self.suggestions]

    @property
    def cost(self) -> float:
        """What all of it cost."""
        return sum(one.provenance.cost_usd or 0.0 for one in self.suggestions)


def run_through(
    base_url: str, folder: Path, bodies: Sequence[str] = BODIES, given: dict[str, Any] | None = None, *,
    skip: int = 0, **options: Any,
) -> Ran:  # fmt: skip
    """Prepay the rows and answer them; the first `skip` are in OUT already. Pauses take no time."""
    ran = Ran([])

    async def sleep(seconds: float) -> None:
        ran.pauses.append(seconds)
        await anyio.lowlevel.checkpoint()

    def watch(news: News) -> None:
        ran.told.append(replace(news))
        ran.notes += news.notes
        news.notes.clear()

    async def work() -> None:
        async with open_small_desk(settings(base_url, **given or {})) as desk:
            chosen = PrepayOptions(sleep=sleep, **options)
            paid = await prepay(desk, lambda: rows_of(bodies), folder, options=chosen, watch=watch)
            for number, row in enumerate(rows_of(bodies)):
                if number >= skip and row.ticket is not None:
                    ran.suggestions.append(await desk.suggest(row.ticket))
            paid.close()

    anyio.run(work)
    return ran


def main() -> None:
    """Run once as a process that can be killed: BASE_URL FOLDER; prints each row's source."""
    ran = run_through(sys.argv[1], Path(sys.argv[2]), first_poll_s=0.01)
    sys.stdout.write(json.dumps({"sources": ran.sources, "cost": ran.cost}))


if __name__ == "__main__":
    main()

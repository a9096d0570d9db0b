"""`triagedesk demo`: the bundled sample tickets through the desk, as one table."""

from __future__ import annotations

import asyncio
import sys
from importlib.resources import files
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from triagedesk.cli.card import QUOTE_STYLE, label_text
from triagedesk.cli.intake import json_object
from triagedesk.cli.loop import run as run_loop
from triagedesk.cli.options import Options
from triagedesk.cli.terminal import console, excerpt, inert
from triagedesk.desk import open_desk
from triagedesk.models import Choice, Suggestion, Ticket
from triagedesk.playbook import load_playbook

if TYPE_CHECKING:
    from triagedesk.desk import Desk
    from triagedesk.playbook import Playbook
    from triagedesk.settings import Settings

NEXT = (
    'triagedesk classify "My charger started smoking, please tell me which cable to buy"',
    "triagedesk playbook init playbook.yaml",
    "triagedesk doctor",
)


def run(options: Options) -> int:
    """Print the table and what to try next. Raises ConfigError, and TicketError for a playbook of other channels."""
    settings = options.settings()
    if options.model is None and options.base_url is None:  # a key in the environment must not cost anything here
        there = load_playbook(settings.playbook).trained_file.is_file()
        settings = settings.model_copy(update={"model": "trained" if there else "rules"})
    answers, playbook = run_loop(_all(settings))
    out = console(sys.stdout)
    out.print(_table(answers, playbook))
    out.print(_closing(answers))
    return 0


def samples() -> list[Ticket]:
    """Return the bundled tickets."""
    lines = files("triagedesk").joinpath("samples/tickets.jsonl").read_bytes().splitlines()
    return [Ticket.parse(json_object(line)) for line in lines]


Answers = list[tuple[Ticket, Suggestion]]


async def _all(settings: Settings) -> tuple[Answers, Playbook]:
    async with open_desk(settings) as desk:
        slots = asyncio.Semaphore(settings.max_concurrency)
        tickets = samples()
        found = await asyncio.gather(*(_one(desk, slots, ticket) for ticket in tickets))
        return list(zip(tickets, found, strict=True)), desk.playbook


async def _one(desk: Desk, slots: asyncio.Semaphore, ticket: Ticket) -> Suggestion:
    async with slots:
        return await desk.suggest(ticket)


def _table(answers: Answers, playbook: Playbook) -> Table:
    table = Table(title="Sample tickets", title_justify="left", header_style="bold", pad_edge=False, box=None)
    for name in ("ticket", "urgency", "issue type → escalation"):
        table.add_column(name, no_wrap=True)
    table.add_column("decided by", overflow="fold", ratio=1)
    table.add_column("source", no_wrap=True, style="dim")
    for ticket, suggestion in answers:
        table.add_row(*_cells(ticket, suggestion, playbook))
    return table


def _cells(ticket: Ticket, suggestion: Suggestion, playbook: Playbook) -> tuple[Text, ...]:
    labels = suggestion.labels
    who = " · ".join(inert(value) for value in (ticket.channel, ticket.customer_tier) if value)
    issue, escalation = inert(labels["issue_type"].label), inert(labels["escalation"].label)
    return (
        Text.assemble(f"{inert(ticket.id)} {inert(suggestion.language or '')}\n", (who, "dim")),
        label_text(playbook, "urgency", labels["urgency"].label),
        Text(f"{issue}\n→ {escalation}"),
        decided_by(labels["urgency"]),
        Text(suggestion.provenance.source.value),
    )


def decided_by(choice: Choice) -> Text:
    """Return the quote that decided, else the metadata field, else the sentence."""
    for reason in choice.reasons:
        if reason.quote:
            return Text(f"“{excerpt(reason.quote, 70)}”", QUOTE_STYLE)
    if choice.reasons:
        reason = choice.reasons[0]
        return Text(f"[{inert(reason.field)}]" if reason.field else excerpt(reason.text, 70))
    return Text("–")


def _closing(answers: Answers) -> Text:
    spent = sum(suggestion.provenance.elapsed_ms for _, suggestion in answers)
    lines = [f"{len(answers)} tickets, {spent:.0f} ms.", "Next:", *(f"  {command}" for command in NEXT)]
    return Text("\n" + "\n".join(lines))

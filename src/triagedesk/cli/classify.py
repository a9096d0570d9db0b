"""`triagedesk classify`: one ticket, one suggestion."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from triagedesk.cli.intake import take
from triagedesk.cli.loop import at_once
from triagedesk.cli.loop import run as run_loop
from triagedesk.cli.options import Options
from triagedesk.cli.terminal import inert_json, warn
from triagedesk.desk import open_desk
from triagedesk.models import Suggestion, Ticket

if TYPE_CHECKING:
    from triagedesk.playbook import Playbook
    from triagedesk.settings import Settings

NO_MODEL = (
    "No model key: rules answer. To add a model: set OPENAI_API_KEY, or --model local/PATH.gguf, or --base-url URL"
)


def run(options: Options, *, text: str | None, file: Path | None, metadata: Mapping[str, str], as_json: bool) -> int:
    """Print the suggestion for one ticket. Raises TicketError and ConfigError."""
    settings = options.settings()
    ticket = take(text, file, metadata)
    go = at_once if settings.chosen_model is None else run_loop
    suggestion, playbook = go(_suggest(settings, ticket))
    if lacks_model(settings):
        warn(NO_MODEL)
    if as_json:
        _print_json(suggestion)
    else:
        _print_card(suggestion, ticket, playbook)
    return 0


def lacks_model(settings: Settings) -> bool:
    """Say whether rules answer because nothing else is set up, rather than by choice."""
    return settings.chosen_model is None and settings.model != "rules"


async def _suggest(settings: Settings, ticket: Ticket) -> tuple[Suggestion, Playbook]:
    async with open_desk(settings) as desk:
        return await desk.suggest(ticket), desk.playbook


def _print_json(suggestion: Suggestion) -> None:
    """Indented for a person, one line for a pipe."""
    text = suggestion.model_dump_json(indent=2 if sys.stdout.isatty() else None)
    print(inert_json(text))  # noqa: T201 - every control is escaped


def _print_card(suggestion: Suggestion, ticket: Ticket, playbook: Playbook) -> None:
    from triagedesk.cli.card import card
    from triagedesk.cli.terminal import console

    console(sys.stdout).print(card(suggestion, ticket, playbook))

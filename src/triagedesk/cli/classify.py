"""`triagedesk classify`: one ticket, one suggestion."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING

from triagedesk.cli.intake import take
from triagedesk.cli.loop import at_once
from triagedesk.cli.loop import run as run_loop
from triagedesk.cli.options import Options
from triagedesk.cli.terminal import inert_json, warn
from triagedesk.desk import open_desk
from triagedesk.models import Suggestion, Ticket
from triagedesk.settings import NO_SERVER

if TYPE_CHECKING:
    from triagedesk.playbook import Playbook
    from triagedesk.settings import Settings

NO_MODEL = (
    "No model key: answered without one. To add a model: set OPENAI_API_KEY, or --model local/PATH.gguf, "
    "or --base-url URL"
)


def run(options: Options, *, text: str | None, file: Path | None, metadata: Mapping[str, str], as_json: bool) -> int:
    """Print the suggestion for one ticket. Raises TicketError and ConfigError."""
    settings = options.settings()
    ticket = take(text, file, metadata)
    go = at_once if settings.chosen_model is None else run_loop
    with _held_back() as log:
        suggestion, playbook = go(_suggest(settings, ticket))
    if suggestion.provenance.fallback_reason not in UNUSABLE_MODEL:  # else one line of our own says more
        sys.stderr.write(log.getvalue())
    if lacks_model(settings):
        warn(NO_MODEL)
    if as_json:
        _print_json(suggestion)
    else:
        _print_card(suggestion, ticket, playbook)
    return _verdict(suggestion)


UNUSABLE_MODEL = frozenset(("auth", "provider_4xx", "tls", "redirect", "connect"))
"""Fallback reasons that do not go away by themselves: the key or the address is wrong."""


def _verdict(suggestion: Suggestion) -> int:
    """Say what to do about a model that cannot be asked at all (exit code 2); the rules' suggestion stands."""
    reason = suggestion.provenance.fallback_reason
    if reason not in UNUSABLE_MODEL:
        return 0
    from triagedesk.cli.doctor import WHAT_TO_DO
    from triagedesk.errors import FallbackReason

    sys.stdout.flush()
    advice = WHAT_TO_DO[FallbackReason(reason)]
    warn(f"error: {suggestion.provenance.source.value} answered, the model could not be asked: {reason}: {advice}")
    return 2


@contextmanager
def _held_back() -> Iterator[io.StringIO]:
    """Hold back what is logged meanwhile; a choice of TRIAGEDESK_LOG stands, and so does the log of a failure."""
    held = io.StringIO()
    if os.environ.get("TRIAGEDESK_LOG"):
        yield held
        return
    try:
        with redirect_stderr(held):
            yield held
    except BaseException:
        sys.stderr.write(held.getvalue())
        raise


def lacks_model(settings: Settings) -> bool:
    """Say whether no model answers because nothing else is set up, rather than by choice."""
    return settings.chosen_model is None and settings.model not in NO_SERVER


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

"""The closing table of a batch, on stderr."""

from __future__ import annotations

import sys
from pathlib import Path

from triagedesk.batch import Tally
from triagedesk.batch.output import errors_path
from triagedesk.cli.terminal import console, inert


def summarise(tally: Tally, target: Path) -> None:
    """Print the closing table to stderr."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(tally, target):
        table.add_row(name, Text(inert(value)))
    console(sys.stderr).print(table)


def _facts(tally: Tally, target: Path) -> list[tuple[str, str]]:
    facts = [
        ("rows", f"{tally.rows} in {tally.seconds:.1f} s, {tally.rows_per_second:,.0f} rows/s"),
        ("answered", f"{tally.answered} → {target}"),
        ("urgency", counts(tally.urgencies)),
        ("source", counts(tally.sources)),
        ("no model answer", counts(tally.fallbacks)),
        ("model spared", _spared(tally)),
        ("same question", _share(tally.same_question, tally.answered)),
        ("asked again", str(tally.asked_again or "")),
        ("to review", _share(tally.review, tally.answered)),
        ("same id again", str(tally.duplicates or "")),
        ("tokens", _tokens(tally)),
        ("cost", _cost(tally)),
        ("done before", _resumed(tally)),
        ("errors", _errors(tally, target)),
    ]
    return [(name, value) for name, value in facts if value]


def counts(counter: dict[str, int]) -> str:
    """Return "high 12, low 3", the most frequent first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _spared(tally: Tally) -> str:
    """Say how many rows the cascade kept from the model, and what these would have cost at the asked rows' price."""
    asked = tally.sources["model"]
    saved = ""
    if tally.spared and asked:
        tokens = (tally.prompt_tokens + tally.completion_tokens) * tally.spared // asked
        money = "" if tally.cost_usd is None else f", ${tally.cost_usd * tally.spared / asked:.4f}"
        saved = f", about {tokens:,} tokens{money} saved"
    return _share(tally.spared, tally.answered) + saved


def _share(count: int, of: int) -> str:
    return f"{count} ({count / of:.1%})" if count and of else ""


def _tokens(tally: Tally) -> str:
    if not tally.prompt_tokens:
        return ""
    cached = tally.cached_tokens / tally.prompt_tokens
    return (
        f"{tally.prompt_tokens:,} prompt ({tally.cached_tokens:,} cached, {cached:.0%}), "
        f"{tally.completion_tokens:,} completion"
    )


def _cost(tally: Tally) -> str:
    if tally.cost_usd is None:
        return ""
    before = tally.spent_usd - tally.cost_usd
    return f"${tally.cost_usd:.4f}" + (f" (${tally.spent_usd:.4f} with earlier runs)" if before > 1e-9 else "")


def _resumed(tally: Tally) -> str:
    return f"{tally.resumed} rows, kept as they were" if tally.resumed else ""


def _errors(tally: Tally, target: Path) -> str:
    errors = tally.errors + tally.resumed_errors
    return f"{errors} → {errors_path(target)}" if errors else ""

"""From files to a report: one pass over OUT, beside the tickets where these are given."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from triagedesk.batch.columns import ColumnMap, words_in
from triagedesk.batch.sources import open_sources
from triagedesk.errors import ConfigError
from triagedesk.playbook import Playbook
from triagedesk.report import calendar, headline, judgement, load, machine, problems, sla, volumes
from triagedesk.report.blocks import Section, as_json
from triagedesk.report.calendar import Calendar
from triagedesk.report.headline import Figure, Origins
from triagedesk.report.source import Suggestions
from triagedesk.report.tally import Tally
from triagedesk.report.tickets import LOOK_AHEAD, Join
from triagedesk.report.zone import By, Zone

DEFAULT_CALENDAR = "default"
Watch = Callable[[int], None]
"""Called after every suggestion with how many were read."""


@dataclass(frozen=True)
class Report:
    """All that the page and the JSON say."""

    title: str
    period: str
    sentence: str
    figures: list[Figure]
    findings: list[str]
    warnings: list[str]
    sections: list[Section]
    identity: list[tuple[str, str]]

    def as_json(self) -> dict[str, Any]:
        """Return the numbers under the keys that the page's parts have."""
        return {
            "title": self.title, "period": self.period, "sentence": self.sentence,
            "figures": {figure.key: figure.raw for figure in self.figures}, "findings": self.findings,
            "warnings": self.warnings, "sections": as_json(self.sections), "identity": dict(self.identity),
        }  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What is reported on: OUT of a batch, the tickets it read, and in which periods and time zone.

    `tickets` is a file, a folder or a pattern, and `columns` the map that the batch was given. Without a `timezone` it
    is that of the playbook's default calendar. `made_at` is told on the page.
    """

    out: Path
    tickets: Path | str | None = None
    by: By = "auto"
    title: str | None = None
    timezone: str | None = None
    columns: ColumnMap | None = None
    made_at: datetime | None = None
    look_ahead: int = LOOK_AHEAD


def make_report(job: Job, playbook: Playbook, watch: Watch | None = None) -> Report:
    """Read the files and count. Raises ConfigError with one line that says what to do."""
    suggestions = Suggestions(job.out)
    tally = Tally(playbook, Zone(job.timezone or _desk_zone(playbook)))
    with _join(job, playbook) as join:
        for line in suggestions:
            tally.add(line, join.facts(line.ticket_id) if join is not None else None)
            if watch is not None:
                watch(tally.n)
        if join is not None and join.unmatched == tally.n:
            raise ConfigError(
                f"{job.tickets}: holds no ticket of OUT; give the tickets that the batch read, "
                "and its --map, such as --map id=COLUMN"
            )
        origins = _origins(job, suggestions, join)
    return _report(job, tally, origins)


def _desk_zone(playbook: Playbook) -> str:
    calendars = playbook.document.calendars
    found = calendars.get(DEFAULT_CALENDAR) or next(iter(calendars.values()), None)
    return found.timezone if found is not None else "UTC"


@contextlib.contextmanager
def _join(job: Job, playbook: Playbook) -> Iterator[Join | None]:
    if job.tickets is None:
        yield None
        return
    rows = open_sources(job.tickets, words=words_in(playbook), columns=job.columns).after()
    with contextlib.closing(Join(rows, job.look_ahead)) as join:
        yield join


def _origins(job: Job, suggestions: Suggestions, join: Join | None) -> Origins:
    return Origins(
        job.out.name, Path(job.tickets).name if job.tickets else "",
        unreadable=suggestions.unreadable, in_error=suggestions.rows_in_error(), unfinished=suggestions.unfinished,
        unmatched=join.unmatched if join else 0, unlabelled=join.rest() if join else 0,
        unusable=join.unusable if join else 0,
    )  # fmt: skip


def _report(job: Job, tally: Tally, origins: Origins) -> Report:
    held = Calendar(tally, job.by)
    spikes = problems.spikes_of(tally, held)
    return Report(
        job.title or job.out.name, headline.period_text(tally), headline.sentence(tally), headline.figures(tally),
        headline.findings(tally, held, spikes), headline.warnings(tally, origins),
        [
            calendar.section(tally, held), volumes.section(tally), problems.section(tally, held, spikes),
            sla.section(tally), load.section(tally, held), judgement.section(tally), machine.section(tally, held),
        ],
        _identity(job, tally, origins),
    )  # fmt: skip


def _identity(job: Job, tally: Tally, origins: Origins) -> list[tuple[str, str]]:
    made = job.made_at or datetime.now(UTC)
    return [
        ("Suggestions", f"{origins.out}: {tally.n:,}"),
        ("Tickets", f"{origins.tickets}: {tally.joined:,} found" if origins.tickets else "not given"),
        ("Labelled with", ", ".join(name for name, _ in tally.answers.playbooks.ranked()[:5]) or "not told by OUT"),
        ("Read with", tally.playbook.identity), ("Time zone", tally.zone.name),
        ("Made", f"{made:%Y-%m-%d %H:%M} UTC"),
    ]  # fmt: skip

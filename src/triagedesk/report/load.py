"""Who has to do it: load by queue and team, on all days and on the busiest."""

from __future__ import annotations

from triagedesk.report.blocks import Cell, Column, Section, Table, counts, spoken
from triagedesk.report.calendar import Calendar
from triagedesk.report.groups import OTHERS, Share
from triagedesk.report.problems import days_text
from triagedesk.report.tally import Tally
from triagedesk.report.volumes import urgency_shares

MOST_QUEUES, MOST_TEAMS = 20, 15


def section(tally: Tally, calendar: Calendar) -> Section:
    """Return load by queue and team."""
    teams = urgency_shares(tally, "teams", "Teams that take tickets first", tally.teams, tally.n, kind="text",
                           most=MOST_TEAMS)  # fmt: skip
    hands = counts(
        "path_teams", "Teams anywhere on the path", tally.hands.ranked(), tally.n, kind="text", most=MOST_TEAMS,
        note="Later steps of a path count too: what reaches a team if nobody before it settles the ticket.",
    )  # fmt: skip
    note = "Work as the policy routes it: queue, and the first team on the escalation path."
    return Section("load", "Load on queues and teams", note, (_queues(tally, calendar), teams), (hands,))


def _queues(tally: Tally, calendar: Calendar) -> Table:
    ranked = [each for each in tally.queues.ranked() if each[0] != OTHERS]
    rows: list[tuple[Cell, ...]] = []
    peaks = _peaks(tally, [name for name, _ in ranked[:MOST_QUEUES]]) if calendar.periods else {}
    for name, group in ranked[:MOST_QUEUES]:
        told: tuple[Cell, ...] = (
            name, group.n, Share(group.n, tally.n), Share(group.urgencies.get(tally.severe, 0), group.n),
            Share(group.review, group.n), Share(group.breached, group.n),
        )  # fmt: skip
        rows.append((*told, *peaks[name]) if peaks else told)
    columns = (
        Column("name", "queue", "text"), Column("tickets", "tickets"), Column("share", "share", "share"),
        Column("severe", spoken(tally.severe), "share"), Column("review", "to review", "share"),
        Column("breached", "past due", "share"),
        *((Column("busiest", "busiest day"), Column("on", "on", "date")) if peaks else ()),
    )  # fmt: skip
    left = len(tally.queues.groups) - len(rows)
    held = tally.n - sum(group.n for _, group in ranked[:MOST_QUEUES])
    note = f"{left} smaller queues hold {held:,} more." if left > 0 else ""
    return Table("queues", "Queues", columns, tuple(rows), note, wide=True)


def _peaks(tally: Tally, queues: list[str]) -> dict[str, tuple[int, str]]:
    """Return the most tickets that each queue had on a day, and that day."""
    found: dict[str, tuple[int, int]] = dict.fromkeys(queues, (0, 1))
    for day, counted in sorted(tally.queue_days.days.items()):
        for queue in queues:
            if counted.get(queue, 0) > found[queue][0]:
                found[queue] = (counted[queue], day)
    return {queue: (n, days_text(day, day) if n else "") for queue, (n, day) in found.items()}

"""What came: tickets by every label and trait, and issue types against urgency."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from triagedesk.pages.words import title_of
from triagedesk.report.blocks import Block, Cell, Column, Kind, Missing, Section, Table, counts, others_name, spoken
from triagedesk.report.groups import NOT_GIVEN, OTHERS, Grouping, Share
from triagedesk.report.tally import ESCALATION, ISSUE, URGENCY, Tally

GIVE_TICKETS = "Run the report with --tickets IN, the file that the batch read: tickets are found by their id."
TRAIT_NAMES = {"channel": "Channel", "tier": "Customer tier", "region": "Region", "product": "Product of the ticket"}
MOST_ISSUES, MOST_VALUES = 25, 12


def urgencies(tally: Tally) -> list[str]:
    """Return the urgencies that occur, the most severe first; those that the playbook does not know come last."""
    return in_order(tally, URGENCY, tally.whole.urgencies)


def in_order(tally: Tally, dimension: str, found: Iterable[str]) -> list[str]:
    """Return labels in the playbook's order, unknown ones last."""
    known = tally.playbook.dimensions[dimension].names if dimension in tally.playbook.dimensions else ()
    held = set(found)
    return [name for name in known if name in held] + sorted(held - set(known))


def section(tally: Tally) -> Section:
    """Return volumes by label and trait."""
    return Section(
        "volumes", "What came",
        "How the tickets divide. Shares are of all tickets in the report.",
        (), tuple(_boxes(tally)), (matrix(tally), *_missing(tally)),
    )  # fmt: skip


def _missing(tally: Tally) -> Iterator[Block]:
    if not tally.joined:
        names = "channel, customer tier, region and product"
        yield Missing(f"Tickets by {names}: suggestions do not carry them.", GIVE_TICKETS)


def _boxes(tally: Tally) -> Iterator[Table]:
    first = (URGENCY, ISSUE, ESCALATION)
    for dimension in (*first, *(name for name in tally.labels if name not in first)):
        grouping = tally.labels.get(dimension)
        if grouping is not None:
            yield _labels(tally, dimension, grouping)
    for name, title in TRAIT_NAMES.items():
        found = tally.trait(name)
        if found is not None:
            yield counts(name, title, _ranked(found), tally.joined, most=MOST_VALUES)
    if set(tally.languages.groups) - {NOT_GIVEN}:
        yield counts("language", "Language", _ranked(tally.languages), tally.n, most=MOST_VALUES)


def _labels(tally: Tally, dimension: str, grouping: Grouping) -> Table:
    ranked = _ranked(grouping)
    if dimension == URGENCY:
        sizes = dict(ranked)
        ranked = [(name, sizes[name]) for name in in_order(tally, dimension, sizes)]
    return counts(dimension, title_of(dimension), ranked, tally.n, most=MOST_VALUES)


def _ranked(grouping: Grouping) -> list[tuple[str, int]]:
    return [(name, group.n) for name, group in grouping.ranked()]


def matrix(tally: Tally) -> Table:
    """Return issue types against urgencies."""
    levels = urgencies(tally)
    sizes = {issue: sum(row.values()) for issue, row in tally.matrix.items()}
    ranked = sorted(sizes, key=lambda issue: (issue == OTHERS, -sizes[issue], issue))
    rows: list[tuple[Cell, ...]] = [
        (issue, *(tally.matrix[issue].get(level, 0) for level in levels), sizes[issue])
        for issue in ranked[:MOST_ISSUES]
    ]
    rest = ranked[MOST_ISSUES:]
    if rest:
        sums = (sum(tally.matrix[issue].get(level, 0) for issue in rest) for level in levels)
        rows.append((others_name(len(rest)), *sums, sum(sizes[issue] for issue in rest)))
    columns = (
        Column("issue_type", "issue type ╲ urgency", "label"), *(Column(level, spoken(level)) for level in levels),
        Column("all", "all"),
    )  # fmt: skip
    note = "The darker a cell, the more tickets of all."
    return Table("issue_by_urgency", "Issue type by urgency", columns, tuple(rows), note, shaded=True, wide=True)


def urgency_shares(tally: Tally, key: str, title: str, grouping: Grouping, n: int, *, kind: Kind = "label",
                   most: int = 12) -> Table:  # fmt: skip
    """Return tickets of each value with the shares that are most severe, escalated, to review and past due."""
    ranked = [each for each in grouping.ranked() if each[0] != OTHERS]
    rows = [
        (name, group.n, Share(group.n, n), Share(group.urgencies.get(tally.severe, 0), group.n),
         Share(group.escalated, group.n), Share(group.review, group.n), Share(group.breached, group.n))
        for name, group in ranked[:most]
    ]  # fmt: skip
    left = len(grouping.groups) - len(rows)
    columns = (
        Column("name", "", kind), Column("tickets", "tickets"), Column("share", "share", "share"),
        Column("severe", spoken(tally.severe), "share"), Column("escalated", "escalated", "share"),
        Column("review", "to review", "share"), Column("breached", "past due", "share"),
    )  # fmt: skip
    note = f"{left} smaller ones are not shown." if left > 0 else ""
    return Table(key, title, columns, tuple(rows), note, wide=True)

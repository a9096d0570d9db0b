"""What needs a person: escalations, reviews with their reasons, flags, and what urgency rests on."""

from __future__ import annotations

from collections.abc import Iterator

from triagedesk.report.blocks import Block, Missing, Section, Table, counts
from triagedesk.report.tally import ISSUE, Tally
from triagedesk.report.volumes import urgency_shares


def section(tally: Tally) -> Section:
    """Return escalation rates and review."""
    note = (
        f"Escalated is every label but “{tally.calm}”. To review: the policy asks a person to look before the labels "
        "are relied on. A ticket may have several reasons and flags."
    )
    return Section("people", "Escalations and reviews", note, tuple(_blocks(tally)), tuple(_boxes(tally)))


def _blocks(tally: Tally) -> Iterator[Block]:
    if ISSUE in tally.labels:
        yield urgency_shares(tally, "by_issue_type", "By issue type", tally.labels[ISSUE], tally.n)
    for name, title in (("tier", "customer tier"), ("channel", "channel"), ("region", "region")):
        found = tally.trait(name)
        if found is not None:
            yield urgency_shares(tally, f"by_{name}", f"By {title}", found, tally.joined)
    if not tally.review_reasons:
        yield Missing("Reasons for review.", "No ticket was sent to review.")


def _boxes(tally: Tally) -> Iterator[Table]:
    named = (
        ("review_reasons", "Why a person should look", tally.review_reasons, ""),
        ("flags", "Flags", tally.flags, ""),
        ("factors", "What the urgency rests on", tally.factors, "Tickets whose reasons name it."),
    )
    for key, title, counted, note in named:
        if counted:
            yield counts(key, title, counted.ranked(), tally.n, note=note)

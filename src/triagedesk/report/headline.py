"""What a hurried reader reads: one sentence, a row of numbers, what stands out, and what to mind."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from statistics import median

from triagedesk.errors import FallbackReason
from triagedesk.models import Source
from triagedesk.pages.words import count, percent
from triagedesk.report.blocks import cut, interval, spoken, usd
from triagedesk.report.calendar import Calendar
from triagedesk.report.due import FIRST
from triagedesk.report.groups import NOT_GIVEN, OTHERS, Group, Grouping, Share
from triagedesk.report.problems import days_text, kind_text
from triagedesk.report.spikes import Spike
from triagedesk.report.tally import ESCALATION, ISSUE, URGENCY, Tally
from triagedesk.report.zone import day_text

MOSTLY = 0.5
MOST_TOLD = 2
ENOUGH = 30
"""A tier, channel or queue of fewer tickets is not singled out."""
UNNAMED = (OTHERS, NOT_GIVEN)
NO_MODEL = FallbackReason.NO_MODEL.value
STAND_INS = {Source.RULES.value: "the rules", Source.TRAINED.value: "the trained classifier"}


@dataclass(frozen=True)
class Figure:
    """One headline number: what it is, its value, and what stands under it."""

    key: str
    name: str
    value: str
    under: str = ""
    raw: int | float | None = None


@dataclass(frozen=True)
class Origins:
    """What the reading of the files told: names, and rows that did not make it into the report."""

    out: str
    tickets: str = ""
    unreadable: int = 0
    in_error: int = 0
    unmatched: int = 0
    unlabelled: int = 0
    unusable: int = 0
    unfinished: bool = False


def period_text(tally: Tally) -> str:
    """Return "1 Nov 2026 to 30 Nov 2026", empty where no date is known."""
    if tally.oldest is None or tally.newest is None:
        return ""
    days = [tally.zone.day_and_hour(moment) for moment in (tally.oldest, tally.newest)]
    first, last = (day_text(date.fromordinal(day[0])) for day in days if day is not None)
    return first if first == last else f"{first} to {last}"


def sentence(tally: Tally) -> str:
    """Return the page's first sentence."""
    told = [f"{count(tally.n)} tickets" if tally.n != 1 else "One ticket"]
    severe = tally.whole.urgencies.get(tally.severe, 0)
    told.append(f"{count(severe)} {spoken(tally.severe)}" if severe else f"none {spoken(tally.severe)}")
    told.append(f"{percent(Share(tally.whole.review, tally.n).value, 0)} for a person to look at")
    return ", ".join(told)


def figures(tally: Tally) -> list[Figure]:
    """Return the headline numbers."""
    whole, answers = tally.whole, tally.answers
    model = sum(answers.sources.get(name.value, 0) for name in (Source.MODEL, Source.CACHE))
    return [
        Figure("tickets", "tickets", count(tally.n), period_text(tally) or "period not known", tally.n),
        _part(tally, "severe", spoken(tally.severe), whole.urgencies.get(tally.severe, 0)),
        _part(tally, "escalated", "escalated", whole.escalated),
        _part(tally, "review", "to review", whole.review),
        _part(tally, "breached", "past due", whole.breached),
        _modelled(tally, model),
        _cost(tally),
    ]


def _part(tally: Tally, key: str, name: str, hits: int) -> Figure:
    share = Share(hits, tally.n)
    told = interval(share)
    return Figure(key, name, count(hits), f"{percent(share.value)}{f' ({told})' if told else ''} of all", hits)


def _modelled(tally: Tally, hits: int) -> Figure:
    """Return how much the model labelled; where none was configured, who answered instead."""
    part = _part(tally, "model", "labelled by the model", hits)
    if hits or tally.answers.fallbacks.get(NO_MODEL, 0) < tally.n:
        return part
    who = " and ".join(STAND_INS.get(name, spoken(cut(name))) for name, _ in tally.answers.sources.ranked()[:2])
    return dataclasses.replace(part, under=f"none was configured: {who} answered")


def _cost(tally: Tally) -> Figure:
    money = tally.answers.money
    if not money.priced:
        return Figure("cost", "cost", "–", "no answer bears a price")
    return Figure(
        "cost", "cost", usd(money.spent), f"{usd(1000 * money.spent / tally.n)} per 1,000 tickets", money.spent
    )


def findings(tally: Tally, calendar: Calendar, spikes: list[Spike]) -> list[str]:
    """Return what stands out, the most pressing first."""
    found = (_pile_ups(spikes), _severe(tally), _ahead(tally), _late(tally), _common(tally), _busiest(tally, calendar),
             _review(tally), _fallbacks(tally))  # fmt: skip
    return [sentence for each in found for sentence in each]


def _pile_ups(spikes: list[Spike]) -> Iterator[str]:
    for spike in spikes[:MOST_TOLD]:
        when = f"On {days_text(spike.first, spike.last)}" if spike.first == spike.last else \
            f"From {days_text(spike.first, spike.last)}"  # fmt: skip
        told = f"{spike.times:.0f} times as many as expected ({max(spike.expected, 1):.0f})"
        yield f"{when}: {count(spike.tickets)} tickets of {kind_text(spike.key)}, {told}."


def _severe(tally: Tally) -> Iterator[str]:
    issues = {issue: row.get(tally.severe, 0) for issue, row in tally.matrix.items()}
    total = sum(issues.values())
    if total:
        most = max(issues, key=lambda issue: (issues[issue], issue))
        told = f"{count(total)} tickets are" if total > 1 else "One ticket is"
        about = f"{_quantity(issues[most], total)} about {spoken(cut(most))}"
        yield f"{told} {spoken(tally.severe)}{about}."


def _quantity(hits: int, total: int) -> str:
    """Return the words between a number of tickets and what the commonest kind of them is about."""
    if hits == total:
        return "; all of them are" if total > 1 else ","
    share = percent(hits / total, 0)
    return f"; most of them, {share}, are" if hits > MOSTLY * total else f"; the largest part, {share}, is"


def _ahead(tally: Tally) -> Iterator[str]:
    if tally.newest is None:
        return
    found = tally.dues.ahead[FIRST].within(tally.newest, 24)
    if found:
        severe = found.get(tally.severe, 0)
        aside = f", {count(severe)} {spoken(tally.severe)}" if severe else ""
        yield f"First responses that fall due in the 24 h after the newest ticket: {count(sum(found.values()))}{aside}."


def _late(tally: Tally) -> Iterator[str]:
    """Name the tier, else the channel, else the queue whose past-due share lies surely above that of all."""
    whole = Share(tally.whole.breached, tally.n)
    if not whole.hits or (whole.value or 0) > MOSTLY:
        return
    for kind, grouping in (("tier", tally.trait("tier")), ("channel", tally.trait("channel")), ("queue", tally.queues)):
        worst = _worst(grouping) if grouping is not None else None
        if worst is not None and _breached(worst[1]).interval[0] > (whole.value or 0):
            share, of_all = (percent(each.value, 0) for each in (_breached(worst[1]), whole))
            told = f"{share} of {count(worst[1].n)} tickets (all: {of_all})"
            name = worst[0] if kind == "queue" else spoken(worst[0])
            yield f"Past due most often: {kind} {cut(name)}, {told}."
            return


def _worst(grouping: Grouping) -> tuple[str, Group] | None:
    """Return the value whose past-due share is surely the greatest, of those with enough tickets."""
    named = [(name, group) for name, group in grouping.ranked() if group.n >= ENOUGH and name not in UNNAMED]
    return max(named, key=lambda each: _breached(each[1]).interval[0], default=None)


def _breached(group: Group) -> Share:
    return Share(group.breached, group.n)


def _common(tally: Tally) -> Iterator[str]:
    for phrase in tally.quotes.common(1):
        told = f"{count(phrase.n)} tickets, mostly {spoken(cut(phrase.issue))}"
        yield f"The words that decide most often are “{cut(phrase.form)}”: {told}."


def _busiest(tally: Tally, calendar: Calendar) -> Iterator[str]:
    if len(calendar.periods) < 3:
        return
    sizes = [sum(tally.by_day.of(period).values()) for period in calendar.periods]
    most = max(range(len(sizes)), key=sizes.__getitem__)
    name = calendar.periods[most].name
    yield f"Busiest {calendar.by}: {name} with {count(sizes[most])} tickets (median {median(sizes):,.0f})."


def _review(tally: Tally) -> Iterator[str]:
    if tally.review_reasons:
        reason, n = tally.review_reasons.ranked()[0]
        share = percent(Share(tally.whole.review, tally.n).value, 0)
        yield f"{share} of tickets wait for a person, most often because of {spoken(cut(reason))} ({count(n)})."


def _fallbacks(tally: Tally) -> Iterator[str]:
    failed = [each for each in tally.answers.fallbacks.ranked() if each[0] != NO_MODEL]  # none was asked for
    total = sum(n for _, n in failed)
    if total:
        reason, n = failed[0]
        share = percent(total / tally.n)
        why = f"most often because of {spoken(cut(reason))} ({count(n)})"
        yield f"The model did not answer {count(total)} ticket{'s' * (total > 1)} ({share}), {why}."


def warnings(tally: Tally, origins: Origins) -> list[str]:
    """Return what makes the report less than it seems."""
    return [*_of_files(origins), *_of_join(tally, origins), *_of_content(tally)]


def _of_files(origins: Origins) -> Iterator[str]:
    if origins.unfinished:
        yield "The batch has not ended, or was killed: the same batch command goes on, then make the report again."
    if origins.unreadable:
        yield f"Lines of OUT that are no suggestions, left out: {count(origins.unreadable)}."
    if origins.in_error:
        yield f"Rows without labels, in the batch's error file: {count(origins.in_error)}."


def _of_join(tally: Tally, origins: Origins) -> Iterator[str]:
    if origins.unmatched:
        told = f"{count(origins.unmatched)} ({percent(origins.unmatched / tally.n)})"
        yield f"Suggestions without a ticket of their id in IN: {told}. They lack date and traits."
    if origins.unlabelled:
        yield f"Tickets of IN without a suggestion in OUT: {count(origins.unlabelled)}."
    if origins.unusable:
        yield f"Rows of IN that are no tickets: {count(origins.unusable)}."
    undated = tally.joined - tally.dated
    if undated:
        yield f"Tickets without a usable created_at, not in the charts over time: {count(undated)}."


def _of_content(tally: Tally) -> Iterator[str]:
    unknown = {label for name in (URGENCY, ISSUE, ESCALATION) if name in tally.labels
               for label in tally.labels[name].groups} - _known(tally) - {OTHERS}  # fmt: skip
    if unknown:
        told = ", ".join(sorted(map(cut, unknown))[:3])
        where = f"playbook {tally.playbook.identity}"
        yield f"Labels that are not in {where}: {len(unknown)} ({told}). Give the batch's with --playbook."
    if len(tally.answers.playbooks) > 1:
        yield f"The suggestions come from {len(tally.answers.playbooks)} versions of the playbook."
    if (Share(tally.whole.breached, tally.n).value or 0) > MOSTLY:
        yield "Most tickets were past due when the batch ran: it labelled a history, not promises kept or missed."
    if tally.broken:
        share = percent(Share(tally.broken, tally.promised).value, 0)
        told = f"{count(tally.broken)} ({share} of those with a due_at)"
        yield f"Tickets that arrived with a promise already broken: {told}."
    ahead = any(each.lost for each in tally.dues.ahead.values())
    if tally.series.lost or tally.quotes.missed or tally.by_day.lost or ahead:
        what = "pile-ups, common words and what falls due"
        yield f"There are more different values than are told apart: {what} may be incomplete."


def _known(tally: Tally) -> set[str]:
    dimensions = tally.playbook.dimensions
    return {label for name in (URGENCY, ISSUE, ESCALATION) for label in dimensions[name].names}

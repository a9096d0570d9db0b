"""The tally of a labelled batch: every suggestion is counted once and let go. Its size does not grow with the batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from triagedesk.playbook import Playbook
from triagedesk.report.answers import Answers
from triagedesk.report.due import Dues
from triagedesk.report.groups import NOT_GIVEN, OTHERS, Capped, Group, Grouping
from triagedesk.report.lines import Because, Line
from triagedesk.report.phrases import Phrases
from triagedesk.report.spikes import Series
from triagedesk.report.tickets import Facts
from triagedesk.report.timeline import Daily, WeekHours
from triagedesk.report.zone import Zone

URGENCY, ISSUE, ESCALATION = "urgency", "issue_type", "escalation"
TRAITS = ("channel", "tier", "region", "product")
"""What only the tickets know."""
MAX_PATH = 20
MAX_DIMENSIONS = 30
MAX_ISSUES, MAX_URGENCIES = 200, 50
MAX_SENTENCE = 160
LEARNED = ("These words speak for ", "No word of the ticket speaks for ")
"""So the trained classifier begins a reason: the same for every ticket, so that it says nothing about the batch."""


class Tally:
    """Counts of all suggestions, and of their tickets where these are given."""

    def __init__(self, playbook: Playbook, zone: Zone) -> None:
        self.playbook, self.zone = playbook, zone
        self.calm = playbook.dimensions[ESCALATION].fallback
        self.severe = playbook.dimensions[URGENCY].names[0]
        self.n = self.joined = self.dated = self.out_of_range = 0
        self.whole = Group()
        self.labels: dict[str, Grouping] = {}
        self._traits: dict[str, Grouping] = {name: Grouping() for name in TRAITS}
        self.languages, self.sources = Grouping(), Grouping()
        self.queues, self.teams, self.hands = Grouping(), Grouping(), Capped()
        self.matrix: dict[str, Capped] = {}
        self.review_reasons, self.flags, self.factors = Capped(), Capped(), Capped()
        self.by_day, self.week_hours, self.series = Daily(), WeekHours(), Series()
        self.queue_days = Daily()
        self.quotes, self.subjects, self.sentences = Phrases(), Phrases(), Phrases(MAX_SENTENCE)
        self.dues, self.answers = Dues(zone), Answers()
        self.promised = self.broken = 0
        self.oldest: float | None = None
        self.newest: float | None = None

    def add(self, line: Line, facts: Facts | None) -> None:
        """Count one suggestion and its ticket."""
        self.n += 1
        urgency, issue = line.label(URGENCY) or NOT_GIVEN, line.label(ISSUE) or NOT_GIVEN
        day = self._arrival(facts)
        escalated = line.label(ESCALATION) not in (self.calm, "")
        _count(self._groups(line, facts), line, urgency, escalated=escalated)
        self._cross(issue, urgency)
        self._words(line, facts, issue, day, urgent=urgency == self.severe)
        self._judgement(line)
        if day is not None:
            self._when(day, facts, line, urgency, issue)
        self.dues.count(line.response, urgency, facts.created if facts else None, self.newest)
        self.answers.count(line, day)

    def _arrival(self, facts: Facts | None) -> int | None:
        """Return the local day of arrival, and keep the first and last moment."""
        if facts is None:
            return None
        self.joined += 1
        if facts.due is not None:
            self.promised += 1
            self.broken += facts.created is not None and facts.due < facts.created
        if facts.created is None:
            return None
        place = self.zone.day_and_hour(facts.created)
        if place is None:
            self.out_of_range += 1
            return None
        self.dated += 1
        self.oldest = facts.created if self.oldest is None else min(self.oldest, facts.created)
        self.newest = facts.created if self.newest is None else max(self.newest, facts.created)
        self.week_hours.count(*place)
        return place[0]

    def _groups(self, line: Line, facts: Facts | None) -> Iterator[Group]:
        yield self.whole
        for name, said in line.labels.items():
            yield (self.labels.get(name) or self._labels_of(name)).group(said.label)
        yield self.queues.group(line.queue)
        yield self.languages.group(line.language or NOT_GIVEN)
        yield self.sources.group(line.provenance.source)
        if line.escalation_path:
            yield self.teams.group(line.escalation_path[0].team)
        if facts is not None:
            for name, value in zip(TRAITS, facts[: len(TRAITS)], strict=True):
                yield self._traits[name].group(str(value or NOT_GIVEN))

    def _labels_of(self, dimension: str) -> Grouping:
        if dimension not in self.labels and len(self.labels) >= MAX_DIMENSIONS:
            dimension = OTHERS
        return self.labels.setdefault(dimension, Grouping())

    def trait(self, name: str) -> Grouping | None:
        """Return the tickets by channel, tier, region or product; None where no ticket gives one."""
        found = self._traits[name]
        return found if set(found.groups) - {NOT_GIVEN} else None

    def _cross(self, issue: str, urgency: str) -> None:
        row = self.matrix.get(issue)
        if row is None:
            issue = issue if len(self.matrix) < MAX_ISSUES else OTHERS
            row = self.matrix.setdefault(issue, Capped())
        row.count(urgency)

    def _words(self, line: Line, facts: Facts | None, issue: str, day: int | None, *, urgent: bool) -> None:
        why = _reasons(line, URGENCY)
        quotes = [because.quote for because in (*_reasons(line, ISSUE), *why) if because.quote]
        self.quotes.count(quotes, line.ticket_id, issue, day, urgent=urgent)
        told = [because.text for because in why if not because.text.startswith(LEARNED)]
        self.sentences.count(told, line.ticket_id, issue, day, urgent=urgent)
        if facts is not None and facts.subject:
            self.subjects.count((facts.subject,), line.ticket_id, issue, day, urgent=urgent)

    def _judgement(self, line: Line) -> None:
        for reason in line.review_reasons:
            self.review_reasons.count(reason)
        for flag in line.flags:
            self.flags.count(flag)
        for team in {hop.team for hop in line.escalation_path[:MAX_PATH]}:
            self.hands.count(team)
        for factor in {because.factor for because in _reasons(line, URGENCY) if because.factor}:
            self.factors.count(factor)

    def _when(self, day: int, facts: Facts | None, line: Line, urgency: str, issue: str) -> None:
        self.by_day.count(day, urgency)
        self.queue_days.count(day, line.queue)
        if facts is not None:
            self.series.count(day, issue, facts.product or "", facts.region or "")


def _reasons(line: Line, dimension: str) -> tuple[Because, ...]:
    said = line.labels.get(dimension)
    return said.reasons if said is not None else ()


def _count(groups: Iterable[Group], line: Line, urgency: str, *, escalated: bool) -> None:
    breached, review = line.response.breached, line.needs_review
    for group in groups:
        group.n += 1
        group.breached += breached
        group.review += review
        group.escalated += escalated
        urgencies = group.urgencies
        if urgency in urgencies:
            urgencies[urgency] += 1
        else:
            urgencies[urgency if len(urgencies) < MAX_URGENCIES else OTHERS] = 1

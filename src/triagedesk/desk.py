"""The desk: the journey of one ticket, and the one place where its parts are wired and closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from triagedesk.budget import Budget
from triagedesk.classifiers.rules import RulesClassifier
from triagedesk.deskfiles import Calibrations, DeskFiles, read_files
from triagedesk.errors import ConfigError, FallbackReason
from triagedesk.evidence import ground
from triagedesk.lasting import lasting
from triagedesk.logs import get_logger
from triagedesk.models import Classification, Provenance, Source, Suggestion, Ticket
from triagedesk.opinions import Considered, Opinion
from triagedesk.playbook import Facts, Playbook, is_overdue
from triagedesk.policy import Policy, Verdict
from triagedesk.reading import SEPARATOR, Reading
from triagedesk.remembered import Remembered, View, view_key
from triagedesk.second_line import SecondLine
from triagedesk.settings import NO_SERVER, Settings
from triagedesk.tidy import read
from triagedesk.tracing import of_suggestion, traced_async

if TYPE_CHECKING:
    from triagedesk.asking import Asking, Question
    from triagedesk.cache import CacheStats
    from triagedesk.classifiers.limits import Listener
    from triagedesk.policy.apply import Measure

Now = Callable[[], datetime]


class Desk:
    """Turns tickets into suggestions. Made by `open_desk`; one desk serves any number of tasks at once."""

    def __init__(
        self, settings: Settings, playbook: Playbook, asking: Asking | None = None, *,
        now: Now | None = None, calibrations: Calibrations | None = None, second_line: SecondLine | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.playbook = playbook
        self._asking = asking
        self._rules = RulesClassifier(playbook)
        self._second_line = second_line or SecondLine()
        self._policy = Policy(playbook)
        self._calibrations = calibrations or {}
        self._uncalibrated: set[tuple[str | None, str | None]] = set()
        self._remembered = Remembered()
        self._now = now or _utc_now
        self._log = get_logger("desk")

    async def suggest(
        self, ticket: Ticket, *, deadline_s: float | None = None, now: datetime | None = None
    ) -> Suggestion:
        """Suggest labels for a ticket within its deadline (seconds), whatever the model does.

        A batch judges all its tickets at one moment, `now`. Raises TicketError when channel or tier is none of the
        playbook's, and nothing else.
        """
        return (await self.consider(ticket, deadline_s=deadline_s, now=now)).suggestion

    @traced_async("desk.suggest", of_suggestion)
    async def consider(
        self, ticket: Ticket, *, deadline_s: float | None = None, now: datetime | None = None
    ) -> Considered:
        """Suggest, and show the opinions that the suggestion came from: what evals and explanations read.

        Raises TicketError when channel or tier is none of the playbook's, and nothing else.
        """
        budget = self._budget(deadline_s)
        now = now or self._now()
        self.playbook.check_ticket(ticket)
        overdue = is_overdue(ticket, now)
        view = self._view(ticket, overdue=overdue)
        opinion = await self._second_opinion(view, budget)
        verdict = self._verdict(view, opinion, ticket, overdue=overdue)
        decision = self._policy.decide(verdict, ticket, now)
        provenance = self._provenance(opinion, budget)
        self._report(ticket, provenance)
        suggestion = Suggestion(ticket_id=ticket.id, provenance=provenance, **vars(decision))
        if opinion.by_model:
            return Considered(suggestion, view.rules, view.found, view.trained)
        return Considered(suggestion, view.rules, None, view.trained, self._second_line.sureness(view))

    def _budget(self, deadline_s: float | None) -> Budget:
        late_s = self.settings.late_answer_s if self.settings.max_late_answers else 0.0
        return Budget(self.settings.deadline_s if deadline_s is None else deadline_s, late_s=late_s)

    def _view(self, ticket: Ticket, *, overdue: bool) -> View:
        """Tidy, redact and judge by rules, or remember what came of it: none of it depends on the clock."""
        key = view_key(ticket, overdue=overdue)
        view = self._remembered.get(key)
        if view is None:
            reading = read(ticket, self.playbook.document.languages)
            view = View(reading, self._rules.classify(reading, _facts(reading, overdue=overdue)))
            if self._asking is not None:
                self._put_question(view, self._asking)
            self._remembered.put(key, view)
        return view

    def _put_question(self, view: View, asking: Asking) -> None:
        """Write the question for the model, in placeholders."""
        from triagedesk.privacy import redact  # phone numbers and checksums: only where something leaves the process

        view.hidden = redact(view.reading.text) if self.settings.redact else None
        subject, _, body = _parted(view.hidden.text if view.hidden else view.reading.text, view.reading)
        view.question = asking.question(subject, body)

    async def _second_opinion(self, view: View, budget: Budget) -> Opinion:
        """Ask the model, unless it is spared; say what it found, with quotes that stand in the ticket."""
        if self._asking is None or view.question is None:
            by_choice = self.settings.model in NO_SERVER
            return Opinion(self._second_line.answer(view), None if by_choice else FallbackReason.NO_MODEL)
        if self._second_line.spares_the_model(view):
            return Opinion(self._second_line.answer(view))
        asked = await self._asking.ask(view.question, budget)
        if asked.answer is None:
            return Opinion(self._second_line.answer(view), asked.reason, asked)
        if asked.answer is not view.answer:
            view.found = ground(asked.answer, view.reading, view.hidden.restore if view.hidden else str)
            view.answer = asked.answer
        return Opinion(view.found or view.rules, asked=asked)

    def _verdict(self, view: View, opinion: Opinion, ticket: Ticket, *, overdue: bool) -> Verdict:
        """Apply policy, or remember what it said of this very answer; the clock comes after."""
        found = opinion.classification
        if view.verdict is None or view.judged is not found:
            view.verdict = self._policy.judge(
                found, ticket, rules=view.rules, language=view.reading.language, overdue=overdue,
                notes=_notes(view.reading), doubts=self._doubts(view, found),
                measure=self._measure(opinion),
            )  # fmt: skip
            view.judged = found
        return view.verdict

    def _doubts(self, view: View, found: Classification) -> list[str]:
        """Say what a person should look at that no label shows."""
        unsure = self._rules.unrecognised(found) if found is view.rules else None
        return [why for why in (self._rules.overlooked(view.reading, view.rules), unsure) if why]

    def _measure(self, opinion: Opinion) -> Measure | None:
        """Return what measures the confidences of this answer, where its source was calibrated."""
        if not self._calibrations:
            return None
        asked = opinion.asked
        who: tuple[str | None, str | None] = (self._second_line.identity, None)
        if self._asking is not None and asked is not None and asked.answer is not None:
            who = (f"{self._provider}/{asked.answer.model}", self._asking.model.prompt_identity)
        entry = self._calibrations.get(who)
        if entry is not None:
            return entry.measure
        if who not in self._uncalibrated:
            self._uncalibrated.add(who)
            self._log.info("not calibrated", model=who[0], prompt=who[1])
        return None

    def _provenance(self, opinion: Opinion, budget: Budget) -> Provenance:
        common = {"playbook": self.playbook.identity, "elapsed_ms": round(budget.spent() * 1000, 3)}
        asked, second = opinion.asked, self._second_line
        if self._asking is None or asked is None:
            return Provenance(source=second.source, fallback_reason=opinion.reason, model=second.identity, **common)
        prompt = self._asking.model.prompt_identity
        if asked.answer is None:
            return Provenance(
                source=second.source, fallback_reason=asked.reason, model=second.identity or self.model, prompt=prompt,
                attempts=asked.attempts, **common,
            )  # fmt: skip
        answer, fresh = asked.answer, asked.source is Source.MODEL
        return Provenance(
            source=asked.source, model=f"{self._provider}/{answer.model}", prompt=prompt,
            attempts=answer.attempts if fresh else 0, tokens=answer.tokens if fresh else {},
            cost_usd=answer.cost_usd if fresh else None, **common,
        )  # fmt: skip

    def _report(self, ticket: Ticket, provenance: Provenance) -> None:
        if self._log.enabled("info"):
            self._log.info(
                "suggested", ticket_id=ticket.id, source=provenance.source.value,
                fallback_reason=provenance.fallback_reason, ms=provenance.elapsed_ms, attempts=provenance.attempts,
            )  # fmt: skip
        elif provenance.fallback_reason and self._asking is not None:
            self._log.warning(
                "no model answer", ticket_id=ticket.id, reason=provenance.fallback_reason, ms=provenance.elapsed_ms,
                source=provenance.source.value,
            )  # fmt: skip

    def question(self, ticket: Ticket, *, now: datetime | None = None) -> Question | None:
        """Return what the model would be asked about a ticket at the moment `now`, or None where it would not be asked.

        Raises TicketError as `suggest` does.
        """
        self.playbook.check_ticket(ticket)
        view = self._view(ticket, overdue=is_overdue(ticket, now or self._now()))
        return None if self._second_line.spares_the_model(view) else view.question

    @property
    def asking(self) -> Asking | None:
        """What asks the model, for a batch that pays beforehand; None where no model is asked."""
        return self._asking

    @property
    def model(self) -> str | None:
        """The model that is asked, as provider/name, or None where rules answer."""
        return f"{self._provider}/{self._asking.model.model}" if self._asking else None

    @property
    def _provider(self) -> str:
        return (self.settings.chosen_model or "").partition("/")[0]

    def cache_stats(self) -> CacheStats | None:
        """What the answer cache holds and did, or None where there is none."""
        return self._asking.cache.stats() if self._asking and self._asking.cache else None

    @property
    def breaker_state(self) -> str | None:
        """The circuit breaker's state, or None where no model is asked."""
        return self._asking.model.breaker.state.value if self._asking else None

    def warm_up(self) -> None:
        """Read holidays, lexicon and language model now (seconds, once a process), so that no ticket waits for them.

        Raises PlaybookError for a calendar whose country is unknown.
        """
        self._policy.warm_up(self._now())
        languages = self.playbook.document.languages
        self.playbook.finder.warm_up(languages)
        reading = read(Ticket(body="Where is my order? It was due yesterday."), languages)
        self._second_line.answer(View(reading, self._rules.classify(reading, _facts(reading, overdue=False))))

    def listen(self, listener: Listener | None) -> None:
        """Let a listener hear what the model server says of its limits, reply by reply; None ends it."""
        if self._asking is not None:
            self._asking.model.ears.listener = listener

    async def slots(self) -> int | None:
        """How many questions the model server works on at once, where it says so: llama.cpp does."""
        return await self._asking.model.slots() if self._asking is not None else None

    def remember_answers(self) -> None:
        """Ask a question once from now on even where the cache is off: its answer is kept in memory, within bounds."""
        if self._asking is not None and self._asking.cache is None:
            from triagedesk.cache.passing import PassingAnswers  # lazy: only batches without a cache

            self._asking.cache = PassingAnswers()

    async def probe(self) -> None:
        """Make one tiny real call to the model. Raises ModelError, or ConfigError where no model is configured."""
        if self._asking is None:
            raise ConfigError("no model is configured; set OPENAI_API_KEY, or pass --model or --base-url")
        await self._asking.model.probe()


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _facts(reading: Reading, *, overdue: bool) -> Facts:
    ticket = reading.ticket
    return Facts(
        tier=ticket.customer_tier, channel=ticket.channel, region=ticket.region, language=reading.language,
        overdue=overdue,
    )  # fmt: skip


def _notes(reading: Reading) -> tuple[str, ...]:
    return ("text_cut",) if reading.cut else ()


def _parted(text: str, reading: Reading) -> tuple[str, str, str]:
    """Part a (redacted) reading into subject and body again."""
    return text.partition(SEPARATOR) if reading.subject else ("", "", text)


@asynccontextmanager
async def open_desk(
    settings: Settings | None = None, *, now: Now | None = None, files: DeskFiles | None = None
) -> AsyncIterator[Desk]:
    """Wire a desk from settings (default: from the environment), warm it up, and close it in the same place.

    `files` are what `read_files` read: where others share the loop, in a thread.
    Raises ConfigError, PlaybookError included, when a setting, file, key or address cannot be used.
    """
    settings = Settings.from_env() if settings is None else settings
    playbook, measured, second_line = read_files(settings) if files is None else files
    if settings.chosen_model is None:
        yield Desk(settings, playbook, now=now, calibrations=measured, second_line=second_line)
        return
    from triagedesk.wiring import open_asking  # a second and tens of megabytes: only where a model is asked

    async with open_asking(settings, playbook) as asking:
        desk = Desk(settings, playbook, asking, now=now, calibrations=measured, second_line=second_line)
        await anyio.to_thread.run_sync(desk.warm_up)
        with lasting():
            yield desk

"""The tally of a batch: what was answered, by whom, at what price."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from triagedesk.models import Source, Suggestion

MAX_IDS = 100_000
"""So many ids are remembered to count duplicates; later ones are not, since memory stays flat."""


@dataclass
class Tally:
    """Counts of one run. `cost_usd` is None while no answer said its price; `resumed` rows stood there before.

    `spared` rows were sure enough without the model. `spent_usd` is the whole batch's money, earlier runs included, and
    `stopped` says that it ran out. `concurrency` is how many tickets may be in flight now.
    """

    resumed: int = 0
    resumed_errors: int = 0
    answered: int = 0
    errors: int = 0
    duplicates: int = 0
    same_question: int = 0
    asked_again: int = 0
    spared: int = 0
    review: int = 0
    seconds: float = 0.0
    cost_usd: float | None = None
    spent_usd: float = 0.0
    stopped: bool = False
    concurrency: int = 1
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    urgencies: Counter[str] = field(default_factory=Counter)
    _ids: set[int] = field(default_factory=set, repr=False)

    @property
    def rows(self) -> int:
        """Rows done in this run."""
        return self.answered + self.errors

    @property
    def rows_per_second(self) -> float:
        """Rows of this run per second of it; 0 before the first."""
        return self.rows / self.seconds if self.seconds else 0.0

    def add(self, suggestion: Suggestion, *, asks_a_model: bool = False) -> None:
        """Count an answer. Tokens of a cached answer were paid before and do not count."""
        self.answered += 1
        provenance = suggestion.provenance
        self.sources[provenance.source.value] += 1
        self.urgencies[suggestion.labels["urgency"].label] += 1
        self.review += suggestion.needs_review
        if provenance.fallback_reason is not None:
            self.fallbacks[provenance.fallback_reason] += 1
        elif asks_a_model and provenance.source in (Source.RULES, Source.TRAINED):
            self.spared += 1
        if provenance.source is Source.MODEL:
            self._add_tokens(suggestion)
        self.meet(suggestion.ticket_id)

    def merge(self, other: Tally) -> None:
        """Add what another process has counted of answers by rules; ids it met are not told."""
        self.answered += other.answered
        self.review += other.review
        for mine, theirs in (
            (self.sources, other.sources), (self.fallbacks, other.fallbacks), (self.urgencies, other.urgencies)
        ):  # fmt: skip
            mine.update(theirs)

    def _add_tokens(self, suggestion: Suggestion) -> None:
        provenance = suggestion.provenance
        self.prompt_tokens += provenance.tokens.prompt
        self.cached_tokens += provenance.tokens.cached
        self.completion_tokens += provenance.tokens.completion
        if provenance.cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + provenance.cost_usd

    def meet(self, ticket_id: str) -> None:
        """Count an id that comes again."""
        mark = hash(ticket_id)
        if mark in self._ids:
            self.duplicates += 1
        elif len(self._ids) < MAX_IDS:
            self._ids.add(mark)

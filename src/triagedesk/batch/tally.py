"""The tally of a batch: what was answered, by whom, at what price."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from triagedesk.models import Source, Suggestion

MAX_IDS = 100_000
"""So many ids are remembered to count duplicates; later ones are not, since memory stays flat."""


@dataclass
class Tally:
    """Counts of one run. `cost_usd` is None while no answer said its price; `resumed` rows stood there before."""

    resumed: int = 0
    resumed_errors: int = 0
    answered: int = 0
    errors: int = 0
    duplicates: int = 0
    review: int = 0
    seconds: float = 0.0
    cost_usd: float | None = None
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

    def add(self, suggestion: Suggestion) -> None:
        """Count an answer. Tokens of a cached answer were paid before and do not count."""
        self.answered += 1
        provenance = suggestion.provenance
        self.sources[provenance.source.value] += 1
        self.urgencies[suggestion.labels["urgency"].label] += 1
        self.review += suggestion.needs_review
        if provenance.fallback_reason is not None:
            self.fallbacks[provenance.fallback_reason] += 1
        if provenance.source is Source.MODEL:
            self.prompt_tokens += provenance.tokens.prompt
            self.cached_tokens += provenance.tokens.cached
            self.completion_tokens += provenance.tokens.completion
            if provenance.cost_usd is not None:
                self.cost_usd = (self.cost_usd or 0.0) + provenance.cost_usd
        self._meet(suggestion.ticket_id)

    def _meet(self, ticket_id: str) -> None:
        mark = hash(ticket_id)
        if mark in self._ids:
            self.duplicates += 1
        elif len(self._ids) < MAX_IDS:
            self._ids.add(mark)

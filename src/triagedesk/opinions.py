"""Who said what of a ticket: the opinion that a suggestion rests on, and the others that stood beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from triagedesk.errors import FallbackReason
from triagedesk.models import Classification, Suggestion

if TYPE_CHECKING:
    from triagedesk.asking import Asked


@dataclass(frozen=True)
class Considered:
    """A suggestion, and whose opinions it came from: the rules', the model's and the trained classifier's if given.

    `sureness` is the least measured confidence of an answer without a model, None where the model answered.
    """

    suggestion: Suggestion
    rules: Classification
    model: Classification | None
    trained: Classification | None = None
    sureness: float | None = None


@dataclass(frozen=True)
class Opinion:
    """What policy goes on with: the model's words, or who answered instead of it, and why."""

    classification: Classification
    reason: FallbackReason | None = None
    asked: Asked | None = None

    @property
    def by_model(self) -> bool:
        """Whether the model said it, now or before."""
        return self.asked is not None and self.asked.answer is not None

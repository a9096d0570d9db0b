"""What the ordinary run takes from a prepaid batch, question by question."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from triagedesk.asking import Asked, Question
from triagedesk.batch.provider.options import Then
from triagedesk.batch.provider.requests import name_of
from triagedesk.batch.provider.state import discard
from triagedesk.batch.provider.store import Questions
from triagedesk.errors import FallbackReason
from triagedesk.models import ModelAnswer, Source


class PrepaidAnswers:
    """The answers of a prepaid batch. `asking.prepaid` is set to it; close it before the desk."""

    def __init__(self, folder: Path, secret: bytes, questions: Questions, then: Then, held: ExitStack) -> None:
        self._folder, self._secret, self._questions, self._then, self._held = folder, secret, questions, then, held
        self.answered, self.failed = questions.counts()

    def settled(self, question: Question) -> Asked | None:
        """Return what came of a question, or None where the model is to be asked now.

        An answer is the model's the first time and known from then on, as it is with live calls.
        """
        name = name_of(question.text, self._secret)
        found = self._questions.find(name)
        if found is not None and found.answer is not None:
            source = Source.MODEL if self._questions.spend(name) else Source.CACHE
            answer = ModelAnswer.model_validate_json(found.answer)
            return Asked(answer, source, attempts=found.attempts if source is Source.MODEL else 0)
        if self._then == Then.LIVE:
            return None
        reason = found.reason if found is not None and found.reason else FallbackReason.BATCH_MISSING
        return Asked(reason=reason, attempts=found.attempts if found is not None else 0)

    def close(self) -> None:
        """Let go of the folder; it stays for a run that goes on."""
        self._questions.close()
        self._held.close()

    def discard(self) -> None:
        """Remove the folder: every row is written. Raises OSError."""
        discard(self._folder)
        self.close()

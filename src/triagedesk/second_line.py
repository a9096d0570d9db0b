"""The second line: who answers where the model does not, and where it need not be asked at all.

The trained classifier of the playbook answers, where there is one; else the rules do. Either way policy holds the
rules' floors over the answer, as over the model's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from triagedesk.errors import ConfigError
from triagedesk.logs import get_logger
from triagedesk.models import Choice, Classification, ConfidenceKind, Source
from triagedesk.playbook import Playbook
from triagedesk.playbook.document import REQUIRED_DIMENSIONS
from triagedesk.reading import Reading
from triagedesk.settings import Settings

if TYPE_CHECKING:
    from triagedesk.confidence import Entry
    from triagedesk.remembered import View


class Trained(Protocol):
    """A trained classifier as it is asked here."""

    @property
    def identity(self) -> str:
        """Its name and hash, as provenance tells it."""
        ...

    def classify(self, reading: Reading, rules: Classification) -> Classification:
        """Say a label for every dimension that it was trained on, with measured confidence."""
        ...


class SecondLine:
    """Answers without a model. `cascade` is the least confidence, in every required dimension, that spares the model.

    `rules_measured` says how often the rules are right, where that was measured: without it they are never sure.
    """

    def __init__(
        self, trained: Trained | None = None, *, cascade: float | None = None, rules_measured: Entry | None = None
    ) -> None:
        self._trained = trained
        self._cascade = cascade
        self._rules_measured = rules_measured
        if cascade is not None and trained is None and rules_measured is None:
            raise ConfigError("cascade: nothing here knows how sure it is; train a classifier, or calibrate the rules")

    @property
    def source(self) -> Source:
        """Who answers."""
        return Source.RULES if self._trained is None else Source.TRAINED

    @property
    def identity(self) -> str | None:
        """The trained classifier's identity, or None where the rules answer."""
        return None if self._trained is None else f"trained/{self._trained.identity}"

    def answer(self, view: View) -> Classification:
        """Return what is said of a ticket without the model."""
        if self._trained is None:
            return view.rules
        if view.trained is None:
            view.trained = self._trained.classify(view.reading, view.rules)
        return view.trained

    def spares_the_model(self, view: View) -> bool:
        """Say whether the answer is sure enough for the model not to be asked."""
        return self._cascade is not None and self.sureness(view) >= self._cascade

    def sureness(self, view: View) -> float:
        """Return the least measured confidence of the required dimensions; 0 where one has none."""
        said = self.answer(view).labels
        return min(self._confidence(name, said.get(name)) for name in REQUIRED_DIMENSIONS)

    def _confidence(self, name: str, choice: Choice | None) -> float:
        if choice is not None and self._trained is None and self._rules_measured is not None:
            choice = self._rules_measured.measure(name, choice)
        measured = choice is not None and choice.confidence_kind is ConfidenceKind.MEASURED
        return (choice.confidence or 0.0) if measured and choice is not None else 0.0


def open_second_line(settings: Settings, playbook: Playbook, rules_measured: Entry | None) -> SecondLine:
    """Load the trained classifier that is set, or that stands beside the playbook and fits it.

    Raises ConfigError when one that was asked for cannot be used, or the cascade has nothing to go by.
    """
    trained = None if settings.model == "rules" or settings.second_line == "rules" else _loaded(settings, playbook)
    if trained is None and settings.model == "trained":
        raise ConfigError("model: trained, but the playbook has no trained classifier; `triagedesk train` makes one")
    cascade = settings.cascade if settings.chosen_model is not None else None
    return SecondLine(trained, cascade=cascade, rules_measured=rules_measured)


def _loaded(settings: Settings, playbook: Playbook) -> Trained | None:
    file = settings.trained or playbook.trained_file
    if not file.is_file() and settings.trained is None:
        return None
    from triagedesk.classifiers.trained import load_trained  # numpy: only where one answers

    try:
        return load_trained(Path(file), playbook)
    except ConfigError as wrong:
        if settings.trained is not None or settings.model == "trained":
            raise
        get_logger("desk").info("trained classifier ignored", file=file.name, reason=str(wrong))
        return None

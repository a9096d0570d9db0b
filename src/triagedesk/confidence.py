"""Measured confidence: how often a label said with this strength was right, read from a calibration file and applied.

`triagedesk eval calibrate` writes the file. It holds curves of a few numbers: applying one is plain arithmetic.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from triagedesk.errors import ConfigError
from triagedesk.models import Choice, ConfidenceKind, Frozen, one_line

LOWEST, HIGHEST = 0.01, 0.99
"""No confidence is given outside of these: some hundred rows cannot show more."""

STRENGTH_CLIP = 1e-3
"""Strengths of 0 and 1 are moved inwards by this before their logit is taken; models say 1.0 lightly."""

MAX_BYTES = 5_000_000

Method = Literal["identity", "rate", "temperature", "sigmoid", "isotonic"]


def logit(strength: float) -> float:
    """Return the log odds of a strength, clipped by STRENGTH_CLIP."""
    held = min(max(strength, STRENGTH_CLIP), 1 - STRENGTH_CLIP)
    return math.log(held / (1 - held))


def kept(confidence: float) -> float:
    """Return a confidence inside LOWEST..HIGHEST, in four digits."""
    return round(min(max(confidence, LOWEST), HIGHEST), 4)


class CalibrationCurve(Frozen):
    """Turns a strength into a confidence. It never falls as strength grows.

    identity: the strength itself; rate: always `rate`; temperature and sigmoid (Platt 1999): logistic of
    `slope` · logit(strength) + `offset`; isotonic: straight lines through (`strengths`, `confidences`).
    """

    method: Method
    rate: float = Field(default=0.5, ge=0, le=1)
    slope: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    offset: float = Field(default=0.0, allow_inf_nan=False)
    strengths: tuple[float, ...] = ()
    confidences: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _rising(self) -> Self:
        points = (self.strengths, self.confidences)
        if len(self.strengths) != len(self.confidences) or (self.method == "isotonic" and not self.strengths):
            raise ValueError("strengths and confidences must be of one length")
        if any(not left <= right for values in points for left, right in pairwise(values)):
            raise ValueError("strengths and confidences must rise")
        return self

    def confidence(self, strength: float) -> float:
        """Return how often a label of this strength is right, LOWEST to HIGHEST."""
        if self.method == "rate":
            return kept(self.rate)
        if self.method == "identity":
            return kept(strength)
        if self.method == "isotonic":
            return kept(self._between(strength))
        return kept(1 / (1 + math.exp(-max(-500.0, min(500.0, self.slope * logit(strength) + self.offset)))))

    def _between(self, strength: float) -> float:
        xs, ys = self.strengths, self.confidences
        place = bisect_right(xs, strength)
        if place in (0, len(xs)):
            return ys[0] if place == 0 else ys[-1]
        left, right = xs[place - 1], xs[place]
        return ys[place - 1] + (ys[place] - ys[place - 1]) * (strength - left) / (right - left)


class Measured(Frozen):
    """What was measured of a calibration on rows that it was not fitted on. Log losses and errors: lower is better."""

    n: int = Field(ge=0)
    right: int = Field(ge=0)
    log_loss_before: float
    log_loss_after: float
    log_loss_rate: float = Field(description="of always saying the share of right labels")
    error_before: float = Field(description="expected calibration error, bins of equal mass")
    error_after: float
    noise_mean: float = Field(description="the calibration error that chance alone gives")
    noise_p95: float


class DimensionCalibration(Frozen):
    """How one dimension's strengths become confidences.

    `unscored` is how often labels without a strength (policy put them there) were right; None where too few were seen.
    """

    curve: CalibrationCurve | None = None
    measured: Measured | None = None
    unscored: float | None = Field(default=None, ge=0, le=1)
    unscored_rows: int = Field(default=0, ge=0)

    def confidence(self, strength: float | None) -> float | None:
        """Return the measured confidence of a label, or None where nothing was measured."""
        if strength is None:
            return None if self.unscored is None else kept(self.unscored)
        return None if self.curve is None else self.curve.confidence(strength)


class Entry(Frozen):
    """One calibration, and all that it holds for: who answered, which model, prompt and playbook.

    `playbook` is a Playbook's reading_hash. Rules answer without model and prompt: both are None.
    """

    source: Literal["rules", "trained", "model"]
    model: str | None = None
    prompt: str | None = None
    playbook: str
    name: str = Field(default="", description="the playbook's name, for people")
    measured_on: str = Field(default="", description="split@hash8 of the labelled set")
    run: str = ""
    package: str = ""
    rows: int = Field(default=0, ge=0)
    dimensions: dict[str, DimensionCalibration]

    @property
    def binding(self) -> tuple[str, str | None, str | None, str]:
        """What another calibration must share to take this one's place."""
        return self.source, self.model, self.prompt, self.playbook

    def measure(self, dimension: str, choice: Choice) -> Choice:
        """Return the choice with its measured confidence, or as it is where nothing was measured."""
        found = self.dimensions.get(dimension)
        confidence = None if found is None else found.confidence(choice.strength)
        if confidence is None:
            return choice
        return choice.model_copy(update={"confidence": confidence, "confidence_kind": ConfidenceKind.MEASURED})


class Calibration(Frozen):
    """A calibration file."""

    schema_version: Literal[1] = 1
    entries: tuple[Entry, ...] = ()

    def for_playbook(self, reading_hash: str) -> dict[tuple[str | None, str | None], Entry]:
        """Return the entries that hold for a playbook by (model, prompt); the rules' stands under (None, None)."""
        return {(entry.model, entry.prompt): entry for entry in self.entries if entry.playbook == reading_hash}

    def with_entry(self, new: Entry) -> Calibration:
        """Return the calibration with an entry added, or put in the place of one that holds for the same."""
        others = tuple(entry for entry in self.entries if entry.binding != new.binding)
        return Calibration(entries=(*others, new))


def read_calibration(file: Path) -> Calibration:
    """Read a calibration file. Raises ConfigError with one line."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{file}: is larger than {MAX_BYTES // 1_000_000} MB; give a calibration file")
        return Calibration.model_validate_json(file.read_bytes())
    except OSError as wrong:
        raise ConfigError(f"{file}: cannot be read ({wrong.strerror}); `triagedesk eval calibrate` writes it") from None
    except ValidationError as wrong:
        raise ConfigError(f"{file}: is no calibration that can be used ({one_line(wrong)})") from None

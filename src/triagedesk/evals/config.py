"""What a run measures: one TOML file, and the hash that names it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from triagedesk.errors import ConfigError
from triagedesk.models import Frozen, one_line
from triagedesk.settings import Settings

SEALED = "test"
"""The split that only --split opens."""


class Gates(Frozen):
    """Limits that `eval gate` holds a run to. A bound is tested on the interval, not on the point."""

    urgency_macro_f1: float | None = None
    critical_recall: float | None = Field(default=None, description="point; the lower bound may lie .10 under it")
    urgent_miss: float | None = None
    severe_under_triage: float | None = None
    false_alarm: float | None = None
    issue_type_macro_f1: float | None = None
    escalation_macro_f1: float | None = None
    escalated_recall: float | None = None
    quotes_grounded: float | None = None
    rule_breaks: int = 0
    max_unanswered: float = Field(default=0.02, description="share of rows without an answer, or with a fallback")
    macro_f1_margin: float = Field(default=0.01, description="how far macro-F1 may fall under the baseline")
    critical_recall_margin: float = 0.02
    cost_margin: float = Field(default=0.05, description="how far triage cost may rise, as a share of the baseline's")


class EvalConfig(Frozen):
    """One run. Paths are relative to the file that holds them."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9_.\-]{1,60}$")
    dataset: str = Field(description="a folder under evals/datasets, a .jsonl or .csv file, or a public set's name")
    split: str = "dev"
    system: Literal["rules", "model", "desk"] = Field(
        default="desk", description="rules alone, the model's own opinion, or the desk: model, floors, rules together"
    )
    model: str | None = None
    base_url: str | None = None
    playbook: Path | None = None
    prompt: Path | None = None
    calibration: Path | None = None
    deadline_s: float = Field(default=60.0, gt=0)
    concurrency: int = Field(default=8, ge=1, le=1024)
    k: int = Field(default=1, ge=1, le=100, description="repeats of every ticket")
    seed: int = 0
    draws: int = Field(default=2000, ge=0, le=100_000)
    train: tuple[str, ...] = Field(default=(), description="splits that the TF-IDF baseline learns from; else 5 folds")
    columns: dict[str, str] = Field(default_factory=dict, description="of a CSV file: our field = its column")
    settings: dict[str, Any] = Field(default_factory=dict, description="any other setting of the desk")
    prevalence: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="share of each label on a real desk, by dimension"
    )
    gates: Gates = Gates()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.system != "rules" and self.model is None and self.base_url is None:
            raise ValueError(f"system {self.system!r} asks a model: give model or base_url")
        return self

    def desk_settings(self, **more: Any) -> Settings:
        """Return the desk's settings: the config's, over the environment's. Raises ConfigError."""
        model = "rules" if self.system == "rules" else self.model
        given = {**self.settings, "model": model, "base_url": self.base_url, "playbook": self.playbook,
                 "prompt": self.prompt, "calibration": self.calibration, "deadline_s": self.deadline_s,
                 "max_concurrency": self.concurrency, "max_late_answers": 0}  # fmt: skip
        return Settings.from_env(**given, **more)


def load_config(path: Path) -> EvalConfig:
    """Read a config. Raises ConfigError with one line."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be read ({wrong.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise ConfigError(f"{path}: is not TOML: {wrong}") from None
    data.setdefault("name", path.stem)
    for key in ("playbook", "prompt", "calibration"):
        if isinstance(data.get(key), str):
            data[key] = path.parent / data[key]
    model = data.get("model")
    if isinstance(model, str) and model.startswith("local/") and not model.startswith("local//"):
        data["model"] = f"local/{path.parent / model.removeprefix('local/')}"
    if data.get("split") == SEALED:
        raise ConfigError(f"{path}: the {SEALED} split is opened by --split {SEALED} alone; name another one here")
    try:
        return EvalConfig.model_validate(data)
    except ValidationError as wrong:
        raise ConfigError(f"{path}: {one_line(wrong)}") from None

"""What a run measures: one TOML file, and the hash that names it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from triagedesk.errors import ConfigError
from triagedesk.models import Frozen, one_line
from triagedesk.playbook import Playbook
from triagedesk.settings import NO_SERVER, Settings

SEALED = "test"
"""The split that only --split opens."""

OWN_KEYS = {
    **{name: name for name in ("model", "base_url", "playbook", "prompt", "calibration", "deadline_s")},
    "max_concurrency": "concurrency",
}
"""Settings that a config gives by a key of its own, outside [settings]."""


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
    """One run. Paths are relative to the file that holds them; data and model files are looked for there first."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9_.\-]{1,60}$")
    dataset: str = Field(description="a folder under evals/datasets, a .jsonl or .csv file, or a public set's name")
    split: str = "dev"
    system: Literal["rules", "trained", "model", "desk"] = Field(
        default="desk",
        description="rules alone, the trained classifier under the rules' floors, the model's own opinion, or the desk",
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
        if self.asks_a_model and self.model is None and self.base_url is None:
            raise ValueError(f"model: is missing; system {self.system!r} asks a model: give model or base_url")
        return self

    @property
    def asks_a_model(self) -> bool:
        """Whether a language model is asked."""
        return self.system not in NO_SERVER

    def desk_settings(self, **more: Any) -> Settings:
        """Return the desk's settings: the config's, over the environment's. Raises ConfigError."""
        for name in self.settings:
            if name in OWN_KEYS:
                raise ConfigError(f"settings.{name}: has no effect there; give {OWN_KEYS[name]} = … above [settings]")
        model = self.model if self.asks_a_model else self.system
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
    try:
        return EvalConfig.model_validate(_placed(path, data))
    except ValidationError as wrong:
        # what is wrong with no key of its own names its key itself
        raise ConfigError(f"{path}: {one_line(wrong).replace('ticket: ', '')}") from None


def _placed(path: Path, data: dict[str, Any]) -> dict[str, Any]:
    """Return a config's values with its files found and what is sealed refused. Raises ConfigError."""
    data.setdefault("name", path.stem)
    for key in ("playbook", "prompt", "calibration"):
        if isinstance(data.get(key), str):
            data[key] = path.parent / data[key]
    model = data.get("model")
    if isinstance(model, str) and model.startswith("local/"):
        data["model"] = f"local/{_beside(path, model.removeprefix('local/'))}"
    if isinstance(data.get("columns"), dict):
        data["columns"] = dict(flat(data["columns"]))
    if data.get("split") == SEALED:
        raise ConfigError(f"{path}: split: {SEALED} is opened by --split {SEALED} alone; name another one here")
    if isinstance(data.get("train"), list) and SEALED in data["train"]:
        raise ConfigError(f"{path}: train: nothing learns from the {SEALED} split")
    return data


def _beside(path: Path, name: str) -> Path:
    """Return a file beside the config, or from here where only that one is there."""
    own, here = path.parent / name, Path(name)
    return here if here.is_file() and not own.is_file() else own


def flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the entries of a TOML table with dotted names: `labels.urgency = …` needs no quotes then."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def check_prevalence(prevalence: Mapping[str, Mapping[str, float]], playbook: Playbook) -> None:
    """Raise ConfigError where shares are not those of every label of a dimension, 0 or more, adding up to 1 (± .01)."""
    for name, shares in prevalence.items():
        if name not in playbook.dimensions:
            raise ConfigError(f"prevalence.{name}: is no dimension of the playbook ({', '.join(playbook.dimensions)})")
        labels = playbook.dimensions[name].names
        unknown = [label for label in shares if label not in labels]
        missing = [label for label in labels if label not in shares]
        if unknown or missing:
            what = f"{unknown[0]!r} is no label of it" if unknown else f"{missing[0]!r} is missing"
            raise ConfigError(f"prevalence.{name}: {what}; give the share of each of {', '.join(labels)}")
        if any(not 0 <= share <= 1 for share in shares.values()) or abs(sum(shares.values()) - 1) > 0.01:
            raise ConfigError(f"prevalence.{name}: shares are 0 or more and add up to 1")

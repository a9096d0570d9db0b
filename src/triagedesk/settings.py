"""Settings: one frozen object, built at the door and handed down; nothing reads the environment later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator

from triagedesk.errors import ConfigError
from triagedesk.models import Frozen, one_line

DEFAULT_MODEL = "openai/gpt-4.1-mini"
PREFIX = "TRIAGEDESK_"
NO_SERVER = ("rules", "trained")
"""Values of `model` that ask no language model."""


def default_cache_dir() -> Path:
    """Return the user's cache folder by the XDG rule; for an account without a home, one that cannot be used."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triagedesk"
    except RuntimeError:  # no HOME and no passwd entry, as in containers: the cache is off, and says why
        return Path(os.devnull) / "triagedesk"


def _names_a_server(address: str) -> bool:
    """Say if an address has a scheme that redis-py knows, and a port and a database that are numbers."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    number = parts.path.strip("/")
    return parts.scheme in ("redis", "rediss") and (not number or number.isdecimal())


class Settings(Frozen):
    """Everything that can be set. Each field is also an environment variable TRIAGEDESK_<NAME>.

    Units stand in the names: seconds, bytes, days. Prices are USD per million tokens; without them no cost is given.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    model: str | None = Field(
        default=None, description="rules, trained, openai/NAME or local/PATH.gguf; default: by key"
    )
    base_url: str | None = Field(
        default=None,
        description="any OpenAI-compatible server, e.g. http://127.0.0.1:8080/v1; also read from OPENAI_BASE_URL",
    )
    api_key: SecretStr | None = Field(default=None, description="also read from OPENAI_API_KEY")
    playbook: Path | None = Field(default=None, description="a playbook file; default: the one that ships")
    prompt: Path | None = Field(default=None, description="a prompt template; default: prompts/classify.md")
    calibration: Path | None = Field(
        default=None, description="measured confidences; default: NAME.calibration.json beside the playbook, if there"
    )
    trained: Path | None = Field(
        default=None,
        description="a trained classifier; default: NAME.trained.safetensors beside the playbook",
    )
    second_line: Literal["trained", "rules"] = Field(
        default="trained", description="who answers where the model does not: a trained classifier if there, or rules"
    )
    cascade: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="spare the model where the second line is at least this sure",
    )
    deadline_s: float = Field(default=10.0, gt=0, le=600, description="a suggestion comes within this many seconds")
    cache: bool = Field(default=True, description="keep model answers on disk")
    cache_dir: Path = Field(default_factory=default_cache_dir, description="where the cache lives")
    cache_url: SecretStr | None = Field(
        default=None, description="Redis or Valkey to keep answers on instead, e.g. redis://127.0.0.1:6379/0"
    )
    cache_secret: SecretStr | None = Field(
        default=None, min_length=16, description="keys names and seals there; default: a random one kept on that server"
    )
    cache_ttl_days: float = Field(default=30.0, gt=0, description="how long an answer is kept")
    cache_max_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024, description="how large the cache grows")
    redact: bool = Field(default=True, description="send placeholders instead of personal data")
    max_concurrency: int = Field(default=8, ge=1, le=1024, description="model calls in flight at once")
    max_late_answers: int = Field(default=8, ge=0, description="late calls that may finish and fill the cache")
    late_answer_s: float = Field(default=30.0, ge=0, description="how long after the deadline a late call may run")
    pack: int = Field(default=1, ge=1, le=20, description="short tickets asked about in one request; 1: each alone")
    max_completion_tokens: int = Field(default=700, ge=64, description="the longest answer asked of the model")
    temperature: float = Field(default=0.0, ge=0, le=2, description="sampling temperature")
    structured_output: str = Field(default="json_schema", pattern="^(json_schema|json|tools)$",
                                   description="how the model is held to the schema")  # fmt: skip
    breaker_failures: int = Field(default=5, ge=1, description="failures in a window that open the breaker")
    breaker_window_s: float = Field(default=10.0, gt=0, description="the breaker's window")
    breaker_probe_s: float = Field(default=5.0, gt=0, description="an open breaker lets one probe through this often")
    price_prompt: float | None = Field(default=None, ge=0, description="USD per million prompt tokens")
    price_cached: float | None = Field(default=None, ge=0, description="USD per million cached prompt tokens")
    price_completion: float | None = Field(default=None, ge=0, description="USD per million completion tokens")
    otel: bool = Field(
        default=False, description="write OpenTelemetry traces of serve and batch, to OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    local_threads: int = Field(default=0, ge=0, description="threads of a local model; 0: half the cores, at least 1")
    local_context: int = Field(default=8192, ge=512, description="context of a local model, in tokens")

    @field_validator("model")
    @classmethod
    def _known_provider(cls, value: str | None) -> str | None:
        if value is None or value in NO_SERVER:
            return value
        provider, _, name = value.partition("/")
        if provider not in ("openai", "local") or not name:
            raise ValueError("give rules, trained, openai/NAME or local/PATH.gguf")
        return value

    @field_validator("base_url")
    @classmethod
    def _http_only(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("give an http:// or https:// address")
        return value.rstrip("/") if value else value

    @field_validator("cache_url")
    @classmethod
    def _redis_only(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _names_a_server(value.get_secret_value()):
            raise ValueError("give a redis://, rediss:// or unix:// address")
        return value

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
        """Build settings from the environment; keyword arguments that are not None win.

        Raises ConfigError with one line that names the setting.
        """
        env = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for name in cls.model_fields:
            text = env.get(PREFIX + name.upper())
            if text:
                values[name] = text
        if "api_key" not in values and env.get("OPENAI_API_KEY"):
            values["api_key"] = env["OPENAI_API_KEY"]
        if "base_url" not in values and env.get("OPENAI_BASE_URL"):
            values["base_url"] = env["OPENAI_BASE_URL"]
        values.update({name: value for name, value in given.items() if value is not None})
        try:
            return cls(**values)
        except ValidationError as wrong:
            raise ConfigError(f"settings: {one_line(wrong)}") from None

    @property
    def chosen_model(self) -> str | None:
        """The model to ask: as set, else OpenAI's when there is a key or an address, else None (rules answer)."""
        if self.model is not None:
            return None if self.model in NO_SERVER else self.model
        return DEFAULT_MODEL if self.api_key is not None or self.base_url is not None else None

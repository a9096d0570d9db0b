"""The service's settings: one frozen object beside `Settings`, built at the door of `triagedesk serve`."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, SecretStr, ValidationError

from triagedesk.errors import ConfigError
from triagedesk.models import Frozen, one_line

PREFIX = "TRIAGEDESK_SERVICE_"
MIB = 1024 * 1024


def default_database_url() -> str:
    """Return an SQLite file in the user's data folder by the XDG rule, or in this folder for an account without one."""
    try:
        folder = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "triagedesk"
    except RuntimeError:  # no HOME and no passwd entry, as in containers
        folder = Path()
    return f"sqlite:///{folder / 'service.db'}"


class ServiceSettings(Frozen):
    """Everything about the service that can be set. Each field is also a variable TRIAGEDESK_SERVICE_<NAME>.

    Units stand in the names: seconds, bytes, days, per minute.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on; others need a key")
    port: int = Field(default=8080, ge=0, le=65535, description="port to listen on; 0: any free one")
    database_url: SecretStr = Field(
        default_factory=lambda: SecretStr(default_database_url()),
        description="sqlite:///FILE or postgresql://USER@HOST/NAME",
    )
    migrate: bool = Field(default=True, description="bring the tables up to date at the start")
    webhooks: Path | None = Field(default=None, description="the file of helpdesks, their secrets and levels")
    notifications: Path | None = Field(default=None, description="the file of whom to tell of alarms, and how")
    docs: bool = Field(default=False, description="serve /docs and /openapi.json without a key")

    max_concurrency: int = Field(default=64, ge=1, le=10_000, description="suggestions at once; above, rules answer")
    max_connections: int = Field(default=1024, ge=1, le=100_000, description="requests at once; above, 503")
    max_deadline_s: float = Field(default=60.0, gt=0, le=600, description="the longest deadline a caller may ask")
    max_body_bytes: int = Field(default=MIB, ge=1024, description="largest body, but of a batch")
    max_batch_bytes: int = Field(default=16 * MIB, ge=1024, description="largest body of a batch")
    max_batch_tickets: int = Field(default=1000, ge=1, le=1000, description="tickets in a batch")
    max_header_bytes: int = Field(default=16 * 1024, ge=1024, description="largest sum of a request's headers")
    body_timeout_s: float = Field(default=10.0, gt=0, le=600, description="a body must have arrived by then")
    shutdown_s: float = Field(default=10.0, ge=0, le=600, description="time to answer what was accepted at SIGTERM")

    rate_per_minute: float = Field(default=600.0, gt=0, description="tickets or requests a key may make, on average")
    rate_burst: int = Field(default=100, ge=1, description="how many of them at once")
    key_cache_s: float = Field(
        default=1.0, ge=0, le=60, description="a revoked key is let in for so long at most; 0: looked up each time"
    )

    store_tickets: bool = Field(
        default=False, description="keep ticket text: needed to export feedback as gold lines, off for privacy"
    )
    retention_days: float = Field(
        default=90.0, gt=0, description="suggestions, feedback, outcomes and dead letters are kept so long"
    )

    write_back: bool = Field(default=True, description="the one switch: false writes nothing to any helpdesk")
    delivery_days: float = Field(default=3.0, ge=1, description="webhook deliveries are remembered so long")
    worker_concurrency: int = Field(default=4, ge=1, le=256, description="background jobs at once")
    job_attempts: int = Field(default=6, ge=1, le=50, description="tries of a job before it is a dead letter")
    job_lease_s: float = Field(default=60.0, gt=0, description="a job of a killed worker is taken up after so long")
    dead_letters: int = Field(default=1000, ge=1, description="dead letters kept")
    scheduler_s: float = Field(default=10.0, gt=0, le=600, description="how often due steps are looked for")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **given: Any) -> ServiceSettings:
        """Build them from the environment; keyword arguments that are not None win.

        Raises ConfigError with one line that names the setting, never its value.
        """
        env = os.environ if environ is None else environ
        values: dict[str, Any] = {name: text for name in cls.model_fields if (text := env.get(PREFIX + name.upper()))}
        values.update({name: value for name, value in given.items() if value is not None})
        try:
            return cls(**values)
        except ValidationError as wrong:
            problem = one_line(wrong)
        raise ConfigError(f"service settings: {problem}")

    @property
    def on_loopback(self) -> bool:
        """Say whether nobody but this machine can reach the address; a name other than localhost counts as open."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

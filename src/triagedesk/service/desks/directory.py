"""The desks' file: one YAML document that names every connected desk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from triagedesk.classifiers.transport import check_base_url
from triagedesk.errors import ConfigError
from triagedesk.models import one_line
from triagedesk.service.desks.receive import ADAPTERS
from triagedesk.service.desks.settings import DeskSettings

MAX_FILE_BYTES = 1_000_000


def load_desks(file: Path) -> dict[str, DeskSettings]:
    """Read the desks' file: `desks: {NAME: {kind: …, secrets: …}}`.

    Raises ConfigError with one line that names desk and key, never a value.
    """
    data = _plain(file)
    rows = data.get("desks") if isinstance(data, Mapping) else None
    if not isinstance(rows, Mapping) or set(data) != {"desks"}:
        raise ConfigError(f"{file}: write `desks:` and below it one key for each desk")
    return {str(name): _desk(file, str(name), row) for name, row in rows.items()}


def _plain(file: Path) -> Any:
    try:
        source = file.read_bytes()
    except OSError as wrong:
        raise ConfigError(f"{file}: cannot be read ({wrong.strerror}); give a file that exists") from None
    if len(source) > MAX_FILE_BYTES:
        raise ConfigError(f"{file}: is larger than {MAX_FILE_BYTES} bytes")
    try:
        return yaml.safe_load(source)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"{file}: is not YAML") from None


def _desk(file: Path, name: str, row: object) -> DeskSettings:
    if not isinstance(row, Mapping):
        raise ConfigError(f"{file}: {name}: write kind, secrets …")
    try:
        desk = DeskSettings(**{**row, "name": name})
    except ValidationError as wrong:
        raise ConfigError(f"{file}: {name}: {one_line(wrong)}") from None
    except TypeError:
        raise ConfigError(f"{file}: {name}: keys are words") from None
    _check(desk, f"{file}: {name}")
    return desk


def _check(desk: DeskSettings, where: str) -> None:
    if desk.proof not in ADAPTERS[desk.kind].proofs:
        allowed = ", ".join(proof.value for proof in ADAPTERS[desk.kind].proofs)
        raise ConfigError(f"{where}: proof: {desk.kind} can do {allowed}")
    if desk.base_url is None:
        return
    try:
        check_base_url(desk.base_url)
    except ConfigError as wrong:
        raise ConfigError(f"{where}: {wrong}") from None
    if desk.api_token is None:
        raise ConfigError(f"{where}: base_url needs api_token to write back")

"""Settings as they travel to actors: plain JSON, keys wrapped so that neither Ray's logs nor its dashboard show them.

Ray Data writes the arguments of its operators down where people look at them. A `SecretStr` is written there as stars.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from triagedesk.settings import PREFIX, Settings

Sent = dict[str, Any]

SECRETS = ("api_key", "cache_url", "cache_secret")
"""Settings that are never sent as plain text; an actor's own environment gives those that were not sent."""


def sendable(settings: Settings) -> Sent:
    """Return settings as plain JSON values with absolute paths; what is secret stays wrapped."""
    sent: Sent = settings.model_dump(mode="json", exclude_none=True)
    for name, value in settings:
        if isinstance(value, SecretStr):
            sent[name] = value
        elif isinstance(value, Path):
            sent[name] = str(value.absolute())
    provider, _, path = (settings.model or "").partition("/")
    if provider == "local":
        sent["model"] = f"local/{Path(path).absolute()}"
    return sent


def received(sent: Mapping[str, Any]) -> Settings:
    """Return the settings that were sent; where a model is asked, this process's environment adds its keys.

    Nothing else is read from the environment: every actor must answer alike. Raises ConfigError.
    """
    settings = Settings.from_env({}, **sent)
    if settings.chosen_model is None:
        return settings
    names = {f"{PREFIX}{name.upper()}" for name in SECRETS} | {"OPENAI_API_KEY"}
    own = Settings.from_env({name: value for name, value in os.environ.items() if name in names})
    missing = {name: getattr(own, name) for name in SECRETS if getattr(settings, name) is None}
    return settings.model_copy(update=missing)

"""The frame of a page: templates that escape, a policy that forbids the network, a file written whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from triagedesk.errors import ConfigError
from triagedesk.pages.words import visible


def environment(package: str) -> Environment:
    """Return an environment for the templates of a package. Every text that is not our own markup is escaped."""
    return Environment(
        loader=PackageLoader(package, "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_shown,
    )  # fmt: skip


def _shown(value: Any) -> Any:
    """Write out what cannot be seen in every text that is not our own markup."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def asset(package: str, name: str) -> Markup:
    """Return a file of ours as it stands."""
    return Markup((files(package) / name).read_text("utf-8"))  # noqa: S704 - a file of ours


def style_of(package: str) -> Markup:
    """Return the style that all pages share, and after it a package's own."""
    return asset("triagedesk.pages", "style.css") + asset(package, "style.css")


def content_hash(text: str) -> str:
    """Return what the content policy allows by: nothing else of the page can run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def write_page(path: Path, text: str) -> None:
    """Write a page, whole or not at all. Raises ConfigError when the file cannot be written."""
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; give a file")
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(text, "utf-8", errors="replace")
        os.replace(draft, path)
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be written ({wrong.strerror})") from None

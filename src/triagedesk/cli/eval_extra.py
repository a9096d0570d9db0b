"""The harness stands behind an extra: without it, one line says how to get it."""

from __future__ import annotations

from importlib.util import find_spec

from triagedesk.errors import ConfigError

NEEDED = ("numpy", "scipy", "sklearn", "matplotlib", "jinja2")


def require_extra() -> None:
    """Raise ConfigError when a library of the `evals` extra is not installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f"eval needs {', '.join(missing)}; pip install 'triagedesk[evals]'")

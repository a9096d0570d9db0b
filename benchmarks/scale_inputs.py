"""What the simulation takes from measurements here: CPU and bytes a ticket, out of results/*.json or scale.toml."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FOUND = {
    "cold_us": ("calls", "1 at once", "triagedesk, whole pipeline"),
    "new_hit_us": ("hits", "cpu_us", "triagedesk, answer on disk, ticket new to the process"),
    "again_us": ("hits", "cpu_us", "triagedesk, a ticket that comes again"),
    "rules_us": ("sizes", "us", "rules"),
    "http_us": ("sizes", "us", "http"),
    "stored_bytes": ("sizes", "bytes", "stored"),
    "answer_bytes": ("sizes", "bytes", "answer"),
}
"""Where each figure stands: the part, the series and the name in it."""


@dataclass(frozen=True)
class Measured:
    """CPU µs and bytes of one ticket, and where each figure comes from."""

    cold_us: float
    new_hit_us: float
    again_us: float
    rules_us: float
    http_us: float
    stored_bytes: float
    answer_bytes: float
    sources: dict[str, str] = field(default_factory=dict)
    local: dict[str, float] = field(default_factory=dict)
    """Seconds a ticket of local models, by name."""


def measured(results: Path, file: Path = HERE / "scale.toml") -> Measured:
    """Read what is there; the rest is told by scale.toml."""
    with file.open("rb") as stream:
        values: dict[str, float] = tomllib.load(stream)["stand_in"]
    sources = dict.fromkeys(values, "scale.toml")
    for name, (part, series, key) in FOUND.items():
        result = _result(results, part)
        value = result.get("outcome", {}).get("series", {}).get(series, {}).get(key)
        if value is not None:
            values[name] = value
            sources[name] = f"benchmarks/results/{part}.json, {result['date']}"
    local = _result(results, "local").get("outcome", {}).get("series", {}).get("seconds", {})
    return Measured(**values, sources=sources, local=local)


def _result(results: Path, part: str) -> dict[str, Any]:
    file = results / f"{part}.json"
    if not file.exists():
        return {}
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found

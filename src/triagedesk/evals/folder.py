"""A run's folder: what was measured, with what, and what came out. Never edited after the end."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from triagedesk.errors import ConfigError
from triagedesk.evals.config import EvalConfig
from triagedesk.evals.datasets import Dataset, file_hash
from triagedesk.evals.overlap import OVERLAP, learned_from, trained_file
from triagedesk.playbook import Playbook

SCHEMA_VERSION = 1
MANIFEST, PREDICTIONS, METRICS = "manifest.json", "predictions.jsonl", "metrics.json"
DECIDING = {
    "model", "base_url", "redact", "temperature", "max_completion_tokens", "structured_output", "deadline_s",
    "local_context", "second_line", "cascade",
}  # fmt: skip
"""Settings that decide what a model is asked and answers, wherever they were set: the environment counts too."""
RUNNING, COMPLETE, STOPPED = "running", "complete", "stopped"
UNENDED = "the run has not ended; `triagedesk eval run … --resume` ends it"


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def predictions(self) -> Path:
        """Where the answers stand, a line a ticket and repeat."""
        return self.path / PREDICTIONS

    @property
    def manifest(self) -> dict[str, Any]:
        """What was measured. Raises ConfigError when this is no run."""
        try:
            manifest = json.loads((self.path / MANIFEST).read_text("utf-8"))
        except OSError:
            raise ConfigError(f"{self.path}: is no run (no {MANIFEST}); `triagedesk eval run` makes one") from None
        except ValueError:
            raise ConfigError(f"{self.path / MANIFEST}: is not JSON") from None
        if not isinstance(manifest, dict) or manifest.get("schema_version") != SCHEMA_VERSION:
            raise ConfigError(f"{self.path}: was written by another version of triagedesk; run it again")
        return manifest

    def write(self, name: str, content: Mapping[str, Any] | str) -> Path:
        """Write a file whole or not at all."""
        text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        target, draft = self.path / name, self.path / f".{name}.draft"
        draft.write_text(text, "utf-8")
        os.replace(draft, target)
        return target

    def read(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the run. Raises ConfigError when it is not there."""
        try:
            content = json.loads((self.path / name).read_text("utf-8"))
        except (OSError, ValueError):
            raise ConfigError(
                f"{self.path / name}: cannot be read; `triagedesk eval report {self.path}` makes it"
            ) from None
        return dict(content)


def package_version() -> str:
    """Return the installed version of this package, or "unknown" in a bare checkout."""
    try:
        return version("triagedesk")
    except PackageNotFoundError:
        return "unknown"


def run_identity(config: EvalConfig, dataset: Dataset, playbook: Playbook, prompt: str | None) -> str:
    """Return the hash that names a configuration: all that decides what is asked and what is answered."""
    aside = {"name", "concurrency", "gates", "draws", "playbook", "prompt", "split", "prevalence"}
    asked = {} if not config.asks_a_model else config.desk_settings().model_dump(mode="json", include=DECIDING)
    file = trained_file(config, playbook)
    parts = {
        **config.model_dump(mode="json", exclude=aside), "asked": asked, "trained": file and file_hash(file),
        "dataset": dataset.sha256, "playbook": playbook.identity, "prompt": prompt, "version": package_version(),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def new_manifest(
    config: EvalConfig,
    dataset: Dataset,
    playbook: Playbook,
    *,
    prompt: str | None,
    identity: str,
    rows: int,
    openings: int,
) -> dict[str, Any]:
    """Return what is known of a run before it starts."""
    return {
        "schema_version": SCHEMA_VERSION, "state": RUNNING, "name": config.name, "identity": identity,
        "started_at": now(), "package": package_version(), "git": _git(), "python": platform.python_version(),
        "machine": {"system": platform.system(), "arch": platform.machine(), "cores": os.cpu_count()},
        "config": config.model_dump(mode="json", exclude={"playbook", "prompt", "calibration"}),
        "dataset": {"name": dataset.name, "split": dataset.split, "sha256": dataset.sha256, "rows": len(dataset.rows),
                    "asked": rows, "file": str(dataset.path.resolve()), "openings": openings},
        OVERLAP: learned_from(trained_file(config, playbook), dataset),
        "playbook": playbook.identity, "playbook_reading": playbook.reading_hash,
        "playbook_file": str(config.playbook.resolve()) if config.playbook else None,
        "prompt": prompt, "models": {}, "temperature": None, "k": config.k,
        "seed": config.seed, "cache": {"namespace": identity[:16], "hits": 0},
    }  # fmt: skip


def now() -> str:
    """Return this moment as ISO 8601 text, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git() -> dict[str, Any] | None:
    """Return the commit of the checkout this stands in, and whether it differs from what is committed."""
    here = Path(__file__).parent

    def ask(*words: str) -> str:
        said = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603, S607
        return said.stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", "--", "."))}
    except (OSError, subprocess.SubprocessError):
        return None


def new_folder(root: Path, name: str, identity: str) -> RunFolder:
    """Make a run's folder, `<utc>_<name>_<hash8>`. Raises ConfigError when it cannot be made."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    try:
        for suffix in ("", *(f"-{n}" for n in range(2, 100))):
            path = root / f"{stamp}_{name}_{identity[:8]}{suffix}"
            if not path.exists():
                path.mkdir(parents=True)
                return RunFolder(path)
    except OSError as wrong:
        raise ConfigError(f"{root}: cannot be written ({wrong.strerror})") from None
    raise ConfigError(f"{root}: too many runs started in one second")


def unfinished(root: Path, name: str, identity: str) -> RunFolder | None:
    """Return the newest run of this configuration that has not ended, or None."""
    for path in sorted(root.glob(f"*_{name}_{identity[:8]}*"), reverse=True):
        folder = RunFolder(path)
        if (path / MANIFEST).is_file() and folder.manifest["state"] != COMPLETE:
            return folder
    return None

"""`triagedesk train`: from labelled tickets to a trained classifier."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from triagedesk.cli.eval_extra import NEEDED
from triagedesk.cli.terminal import console, inert, say
from triagedesk.errors import ConfigError

if TYPE_CHECKING:
    from triagedesk.classifiers.trained_file import Head, TrainedFile
    from triagedesk.training import Recipe

SHOWN = ("accuracy", "macro_f1", "critical_recall", "critical_false_alarm", "triage_cost")


def run(
    gold: list[Path], target: Path, playbook_file: Path | None, *,
    measure_on: list[Path], name: str | None, features: int, at_least: int, seed: int, as_json: bool,
) -> int:  # fmt: skip
    """Train, write the file, and say what it is worth. Raises ConfigError."""
    missing = [library for library in NEEDED if find_spec(library) is None]
    if missing:
        raise ConfigError(f"train needs {', '.join(missing)}; pip install 'triagedesk[train]'")
    if not target.parent.is_dir():
        raise ConfigError(f"{target}: its folder does not exist; make it, or write elsewhere")
    if name is not None and not _nameable(name):
        raise ConfigError("--name: give up to 60 letters, digits, dots, dashes or underscores")
    from triagedesk.classifiers.trained_file import to_bytes
    from triagedesk.playbook import load_playbook
    from triagedesk.training import Recipe, train

    playbook = load_playbook(playbook_file)
    recipe = Recipe(name=name or playbook.document.playbook, most=features, at_least=at_least, seed=seed)
    file = train(gold, measure_on, playbook, recipe)
    written = to_bytes(file)
    _write(target, written)
    if as_json:
        say(json.dumps({"file": str(target), "identity": file.identity, "bytes": len(written),
                        "manifest": file.manifest.model_dump(mode="json")}))  # fmt: skip
    else:
        _show(file, recipe, target, len(written))
    return 0


def _nameable(name: str) -> bool:
    """Say whether a name can stand in an identity, as a playbook's can."""
    return 0 < len(name) <= 60 and name.isascii() and name.translate(dict.fromkeys(map(ord, "_.-"), "x")).isalnum()


def _write(target: Path, content: bytes) -> None:
    """Put the whole file in its place at once, so that no desk ever loads half of it."""
    beside = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(content)
        beside.replace(target)
    except OSError as wrong:
        beside.unlink(missing_ok=True)
        raise ConfigError(f"{target}: cannot be written ({wrong.strerror})") from None


def _show(file: TrainedFile, recipe: Recipe, target: Path, size: int) -> None:
    from rich.table import Table

    table = Table(title=None, box=None, pad_edge=False, header_style="dim")
    table.add_column("trained (rules) by cross-validation")
    heads = file.manifest.heads
    for dimension in heads:
        table.add_column(inert(dimension), no_wrap=True)
    table.add_row("tickets measured on", *(f"{head.rows:,}" for head in heads.values()))
    for figure in SHOWN:
        cells = [_beside(head, figure) for head in heads.values()]
        if any(cells):
            table.add_row(figure.replace("_", " "), *cells)
    table.add_row("calibration error", *(f"{head.measured['ece']:.3f}" for head in heads.values()))
    console(sys.stdout).print(table)
    rows = sum(each.rows for each in file.manifest.trained_on)
    say(f"{target}: {file.identity}, {len(file.vocabulary):,} features of {rows:,} tickets, {size:,} bytes, "
        f"seed {recipe.seed}")  # fmt: skip


def _beside(head: Head, figure: str) -> str:
    found = head.measured
    return f"{found[figure]:.3f} ({found[f'rules_{figure}']:.3f})" if figure in found else ""
